// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/controllers"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// realNamespace is the prefix of the namespaces in which the real controllers act instead
// of the stub.
const realNamespace = "rehive-real-"

// newRealFixture returns a fixture whose manager runs the real controllers, and whose
// platform has registered the server as an extension.
func newRealFixture(t *testing.T, change ...func(*Options)) (*fixture, rehivetest.Service) {
	c := shared
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: realNamespace}}
	if err := c.mgr.GetClient().Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String() + "/api/"
	f := newFixture(t, func(o *Options) {
		cacheOptions := controllers.CacheOptions()
		cacheOptions.DefaultNamespaces = map[string]cache.Config{namespace.Name: {}}
		again := true // the process runs the same controllers in several managers, one after another
		mgr, err := ctrl.NewManager(c.config, manager.Options{
			Scheme:     testScheme,
			Metrics:    metricsserver.Options{BindAddress: "0"},
			Cache:      cacheOptions,
			Controller: config.Controller{SkipNameValidation: &again},
			Logger:     o.Log,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		err = errors.Join(controllers.IndexFields(ctx, mgr.GetFieldIndexer()), controllers.SetupWithManager(mgr, controllers.Options{
			Platform: o.Platform, PublicURL: url, Ledger: o.Ledger.(ledger.Store),
			Namespaces: activation.AllNamespaces(), ServedChannels: []v1alpha1.Channel{v1alpha1.ChannelEmail},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if o.Activations, err = activation.NewIndex(ctx, mgr.GetCache(), activation.AllNamespaces()); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- mgr.Start(ctx) }()
		t.Cleanup(func() {
			cancel()
			<-done
		})
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			t.Fatal("the cache did not sync")
		}
		o.Listener, o.Namespace = listener, namespace.Name
		o.Client, o.APIReader = mgr.GetClient(), mgr.GetAPIReader()
		for _, c := range change {
			c(o)
		}
	})
	service, err := f.platform.AddService(f.company, rehivetest.Service{URL: url})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	return f, service
}

func (f *fixture) condition(name string) metav1.Condition {
	f.Helper()
	if c := meta.FindStatusCondition(f.activation().Status.Conditions, name); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// TestFullLifecycleWithControllers runs an extension's life as driven by the platform with
// all components except the delivery worker.
func TestFullLifecycleWithControllers(t *testing.T) {
	f, service := newRealFixture(t)
	ctx := t.Context()
	f.Expect(f.platform.Activate(ctx, f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.condition(v1alpha1.ReadyCondition).Status).To(gomega.Equal(metav1.ConditionTrue), "before /activate/ is answered")
	secret := f.credentials().WebhookSecret
	f.Expect(f.platform.Webhooks(f.company)).NotTo(gomega.BeEmpty())
	for _, w := range f.platform.Webhooks(f.company) {
		f.Expect(w.URL).To(gomega.Equal(f.url + "/api/webhook/"))
		f.Expect(w.Secret).To(gomega.Equal(secret))
	}

	emit := func() (code int) {
		ids, err := f.platform.EmitSample(f.company, "user.password.reset", f.admin.ID)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(ids).To(gomega.HaveLen(1))
		f.Eventually(func() int {
			for _, task := range f.platform.Tasks(f.company) {
				if task.ID == ids[0] && len(task.Attempts) > 0 {
					code = task.Attempts[0].Code
				}
			}
			return code
		}).ShouldNot(gomega.BeZero())
		if code == 200 {
			f.Expect(f.claim()).To(gomega.HaveKey(strconv.FormatInt(ids[0], 10)))
		}
		return code
	}
	f.Expect(emit()).To(gomega.Equal(200), "the first webhook after the activation")

	f.Expect(f.platform.RotateToken(ctx, f.company, service.ID)).To(gomega.Succeed())
	f.Eventually(func() string {
		a := f.activation()
		return a.Status.LastHandledRequestedAt + f.condition(v1alpha1.ReadyCondition).Reason
	}).Should(gomega.Equal(f.activation().Annotations[v1alpha1.RequestedAtAnnotation] + v1alpha1.ActiveReason))

	f.Expect(f.platform.Deactivate(ctx, f.company, service.ID)).To(gomega.Succeed())
	f.Expect(emit()).To(gomega.Equal(400), "the first webhook after the deactivation")
	f.Expect(f.platform.Activate(ctx, f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret))
	f.Expect(emit()).To(gomega.Equal(200))

	// If the Secret is deleted, webhooks are refused until the next activation, which
	// adopts the secret of the platform's webhooks.
	a := f.activation()
	f.Expect(f.client.Delete(ctx, f.secretOf(a))).To(gomega.Succeed())
	f.Eventually(emit).Should(gomega.Equal(400))
	f.Expect(f.platform.Deactivate(ctx, f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.platform.Activate(ctx, f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.credentials().WebhookSecret).To(gomega.Equal(secret))
	f.Expect(emit()).To(gomega.Equal(200))

	f.Expect(f.platform.RemoveCompany(ctx, f.company)).To(gomega.Succeed())
	err := f.mgr.GetAPIReader().Get(ctx, client.ObjectKeyFromObject(a), a)
	f.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "%v", err)
	var rules v1alpha1.NotificationRuleList
	f.Expect(f.mgr.GetAPIReader().List(ctx, &rules, client.InNamespace(a.Namespace),
		client.MatchingFields{controllers.RuleActivationField: a.Name})).To(gomega.Succeed())
	f.Expect(rules.Items).To(gomega.BeEmpty())
}

// TestMissingPermission checks that the admin learns which permission is missing.
func TestMissingPermission(t *testing.T) {
	f, service := newRealFixture(t)
	permissions := rehivetest.MinimumPermissions()
	var withoutAdd []rehivetest.Permission
	for _, p := range permissions {
		if p.Type != "webhook" || p.Level != "add" {
			withoutAdd = append(withoutAdd, p)
		}
	}
	f.Expect(f.platform.SetPermissions(f.company, service.ID, withoutAdd)).To(gomega.Succeed())
	err := f.platform.Activate(t.Context(), f.company, service.ID)
	f.Expect(err).To(gomega.MatchError(gomega.MatchRegexp("^Unable to configure event webhooks[.] .*webhook.*[.]$")))
	t.Logf("the admin sees: %v", err)
	f.Expect(f.activation().Spec.State).To(gomega.Equal(v1alpha1.ActivationInactive))
	f.Expect(f.credentials().Token).To(gomega.BeEmpty())

	f.Expect(f.platform.SetPermissions(f.company, service.ID, permissions)).To(gomega.Succeed())
	f.Expect(f.platform.Activate(t.Context(), f.company, service.ID)).To(gomega.Succeed())
	f.Expect(f.condition(v1alpha1.ReadyCondition).Status).To(gomega.Equal(metav1.ConditionTrue))
}

// TestOutageWhileRegistering checks that an activation during an outage succeeds within the
// platform's ten seconds and is completed after the outage.
func TestOutageWhileRegistering(t *testing.T) {
	for name, fault := range map[string]rehivetest.Fault{
		"503":  platformFaults["503"],
		"429":  platformFaults["429"],
		"hang": platformFaults["a hang"],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A busy machine needs more of the platform's ten seconds than the default leaves.
			f, service := newRealFixture(t, func(o *Options) { o.Limits.LifecycleBudget = 5 * time.Second })
			fault.Path = "/3/admin/webhooks/"
			remove := f.platform.InjectFault(fault)
			// The platform gives up when its time is over.
			f.Expect(f.platform.Activate(t.Context(), f.company, service.ID)).To(gomega.Succeed())
			f.Expect(f.activation().IsActive()).To(gomega.BeTrue())
			f.Eventually(func() string { return f.condition(v1alpha1.WebhooksRegisteredCondition).Reason }).Should(gomega.Equal(v1alpha1.PlatformUnavailableReason))
			remove()
			f.Eventually(func() metav1.ConditionStatus {
				return f.condition(v1alpha1.WebhooksRegisteredCondition).Status
			}).Should(gomega.Equal(metav1.ConditionTrue))
		})
	}
}
