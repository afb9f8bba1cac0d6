// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/controllers"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/dispatch"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/controlplane"
)

// namespace is where the server creates activations.
const namespace = "rehive-system"

var testScheme = controlplane.Scheme()

// cluster is the API server that all tests share, with a manager. Tests are isolated by
// using their own companies.
type cluster struct {
	config      *rest.Config
	mgr         manager.Manager
	activations *activation.Index
	rules       *catalog.Catalog
	stub        *stubController
}

// shared is set by TestMain.
var shared *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	// The parallel tests mostly wait.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// Not klog, which reads os.Stderr while the package testing sets it.
	logf.SetLogger(funcr.New(func(prefix, args string) { _, _ = fmt.Println(prefix, args) }, funcr.Options{LogTimestamp: true}))
	controlplane.Main(m, startCluster)
}

func startCluster(c *controlplane.ControlPlane) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	mgr, err := ctrl.NewManager(c.Config, manager.Options{
		NewClient: activation.NewClient,
		Scheme:    testScheme,
		Metrics:   metricsserver.Options{BindAddress: "0"},
		Cache:     controllers.CacheOptions(),
	})
	if err != nil {
		return nil, err
	}
	activations, err := activation.NewIndex(ctx, mgr.GetCache(), activation.AllNamespaces())
	if err != nil {
		return nil, err
	}
	rules, err := catalog.New(ctx, mgr.GetCache(), activations)
	if err != nil {
		return nil, err
	}
	err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.NotificationRule{}, activation.RuleField, func(o client.Object) []string {
		return []string{o.(*v1alpha1.NotificationRule).Spec.CompanyRef.Name}
	})
	if err != nil {
		return nil, err
	}
	stub := &stubController{client: mgr.GetClient(), apiReader: mgr.GetAPIReader()}
	if err := stub.setup(mgr); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = func() error {
		cancel()
		return <-done
	}
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.New("the cache did not sync")
	}
	if err := mgr.GetClient().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, errors.Join(err, stop())
	}
	shared = &cluster{config: c.Config, mgr: mgr, activations: activations, rules: rules, stub: stub}
	return stop, nil
}

// fixture is a server over real HTTP with its dependencies.
type fixture struct {
	*testing.T
	gomega.Gomega
	*cluster
	platform *rehivetest.Platform
	server   *Server
	url      string
	client   client.Client
	store    ledger.Store
	clock    *laterClock // of the store
	logs     *logBuffer
	company  string
	admin    rehivetest.User // of company, in the group admin
	second   rehivetest.User // another admin
	stop     func() error    // ends Start

	description *openapi3.T // see described
}

// laterClock is the machine's clock, set forward.
type laterClock struct {
	clock.RealClock
	by atomic.Int64
}

func (c *laterClock) Now() time.Time { return c.RealClock.Now().Add(time.Duration(c.by.Load())) }

func (c *laterClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// newFixture starts a server and a platform with one company.
func newFixture(t *testing.T, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{T: t, Gomega: gomega.NewWithT(t), cluster: shared, logs: &logBuffer{}, clock: &laterClock{}}
	f.SetDefaultEventuallyTimeout(3 * time.Minute)
	f.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	f.client = f.mgr.GetClient()

	f.platform = rehivetest.New(rehivetest.Options{})
	t.Cleanup(f.platform.Close)
	f.Expect(f.platform.Start("127.0.0.1:0")).To(gomega.Succeed())
	f.company = f.addCompany("acme")
	f.admin = f.addUser(f.company, "admin")
	f.second = f.addUser(f.company, "admin")
	platform, err := rehive.New(f.platform.URL())
	f.Expect(err).NotTo(gomega.HaveOccurred())
	t.Cleanup(platform.CloseIdleConnections)

	store, err := sqlite.Open(t.Context(), sqlitetest.NewFile(t), ledger.Options{Clock: f.clock})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	t.Cleanup(func() { _ = store.Close() })
	f.store = store

	dispatcher, err := dispatch.New(dispatch.Options{Ledger: store, Catalog: f.rules, Platform: platform, DefaultFrom: "noreply@example.com"})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	options := Options{
		Previews:    dispatcher,
		Address:     "127.0.0.1:0",
		Client:      f.client,
		Activations: f.activations,
		APIReader:   f.mgr.GetAPIReader(),
		Platform:    platform,
		Ledger:      store,
		Namespace:   namespace,
		Namespaces:  activation.AllNamespaces(),
		// At level 8 client-go logs bodies; the manager never enables that.
		Log: funcr.New(f.logs.write, funcr.Options{Verbosity: 5}),
	}
	for _, c := range change {
		c(&options)
	}
	f.server, err = New(options)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.url = "http://" + f.server.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan error, 1)
	go func() { started <- f.server.Start(ctx) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-started
	})
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("the server stopped with %v", err)
		}
		f.searchLogs()
	})
	return f
}

// companies numbers the companies of this run, so that they are unique.
var companies struct {
	sync.Mutex
	n int
}

func (f *fixture) addCompany(prefix string) string {
	companies.Lock()
	companies.n++
	id := fmt.Sprintf("%s-%d", prefix, companies.n)
	companies.Unlock()
	_, err := f.platform.AddCompany(rehivetest.Company{ID: id, Name: "Acme"})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return id
}

func (f *fixture) addUser(company, group string) rehivetest.User {
	u, err := f.platform.AddUser(company, rehivetest.User{Group: group})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return u
}

// response is an answer of the server.
type response struct {
	status int
	header http.Header
	body   string
}

func (r response) String() string { return fmt.Sprintf("%d %s", r.status, r.body) }

