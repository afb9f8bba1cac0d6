// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/internal/namespaces"
)

func deleteSecret(t *testing.T) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName}}
	if err := client.IgnoreNotFound(plane.Client.Delete(context.Background(), secret)); err != nil {
		t.Fatal(err)
	}
}

func stored(t *testing.T) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := plane.Client.Get(t.Context(), client.ObjectKey{Name: configuration}, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRotation replaces the certificate while the webhook is called continuously.
func TestRotation(t *testing.T) {
	g := NewWithT(t)
	deleteSecret(t)
	r := serve(t)
	first := r.keeper.serving.Load()

	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var asked, missed atomic.Int64
	asking.Go(func() {
		for ctx.Err() == nil {
			asked.Add(1)
			if !isRefused(dryRun(t, rule("rotation", withText("{% if %}")))) {
				missed.Add(1)
			}
		}
	})
	before := asked.Load()
	moreReviews := func() {
		at := asked.Load()
		eventually(t, "more questions", func() bool { return asked.Load() > at+20 })
	}

	// Nothing changes while most of the time is left.
	r.keeper.now = func() time.Time { return time.Now().Add(validity/2 + time.Hour) }
	g.Expect(r.keeper.Sync(ctx)).To(Succeed())
	g.Expect(r.keeper.serving.Load().pair.Leaf).To(Equal(first.pair.Leaf))

	r.keeper.now = func() time.Time { return time.Now().Add(validity*2/3 + time.Hour) }
	g.Expect(r.keeper.Sync(ctx)).To(Succeed())
	g.Expect(r.keeper.serving.Load().pair.Leaf).To(Equal(first.pair.Leaf), "the API server is given time to notice the new authority")
	moreReviews()
	g.Expect(r.keeper.Sync(ctx)).To(Succeed())
	second := r.keeper.serving.Load()
	g.Expect(second.pair.Leaf).NotTo(Equal(first.pair.Leaf))
	moreReviews()
	g.Expect(parseBundle(stored(t).Webhooks[0].ClientConfig.CABundle)).To(HaveLen(2), "another replica may still serve the former certificate")
	cancel()
	asking.Wait()
	g.Expect(asked.Load()).To(BeNumerically(">", before+40))
	// A check that was in flight when the API server read the configuration may fail.
	g.Expect(missed.Load()).To(BeNumerically("<=", 1))
	g.Expect(testutil.ToFloat64(r.keeper.o.Metrics.expiry)).To(BeNumerically("==", second.pair.Leaf.NotAfter.Unix()))

	// An authority is removed once it has expired.
	r.keeper.now = func() time.Time { return time.Now().Add(validity*2 + time.Hour) }
	g.Expect(r.keeper.Sync(t.Context())).To(Succeed())
	g.Expect(parseBundle(stored(t).Webhooks[0].ClientConfig.CABundle)).To(HaveLen(1))
	deleteSecret(t)
}

// TestReplicas starts several replicas at once: they agree on a certificate.
func TestReplicas(t *testing.T) {
	g := NewWithT(t)
	deleteSecret(t)
	configure(t, 9)
	keepers := make([]*Keeper, 5)
	errs := make([]error, len(keepers))
	var all sync.WaitGroup
	for i := range keepers {
		keepers[i] = newKeeper(t, operator(), nil)
		all.Go(func() { errs[i] = keepers[i].Sync(t.Context()) })
	}
	all.Wait()
	for i := range keepers {
		g.Expect(errs[i]).NotTo(HaveOccurred())
		g.Expect(keepers[i].serving.Load().pair.Certificate).To(Equal(keepers[0].serving.Load().pair.Certificate))
	}
	g.Expect(trusts(stored(t).Webhooks[0].ClientConfig.CABundle, keepers[0].serving.Load().bundle)).To(BeTrue())
}

// TestConfiguration checks that the keeper sets its part of the configuration, beside the
// tool that applies the manifests.
func TestConfiguration(t *testing.T) {
	g := NewWithT(t)
	deleteSecret(t)
	applied := configure(t, 9)
	k := newKeeper(t, operator(), func(o *KeeperOptions) { o.Watched = namespaces.Of(namespace, "team-a") })
	g.Expect(k.Sync(t.Context())).To(Succeed())
	w := stored(t).Webhooks[0]
	g.Expect(w.NamespaceSelector.MatchExpressions).To(ConsistOf(metav1.LabelSelectorRequirement{
		Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{namespace, "team-a"},
	}))
	g.Expect(w.MatchConditions).To(ConsistOf(
		applied.Webhooks[0].MatchConditions[0],
		admissionregistrationv1.MatchCondition{Name: selfCondition, Expression: `request.userInfo.username != "` + self + `"`},
	))
	g.Expect(*w.FailurePolicy).To(Equal(admissionregistrationv1.Ignore))
	g.Expect(*w.SideEffects).To(Equal(admissionregistrationv1.SideEffectClassNone))
	g.Expect(time.Duration(*w.TimeoutSeconds) * time.Second).To(BeNumerically(">", judgeTime))

	// Without a difference, nothing is written.
	version := stored(t).ResourceVersion
	g.Expect(k.Sync(t.Context())).To(Succeed())
	g.Expect(stored(t).ResourceVersion).To(Equal(version))

	// Changes by others are reverted.
	drifted := stored(t)
	drifted.Webhooks[0].ClientConfig.CABundle, drifted.Webhooks[0].NamespaceSelector, drifted.Webhooks[0].MatchConditions = nil, nil, applied.Webhooks[0].MatchConditions
	g.Expect(plane.Client.Update(t.Context(), drifted)).To(Succeed())
	g.Expect(k.Sync(t.Context())).To(Succeed())
	g.Expect(k.isUpToDate(stored(t), k.serving.Load())).To(BeTrue())

	// An operator that watches every namespace.
	wide := newKeeper(t, operator(), func(o *KeeperOptions) { o.Watched = namespaces.All() })
	g.Expect(wide.Sync(t.Context())).To(Succeed())
	g.Expect(stored(t).Webhooks[0].NamespaceSelector.MatchExpressions).To(BeEmpty())
}

// TestFailures checks that each failure is reported, and that the keeper continues.
func TestFailures(t *testing.T) {
	g := NewWithT(t)
	deleteSecret(t)
	k := newKeeper(t, operator(), nil)
	g.Expect(k.Sync(t.Context())).To(MatchError(ContainSubstring("the ValidatingWebhookConfiguration rehive-extension-admission does not exist: apply config/admission")))
	_, err := k.GetCertificate(nil)
	g.Expect(err).To(MatchError("the admission webhook has no certificate yet"))

	applied := configure(t, 9)
	nobody := rest.CopyConfig(plane.Config)
	nobody.Impersonate = rest.ImpersonationConfig{UserName: "nobody", Groups: []string{"system:authenticated"}}
	g.Expect(newKeeper(t, nobody, nil).Sync(t.Context())).To(MatchError(ContainSubstring("the service account may not read the ValidatingWebhookConfiguration")))

	// A Secret of the same name with another owner.
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName}}
	g.Expect(plane.Client.Create(t.Context(), secret)).To(Succeed())
	g.Expect(k.Sync(t.Context())).To(MatchError(ContainSubstring("was not created by the operator")))
	deleteSecret(t)

	// The manager reports it, and recovers.
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = k.Start(ctx) })
	eventually(t, "the webhook to be ready", func() bool { return testutil.ToFloat64(k.o.Metrics.ready) == 1 })
	cancel()
	running.Wait()
	k.report(context.DeadlineExceeded)
	g.Expect(testutil.ToFloat64(k.o.Metrics.ready)).To(BeZero())

	// The configuration of another installation is left alone.
	path := "/validate"
	other := stored(t)
	other.Webhooks[0].ClientConfig.URL = nil
	other.Webhooks[0].ClientConfig.Service = &admissionregistrationv1.ServiceReference{Namespace: "another", Name: "admission", Path: &path}
	g.Expect(plane.Client.Update(t.Context(), other)).To(Succeed())
	g.Expect(k.Sync(t.Context())).To(MatchError(ContainSubstring("belongs to the installation in the namespace another")))
	other.Webhooks[0].ClientConfig.Service.Namespace = namespace
	host, err := k.host(other)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(host).To(Equal("admission." + namespace + ".svc"))
	_ = applied
}

