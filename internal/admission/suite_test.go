// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/httpserver"
	"github.com/rehive/extension-operator/internal/namespaces"
	"github.com/rehive/extension-operator/test/controlplane"
)

const (
	namespace     = "rehive-system"
	unwatched     = "elsewhere"
	configuration = "rehive-extension-admission"
	self          = "system:serviceaccount:" + namespace + ":rehive-extension-controller-manager"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, func(c *controlplane.ControlPlane) (func() error, error) {
		plane = c
		return func() error { return nil }, install(context.Background())
	})
}

// manifests returns the objects of config/default.
func manifests() (objects []*unstructured.Unstructured, err error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../config/default")
	if err != nil {
		return nil, err
	}
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &object.Object); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// install applies the namespaces and the permissions of config/default.
func install(ctx context.Context) error {
	for _, name := range []string{namespace, unwatched} {
		if err := plane.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	objects, err := manifests()
	if err != nil {
		return err
	}
	for _, object := range objects {
		switch object.GetKind() {
		case "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding":
			if err := plane.Client.Create(ctx, object); err != nil {
				return err
			}
		}
	}
	return nil
}

// operator returns a configuration with the permissions of the manager's service account.
func operator() *rest.Config {
	config := rest.CopyConfig(plane.Config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: self,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	return config
}

// replica is one server of the webhook.
type replica struct {
	keeper  *Keeper
	webhook *Webhook
	port    int
	stop    func()
}

// startReplica serves the webhook on a free port.
func startReplica(t *testing.T, certDir string) *replica {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{port: listener.Addr().(*net.TCPAddr).Port}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	measured, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	operatorClient, err := client.New(operator(), client.Options{Scheme: plane.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	r.webhook = New(Options{
		Cache: operatorClient, Live: operatorClient, Watched: namespaces.Of(namespace), Self: self, Metrics: measured, Log: logr.Discard(),
	})
	r.keeper = newKeeper(t, operator(), func(o *KeeperOptions) { o.CertDir, o.Metrics = certDir, measured })
	mux := http.NewServeMux()
	mux.Handle(Path, r.webhook.Handler())
	server, err := httpserver.New("admission", fmt.Sprint("127.0.0.1:", r.port), &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.keeper.GetCertificate}, mux)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
	return r
}

func newKeeper(t *testing.T, config *rest.Config, change func(*KeeperOptions)) *Keeper {
	t.Helper()
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	measured, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	o := KeeperOptions{
		Client: clients, Configuration: configuration, Namespace: namespace, Watched: namespaces.Of(namespace), Self: self,
		Metrics: measured, Log: logr.Discard(),
	}
	if change != nil {
		change(&o)
	}
	return NewKeeper(o)
}

// configure applies the configuration of config/default, with a port of this machine as its
// target, and deletes it at the end of the test.
func configure(t *testing.T, port int) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	objects, err := manifests()
	if err != nil {
		t.Fatal(err)
	}
	applied := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	for _, object := range objects {
		if object.GetKind() != "ValidatingWebhookConfiguration" {
			continue
		}
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, applied); err != nil {
			t.Fatal(err)
		}
	}
	if applied.Name != configuration || len(applied.Webhooks) != 1 {
		t.Fatalf("config/default has the configuration %+v", applied)
	}
	url := fmt.Sprintf("https://127.0.0.1:%d%s", port, *applied.Webhooks[0].ClientConfig.Service.Path)
	applied.Webhooks[0].ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &url}
	if err := plane.Client.Create(t.Context(), applied); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(plane.Client.Delete(context.Background(), applied)); err != nil {
			t.Error(err)
		}
	})
	return applied
}

// serve starts one replica and waits until the API server calls it.
func serve(t *testing.T) *replica {
	t.Helper()
	r := startReplica(t, "")
	configure(t, r.port)
	if err := r.keeper.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitRefusals(t)
	return r
}

// awaitRefusals waits until the API server has noticed the configuration.
func awaitRefusals(t *testing.T) {
	t.Helper()
	eventually(t, "the API server to ask the webhook", func() bool { return isRefused(dryRun(t, rule("canary", withText("{% if %}")))) })
}

func dryRun(t *testing.T, object client.Object) error {
	return plane.Client.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll)
}

func isRefused(err error) bool {
	return err != nil && strings.Contains(err.Error(), `admission webhook "admission.extensions.rehive.com" denied the request: `)
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func rule(name string, changes ...func(*v1alpha1.NotificationRule)) *v1alpha1.NotificationRule {
	r := &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: "shop"},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: "A rule",
				Event:       "transaction.execute",
				Email:       &v1alpha1.EmailMessage{To: "{{ user.email }}", Subject: "Hello", Text: "Hello {{ user.first_name }}"},
			},
		},
	}
	for _, change := range changes {
		change(r)
	}
	return r
}

func withText(text string) func(*v1alpha1.NotificationRule) {
	return func(r *v1alpha1.NotificationRule) { r.Spec.Email.Text = text }
}

// warnings collects the warnings that the API server returns.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// take returns the warnings since the last call.
func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.text, "\n")
	w.text = nil
	return text
}

// user returns a client of an administrator, and the warnings that it receives.
func user(t *testing.T) (client.Client, *warnings) {
	t.Helper()
	heard := &warnings{}
	config := rest.CopyConfig(plane.Config)
	config.WarningHandler = heard
	c, err := client.New(config, client.Options{Scheme: plane.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c, heard
}
