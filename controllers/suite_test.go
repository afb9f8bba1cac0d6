// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/providers"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/controlplane"
)

const (
	// publicURL is where the platform would call; nothing listens there.
	publicURL  = "https://notifications.example.test/api/"
	webhookURL = "https://notifications.example.test/api/webhook/"

	// deadline is the timeout of all waits. A controller's first retry comes after a
	// second, and on a busy machine a few more fail.
	deadline = 3 * time.Minute
	// moment is how long Consistently watches.
	moment = 1500 * time.Millisecond
)

// All tests share one API server, one platform and one manager. Each test has its own
// namespace and company.
var (
	k8s       client.Client // as cluster admin, without cache
	adminRest *rest.Config
	// managerRest has the rights of config/rbac and no others.
	managerRest *rest.Config
	platform    *rehivetest.Platform
	theLedger   = &fakeLedger{woken: map[ledger.Lane]int{}}
	logs        = &logBuffer{}
	secrets     = &planted{}
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait, for the API server and for timeouts.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(funcr.New(logs.line, funcr.Options{LogTimestamp: true, Verbosity: 1}))
	controlplane.Main(m, startManager)
}

func startManager(c *controlplane.ControlPlane) (stop func() error, err error) {
	adminRest = c.Config
	if k8s, err = client.New(adminRest, client.Options{Scheme: c.Client.Scheme(), FieldValidation: metav1.FieldValidationStrict}); err != nil {
		return nil, err
	}
	if managerRest, err = limitedUser(c); err != nil {
		return nil, err
	}
	platform = rehivetest.New(rehivetest.Options{})
	if err := platform.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := newManager(ctx, ctrl.Options{}, Options{})
	if err != nil {
		cancel()
		platform.Close()
		return nil, err
	}
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	return func() error {
		leak := findLeak(ctx)
		cancel()
		err := <-stopped
		platform.Close()
		if (leak != nil || err != nil) && testing.Verbose() {
			fmt.Fprintln(os.Stderr, logs.String())
		}
		return errors.Join(leak, err)
	}, nil
}

// limitedUser returns the configuration of a user with the generated role in every
// namespace, so that a missing right fails the tests.
func limitedUser(c *controlplane.ControlPlane) (*rest.Config, error) {
	raw, err := os.ReadFile("../config/rbac/namespaced/role.yaml")
	if err != nil {
		return nil, err
	}
	var namespaced rbacv1.Role
	if err := yaml.UnmarshalStrict(raw, &namespaced); err != nil {
		return nil, err
	}
	role := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: namespaced.Name}, Rules: namespaced.Rules}
	binding := rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "manager"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "manager"}},
	}
	if err := errors.Join(k8s.Create(context.Background(), &role), k8s.Create(context.Background(), &binding)); err != nil {
		return nil, err
	}
	user, err := c.AddUser(envtest.User{Name: "manager"})
	if err != nil {
		return nil, err
	}
	return user.Config(), nil
}

// templateNamespace is where NotificationTemplates are.
const templateNamespace = "rehive-system"