// send makes a request exactly as given.
func (f *fixture) send(method, path string, body io.Reader, header http.Header) response {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.url+path, body)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	for k, v := range header {
		req.Header[k] = v
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return response{resp.StatusCode, resp.Header, string(text)}
}

// post sends body as JSON; a string is sent unchanged.
func (f *fixture) post(path string, body any) response {
	f.Helper()
	text, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		text = string(encoded)
	}
	return f.send(http.MethodPost, path, strings.NewReader(text), http.Header{"Content-Type": {"application/json"}})
}

func (f *fixture) activate(token string) response {
	f.Helper()
	return f.post("/api/activate/", map[string]string{"token": token})
}

// webhook sends a webhook with the given Authorization header.
func (f *fixture) webhook(authorization string, body any) response {
	f.Helper()
	encoded, ok := body.(string)
	if !ok {
		b, err := json.Marshal(body)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		encoded = string(b)
	}
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"rehive-platform/3.0.0"}}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	return f.send(http.MethodPost, "/api/webhook/", strings.NewReader(encoded), header)
}

type object = map[string]any

// event returns the body of a webhook for the fixture's company.
func (f *fixture) event(id any) object {
	return object{"id": id, "event": "user.create", "company": f.company, "data": object{"id": "u1"}}
}

const success = `{"status":"success"}`

func (f *fixture) expectSuccess(r response) {
	f.Helper()
	f.Expect(r.String()).To(gomega.Equal("200 " + success))
	f.Expect(r.header.Get("Content-Type")).To(gomega.Equal("application/json"))
}

// expectError checks an error envelope: the messages of one field or, if field is empty,
// only the message.
func (f *fixture) expectError(r response, status int, field string, messages ...string) {
	f.Helper()
	want := object{"status": "error", "message": strings.Join(messages, " ")}
	if field != "" {
		want["data"] = object{field: messages}
	}
	encoded, err := json.Marshal(want)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(r.status).To(gomega.Equal(status), r.String())
	f.Expect(r.body).To(gomega.MatchJSON(encoded))
	f.Expect(r.header.Get("Content-Type")).To(gomega.Equal("application/json"))
}

// activation reads the company's activation from the API server; nil if there is none.
func (f *fixture) activation() *v1alpha1.CompanyActivation {
	f.Helper()
	a, err := activation.AllNamespaces().Find(f.Context(), f.mgr.GetAPIReader(), f.company)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return a
}

// storedRules reads the rules of the company's activation from the API server.
func (f *fixture) storedRules() []v1alpha1.NotificationRule {
	f.Helper()
	var rules v1alpha1.NotificationRuleList
	ofCompany := client.MatchingFields{activation.RuleField: f.activation().Name}
	f.Expect(f.mgr.GetAPIReader().List(f.Context(), &rules, client.InNamespace(namespace), ofCompany)).To(gomega.Succeed())
	return rules.Items
}

// credentials reads the company's credentials from the API server.
func (f *fixture) credentials() activation.Credentials {
	f.Helper()
	a := f.activation()
	f.Expect(a).NotTo(gomega.BeNil())
	credentials, err := activation.Get(f.Context(), f.mgr.GetAPIReader(), a)
	if errors.Is(err, activation.ErrMissing) {
		return activation.Credentials{}
	}
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return credentials
}

// declare creates an activation as a platform team would.
func (f *fixture) declare(namespace, name string) *v1alpha1.CompanyActivation {
	f.Helper()
	err := f.client.Create(f.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	f.Expect(client.IgnoreAlreadyExists(err)).To(gomega.Succeed())
	a := &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.CompanyActivationSpec{Company: f.company},
	}
	f.Expect(f.client.Create(f.Context(), a)).To(gomega.Succeed())
	return a
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) write(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintln(&l.b, prefix, args)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// searchLogs fails the test if a token, a webhook secret or a webhook's data was logged.
func (f *fixture) searchLogs() {
	logs := f.logs.String()
	planted := []string{"planted", f.admin.Token, f.second.Token}
	for _, company := range f.platform.Companies() {
		for _, u := range f.platform.Users(company.ID) {
			planted = append(planted, u.Token)
		}
	}
	var secrets corev1.SecretList
	if owners := f.owners(); owners != nil {
		if err := f.mgr.GetAPIReader().List(context.Background(), &secrets, client.MatchingLabelsSelector{Selector: owners}); err != nil {
			f.Errorf("listing the Secrets: %v", err)
		}
	}
	for _, s := range secrets.Items {
		planted = append(planted, string(s.Data[v1alpha1.SecretKeyToken]), string(s.Data[v1alpha1.SecretKeyWebhookSecret]))
	}
	for _, secret := range planted {
		if secret != "" && strings.Contains(logs, secret) {
			f.Errorf("the log contains the secret %q", secret)
		}
	}
}

// owners selects the Secrets of the activations of the platform's companies; nil if there are
// no activations.
func (f *fixture) owners() labels.Selector {
	var activations v1alpha1.CompanyActivationList
	if err := f.mgr.GetClient().List(context.Background(), &activations, client.UnsafeDisableDeepCopy); err != nil {
		f.Errorf("listing the activations: %v", err)
	}
	companies := map[string]bool{}
	for _, company := range f.platform.Companies() {
		companies[company.ID] = true
	}
	var names []string
	for i := range activations.Items {
		if a := &activations.Items[i]; companies[a.Spec.Company] {
			names = append(names, a.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	is, err := labels.NewRequirement(activation.ActivationLabel, selection.In, names)
	if err != nil {
		f.Errorf("selecting Secrets: %v", err)
		return nil
	}
	return labels.NewSelector().Add(*is)
}