// TestCertificateDirectory serves a certificate that cert-manager maintains in files.
func TestCertificateDirectory(t *testing.T) {
	g := NewWithT(t)
	deleteSecret(t)
	directory := t.TempDir()
	write := func() []byte {
		certificatePEM, keyPEM, bundle, err := issue("127.0.0.1", nil, time.Now())
		g.Expect(err).NotTo(HaveOccurred())
		for name, content := range map[string][]byte{"tls.crt": certificatePEM, "tls.key": keyPEM, "ca.crt": bundle} {
			g.Expect(os.WriteFile(filepath.Join(directory, name), content, 0o600)).To(Succeed())
		}
		return bundle
	}
	r := startReplica(t, directory)
	configure(t, r.port)
	g.Expect(r.keeper.Sync(t.Context())).To(MatchError(ContainSubstring("--admission-cert-dir: ")))
	first := write()
	g.Expect(r.keeper.Sync(t.Context())).To(Succeed())
	awaitRefusals(t)
	g.Expect(bytes.Equal(stored(t).Webhooks[0].ClientConfig.CABundle, first)).To(BeTrue())

	second := write()
	g.Expect(r.keeper.Sync(t.Context())).To(Succeed())
	g.Expect(r.keeper.Sync(t.Context())).To(Succeed())
	g.Expect(bytes.Equal(r.keeper.serving.Load().bundle, second)).To(BeTrue())
	awaitRefusals(t)
	g.Expect(client.IgnoreNotFound(plane.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: SecretName}, &corev1.Secret{}))).To(Succeed())

	// Without ca.crt, something else must set the authority.
	g.Expect(os.Remove(filepath.Join(directory, "ca.crt"))).To(Succeed())
	g.Expect(r.keeper.Sync(t.Context())).To(Succeed())
	bare := stored(t)
	bare.Webhooks[0].ClientConfig.CABundle = nil
	g.Expect(plane.Client.Update(t.Context(), bare)).To(Succeed())
	g.Expect(r.keeper.Sync(t.Context())).To(MatchError(ContainSubstring("does not know which authority issued the certificate")))
}