func newManager(ctx context.Context, managerOptions ctrl.Options, options Options) (ctrl.Manager, error) {
	managerOptions.Scheme = k8s.Scheme()
	managerOptions.Metrics = metricsserver.Options{BindAddress: "0"}
	managerOptions.Controller = config.Controller{SkipNameValidation: ptr.To(true)}
	cache := CacheOptions()
	cache.DefaultNamespaces = managerOptions.Cache.DefaultNamespaces
	managerOptions.Cache = cache
	mgr, err := ctrl.NewManager(managerRest, managerOptions)
	if err != nil {
		return nil, err
	}
	if err := IndexFields(ctx, mgr.GetFieldIndexer()); err != nil {
		return nil, err
	}
	// Long for loopback on a busy machine, yet short enough for tests of an API that hangs.
	options.Platform, err = rehive.New(platform.URL(), rehive.WithTimeout(6*time.Second))
	if err != nil {
		return nil, err
	}
	options.PublicURL = publicURL
	options.SenderDomains = &senderDomains
	options.TemplateNamespace = templateNamespace
	options.Ledger = theLedger
	if options.Namespaces, err = activation.NewNamespaces("rehive-system", "t-*"); err != nil {
		return nil, err
	}
	if options.ServedChannels == nil {
		options.ServedChannels = []v1alpha1.Channel{v1alpha1.ChannelEmail}
	}
	providerSecrets, err := providers.NewSecretCache(managerRest, managerOptions.Scheme, cache.DefaultNamespaces)
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(providerSecrets); err != nil {
		return nil, err
	}
	options.ProviderSecrets = providerSecrets
	options.Providers = &providers.Builder{
		Secrets:        providerSecrets,
		Devices:        providers.Devices{},
		AllowNetworks:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		AllowPlaintext: true,
	}
	return mgr, SetupWithManager(mgr, options)
}

// findLeak searches everything that is readable without permission to read Secrets for the
// tokens and webhook secrets of all tests.
func findLeak(ctx context.Context) error {
	var activations v1alpha1.CompanyActivationList
	var rules v1alpha1.NotificationRuleList
	var deliveryProviders v1alpha1.DeliveryProviderList
	var events eventsv1.EventList
	if err := errors.Join(k8s.List(ctx, &activations), k8s.List(ctx, &rules), k8s.List(ctx, &deliveryProviders), k8s.List(ctx, &events)); err != nil {
		return err
	}
	places := map[string]string{"the log": logs.String()}
	for place, objects := range map[string]any{
		"a CompanyActivation": activations, "a NotificationRule": rules, "a DeliveryProvider": deliveryProviders, "an event": events,
	} {
		raw, err := json.Marshal(objects)
		if err != nil {
			return err
		}
		places[place] = string(raw)
	}
	if len(events.Items) == 0 || places["the log"] == "" || len(secrets.all()) == 0 {
		return errors.New("there is nothing to search, so the search for leaks proves nothing")
	}
	// A Replacer searches for all secrets at once, as they are and as JSON has them.
	var pairs []string
	for _, secret := range secrets.all() {
		pairs = append(pairs, secret, "", strings.Trim(strconv.Quote(secret), `"`), "")
	}
	search := strings.NewReplacer(pairs...)
	for place, text := range places {
		if search.Replace(text) != text {
			return fmt.Errorf("%s shows a secret", place)
		}
	}
	return nil
}

// planted collects the secrets that must not leak.
type planted struct {
	mu     sync.Mutex
	values []string
}

func (p *planted) add(value string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if value != "" {
		p.values = append(p.values, value)
	}
	return value
}

func (p *planted) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.values...)
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) line(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(&l.b, prefix, args)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fakeLedger records calls. The real ledger has its own tests.
type fakeLedger struct {
	mu      sync.Mutex
	calls   []string
	broken  map[string]error
	unwoken map[string]error // waking fails
	resumed map[string]int
	woken   map[ledger.Lane]int
}

func (l *fakeLedger) do(what, company string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, what+" "+company)
	return l.broken[company]
}

func (l *fakeLedger) ResumeCompany(_ context.Context, company string, _ ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.resumed == nil {
		l.resumed = make(map[string]int)
	}
	l.resumed[company]++
	return nil
}

func (l *fakeLedger) resumptions(company string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resumed[company]
}

func (l *fakeLedger) WakeDeliveries(_ context.Context, lane ledger.Lane) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.unwoken[lane.Company]; err != nil {
		return err
	}
	l.woken[lane]++
	return nil
}

// wokenFor returns a function for Eventually that counts how often a lane was woken.
func (l *fakeLedger) wokenFor(company string, channel v1alpha1.Channel) func() int {
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.woken[ledger.Lane{Company: company, Channel: string(channel)}]
	}
}

func (l *fakeLedger) CancelCompany(_ context.Context, company, _, _ string) error {
	return l.do("cancel", company)
}

func (l *fakeLedger) PurgeCompany(_ context.Context, company string) error {
	return l.do("purge", company)
}

func (l *fakeLedger) failFor(company string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = make(map[string]error)
	}
	l.broken[company] = err
}

func (l *fakeLedger) failWakingFor(company string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unwoken == nil {
		l.unwoken = make(map[string]error)
	}
	l.unwoken[company] = err
}

func (l *fakeLedger) callsOf(company string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var calls []string
	for _, call := range l.calls {
		if what, of, _ := strings.Cut(call, " "); of == company {
			calls = append(calls, what)
		}
	}
	return calls
}

// fixture is the environment of one test.
type fixture struct {
	*WithT
	t         *testing.T
	ctx       context.Context
	namespace string
	company   string
	admin     rehivetest.User // whose webhooks the platform allows to be changed
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	return newExclusiveFixture(t)
}

// newExclusiveFixture is for tests that change shared state. They run before the parallel
// ones.
func newExclusiveFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{WithT: NewWithT(t), t: t, ctx: t.Context()}
	f.SetDefaultEventuallyTimeout(deadline)
	// Sixteen tests ask the API server at a time, which takes longer for it than their changes.
	f.SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	f.SetDefaultConsistentlyPollingInterval(100 * time.Millisecond)
	f.SetDefaultConsistentlyDuration(moment)
	f.namespace = "t-" + uuid.NewString()[:8]
	f.company = "shop-" + f.namespace
	f.Expect(k8s.Create(f.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}})).To(Succeed())
	f.addCompany(f.company)
	f.admin = f.user("admin")
	return f
}

func (f *fixture) addCompany(id string) {
	f.t.Helper()
	_, err := platform.AddCompany(rehivetest.Company{ID: id, Name: "Shop", SystemEmail: "hello@shop.example", Mode: "production"})
	f.Expect(err).NotTo(HaveOccurred())
}

func (f *fixture) user(group string) rehivetest.User {
	f.t.Helper()
	user, err := platform.AddUser(f.company, rehivetest.User{Group: group})
	f.Expect(err).NotTo(HaveOccurred())
	secrets.add(user.Token)
	return user
}

// service activates an extension on the platform, with a stub instead of our HTTP server,
// and returns it with its token.
func (f *fixture) service() rehivetest.Service {
	f.t.Helper()
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success"}`))
	}))
	f.t.Cleanup(stub.Close)
	service, err := platform.AddService(f.company, rehivetest.Service{Name: "Notifications", URL: stub.URL + "/"})
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(platform.Activate(f.ctx, f.company, service.ID)).To(Succeed())
	service, err = platform.Service(f.company, service.ID)
	f.Expect(err).NotTo(HaveOccurred())
	secrets.add(service.Token)
	return service
}

// validButAwaiting is the verdict on a valid rule of a company that is only declared.
const validButAwaiting = "False/AwaitingActivation"

// declare creates the company's activation without a token.
func (f *fixture) declare(name string) *v1alpha1.CompanyActivation {
	f.t.Helper()
	a := &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec:       v1alpha1.CompanyActivationSpec{Company: f.company},
	}
	f.Expect(k8s.Create(f.ctx, a)).To(Succeed())
	return a
}

// activate does the work of the HTTP server when the platform calls /activate/.
func (f *fixture) activate(token string) *v1alpha1.CompanyActivation {
	f.t.Helper()
	a := &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "shop"}}
	if err := k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a); err != nil {
		a = f.declare("shop")
	}
	f.save(a, token)
	return f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationActive })
}

func (f *fixture) save(a *v1alpha1.CompanyActivation, token string) {
	f.t.Helper()
	f.Eventually(func() error {
		credentials, err := activation.Get(f.ctx, k8s, a)
		if err != nil && !errors.Is(err, activation.ErrMissing) {
			return err
		}
		credentials.Token = token
		return activation.Save(f.ctx, k8s, a, credentials)
	}).Should(Succeed())
}

// check requests a check by the controller, after the given changes, and returns the
// resulting activation.
func (f *fixture) check(a *v1alpha1.CompanyActivation, changes ...func(*v1alpha1.CompanyActivation)) *v1alpha1.CompanyActivation {
	f.t.Helper()
	requested := uuid.NewString()
	f.change(a, func() {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.RequestedAtAnnotation, requested)
		for _, change := range changes {
			change(a)
		}
	})
	f.Eventually(func(g Gomega) {
		g.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		g.Expect(a.Status.LastHandledRequestedAt).To(Equal(requested))
	}).Should(Succeed())
	f.plant(a)
	return a
}

// change changes an object with a patch, which can't conflict with the status that a controller
// writes meanwhile.
func (f *fixture) change(o client.Object, change func()) {
	f.t.Helper()
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
	before, ok := o.DeepCopyObject().(client.Object)
	f.Expect(ok).To(BeTrue())
	change()
	f.Expect(k8s.Patch(f.ctx, o, client.MergeFrom(before))).To(Succeed())
}

// plant registers the activation's webhook secret for the search for leaks.
func (f *fixture) plant(a *v1alpha1.CompanyActivation) string {
	f.t.Helper()
	credentials, err := activation.Get(f.ctx, k8s, a)
	if err != nil {
		return ""
	}
	return secrets.add(credentials.WebhookSecret)
}

func (f *fixture) rule(name, event string) *v1alpha1.NotificationRule {
	return &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: "shop"},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: "A rule",
				Event:       event,
				Email:       &v1alpha1.EmailMessage{To: "{{ user.email }}", Subject: "Hello", Text: "Hello {{ user.first_name }}"},
			},
		},
	}
}

func (f *fixture) create(object client.Object) {
	f.t.Helper()
	f.Expect(k8s.Create(f.ctx, object)).To(Succeed())
}

// condition returns a function for Eventually that reads a condition from the API server as
// "Status/Reason", or "" if there is none.
func (f *fixture) condition(o conditioned, kind string) func() string {
	return func() string {
		if err := k8s.Get(f.ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		return verdictOf(o, kind)
	}
}

func verdictOf(o conditioned, kind string) string {
	condition := meta.FindStatusCondition(o.GetConditions(), kind)
	if condition == nil {
		return ""
	}
	return string(condition.Status) + "/" + condition.Reason
}

func messageOf(o conditioned, kind string) string {
	if condition := meta.FindStatusCondition(o.GetConditions(), kind); condition != nil {
		return condition.Message
	}
	return ""
}

// events returns the reasons of the events about an object.
func (f *fixture) events(o client.Object) func() []string {
	return func() []string {
		var list eventsv1.EventList
		f.Expect(k8s.List(f.ctx, &list, client.InNamespace(f.namespace))).To(Succeed())
		var reasons []string
		for i := range list.Items {
			if list.Items[i].Regarding.UID == o.GetUID() {
				reasons = append(reasons, list.Items[i].Reason)
			}
		}
		return reasons
	}
}

// registered returns the platform's webhooks of this extension by event.
func (f *fixture) registered() map[string]rehivetest.Webhook {
	webhooks := make(map[string]rehivetest.Webhook)
	for _, webhook := range platform.Webhooks(f.company) {
		if webhook.URL == webhookURL {
			webhooks[webhook.Event] = webhook
		}
	}
	return webhooks
}

// calls lists the platform calls for the company, as "METHOD /path".
func (f *fixture) calls() []string {
	var calls []string
	for _, request := range platform.Requests() {
		if request.Company == f.company {
			calls = append(calls, request.Method+" "+request.Path)
		}
	}
	return calls
}
