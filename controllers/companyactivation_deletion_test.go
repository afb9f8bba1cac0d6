// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// awaitDeletion waits until an object no longer exists.
func (f *fixture) awaitDeletion(o client.Object) {
	f.t.Helper()
	f.Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(f.ctx, client.ObjectKeyFromObject(o), o))
	}).Should(BeTrue())
}

func (f *fixture) secret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "shop-rehive"}}
}

func (f *fixture) purge(a *v1alpha1.CompanyActivation) {
	f.t.Helper()
	f.change(a, func() {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.PurgeAnnotation, "true")
	})
}

func TestDeletionKeepsRulesAndRecords(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	byHand := registerByHand(f, "https://elsewhere.example.test/hook/", "user.create")
	rule := f.rule("mine", "user.create")
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))

	f.Expect(a.Finalizers).To(BeEmpty(), "the operator may be gone when it is deleted")
	f.Expect(k8s.Delete(f.ctx, a)).To(Succeed())
	f.Expect(apierrors.IsNotFound(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a))).To(BeTrue())
	f.awaitDeletion(f.secret())
	f.Expect(f.registered()).To(BeEmpty())
	f.Expect(platform.Webhooks(f.company)).To(ContainElement(HaveField("ID", byHand)))
	f.Expect(theLedger.callsOf(f.company)).To(And(Not(BeEmpty()), HaveEach("cancel")))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/CompanyActivationNotFound"))

	a = f.activate(f.admin.Token)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
}

// A deleted object that finalizers of other programs keep says that it has no effect anymore.
func TestFinalizersOfOthers(t *testing.T) {
	for name, purge := range map[string]bool{"deleted": false, "purged": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			a := f.activate(f.admin.Token)
			rule := f.rule("mine", "user.create")
			f.create(rule)
			f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
			const hold = "example.com/hold"
			for _, o := range []client.Object{a, rule} {
				f.change(o, func() { o.SetFinalizers(append(o.GetFinalizers(), hold)) })
			}
			if purge {
				f.purge(a)
			}
			f.Expect(k8s.Delete(f.ctx, rule)).To(Succeed())
			f.Expect(k8s.Delete(f.ctx, a)).To(Succeed())
			f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/DeletionPending"))
			f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/DeletionPending"))
			for _, o := range []conditioned{a, rule} {
				f.Expect(messageOf(o, v1alpha1.ReadyCondition)).To(HaveSuffix("are removed: " + hold + "."))
			}
			for _, o := range []client.Object{rule, a} {
				f.change(o, func() { o.SetFinalizers(nil) })
				f.awaitDeletion(o)
			}
			f.awaitDeletion(f.secret())
		})
	}
}

func TestPurgeRemovesEverything(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	f.create(f.rule("mine", "user.create"))
	others := f.rule("of-another", "user.create")
	others.Spec.CompanyRef.Name = "another"
	f.create(others)

	f.purge(a)
	f.awaitDeletion(a)
	f.awaitDeletion(f.secret())
	f.Expect(f.registered()).To(BeEmpty())
	f.Expect(theLedger.callsOf(f.company)).To(And(Not(BeEmpty()), HaveEach("purge")))
	var rules v1alpha1.NotificationRuleList
	f.Eventually(func() []v1alpha1.NotificationRule {
		f.Expect(k8s.List(f.ctx, &rules, client.InNamespace(f.namespace))).To(Succeed())
		return rules.Items
	}).Should(ConsistOf(HaveField("Name", "of-another")))
}

func TestDeletionDoesNotWaitForThePlatform(t *testing.T) {
	for name, fault := range map[string]rehivetest.Fault{
		"hanging":  {Kind: rehivetest.FaultHang},
		"failing":  {Kind: rehivetest.FaultStatus, Status: 500},
		"refusing": {Kind: rehivetest.FaultStatus, Status: 403, Method: http.MethodDelete},
		"gone":     {Kind: rehivetest.FaultClose},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			a := f.activate(f.admin.Token)
			fault.Company = f.company
			defer platform.InjectFault(fault)()
			f.purge(a)
			f.awaitDeletion(a)
			f.awaitDeletion(f.secret())
			f.Expect(theLedger.callsOf(f.company)).To(And(Not(BeEmpty()), HaveEach("purge")))
		})
	}
}

// TestDeletionSlowPlatform needs more calls than fit into the time limit.
func TestDeletionSlowPlatform(t *testing.T) {
	f := newFixture(t)
	for _, event := range []string{"user.create", "user.update", "address.create", "address.update", "document.create", "document.update",
		"email.create", "email.update", "mobile.create", "mobile.update", "account.create", "account.update"} {
		f.create(f.rule("on-"+event, event))
	}
	a := f.activate(f.admin.Token)
	registered := func() int { return len(f.registered()) }
	f.Eventually(registered).Should(BeNumerically(">=", 12), "the rules may be seen after the activation")
	all := registered()
	defer platform.InjectFault(rehivetest.Fault{Company: f.company, Method: http.MethodDelete, Kind: rehivetest.FaultDelay, Delay: 1500 * time.Millisecond})()
	f.purge(a)
	f.awaitDeletion(a)
	f.Expect(registered()).To(BeNumerically(">", 0), "webhooks that can't be removed in time remain")
	f.Expect(registered()).To(BeNumerically("<", all), "the others are removed")
}

func TestDeletionWaitsForTheLedger(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	theLedger.failFor(f.company, errors.New("the disk is full"))
	f.purge(a)
	f.Eventually(func() []string { return theLedger.callsOf(f.company) }).Should(HaveLen(2), "cleaning is retried")
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed(), "a purge must not be forgotten")
	theLedger.failFor(f.company, nil)
	f.awaitDeletion(a)
}

func TestDeletionGivesUpOnTheLedger(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	theLedger.failFor(f.company, errors.New("the disk is full"))
	recorder := &recordedEvents{}
	r := &companyActivationReconciler{ledger: theLedger, reporter: newReporter(nil, recorder), now: time.Now}
	key := client.ObjectKeyFromObject(a)
	d := &departure{uid: a.UID, company: f.company, purge: true, since: time.Now().Add(-ledgerPatience + time.Minute)}
	f.Expect(r.cleanLedger(f.ctx, key, d)).To(MatchError(ContainSubstring("the disk is full")))
	f.Expect(recorder.reasons).To(BeEmpty())
	d.since = time.Now().Add(-ledgerPatience)
	f.Expect(r.cleanLedger(f.ctx, key, d)).To(Succeed())
	f.Expect(recorder.reasons).To(Equal([]string{"LedgerUnavailable"}))
}

func TestDeletionBeforeActivation(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"))
	f.Expect(k8s.Delete(f.ctx, a)).To(Succeed())
	f.awaitDeletion(a)
	f.Expect(f.calls()).To(BeEmpty())
}

// TestReplacedActivation deletes an activation and immediately creates another with its
// name, like GitOps tools. The new one isn't active until the platform activates it.
func TestReplacedActivation(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	f.Expect(k8s.Delete(f.ctx, a)).To(Succeed())
	next := f.declare("shop")
	f.Eventually(f.condition(next, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"))
	f.Eventually(f.registered).Should(BeEmpty())
	f.Eventually(func() []string { return theLedger.callsOf(f.company) }).Should(ContainElement("cancel"))
	f.awaitDeletion(f.secret())
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(next), next)).To(Succeed())
}

// TestStatusOfAReplacedObject checks that a reconciliation that ends after its object was
// replaced leaves the next object's status alone.
func TestStatusOfAReplacedObject(t *testing.T) {
	f := newFixture(t)
	former := f.declare("shop")
	report := newReporter(k8s, nil).begin(former)
	former.Status.ServiceUser = "the former one's"
	f.Expect(k8s.Delete(f.ctx, former)).To(Succeed())
	f.awaitDeletion(former)
	next := f.declare("shop")
	_, err := report.finish(f.ctx, ctrl.Result{}, nil)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(next), next)).To(Succeed())
	f.Expect(next.Status.ServiceUser).To(BeEmpty())
}

// TestFinalizerOfAnEarlierVersion checks that the finalizer of earlier versions is removed,
// so that it can't block deletions after the operator is uninstalled.
func TestFinalizerOfAnEarlierVersion(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	f.change(a, func() {
		controllerutil.AddFinalizer(a, v1alpha1.CompanyActivationFinalizer)
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.RequestedAtAnnotation, "after the upgrade")
	})
	f.Eventually(func() []string {
		f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		return a.Finalizers
	}).Should(BeEmpty())
}

// TestKeptProviderAndLayout checks that a deleted provider and layout that finalizers of others
// keep don't look ready.
func TestKeptProviderAndLayout(t *testing.T) {
	f := newFixture(t)
	const hold = "example.com/hold"
	p := &v1alpha1.DeliveryProvider{Spec: v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}}}
	p.Namespace, p.Name = f.namespace, "push"
	for _, o := range []conditioned{p, f.layout("<b>{{ content }}</b>", "")} {
		o.SetFinalizers([]string{hold})
		f.create(o)
		f.Eventually(f.condition(o, v1alpha1.ReadyCondition)).Should(HavePrefix("True/"))
		f.Expect(k8s.Delete(f.ctx, o)).To(Succeed())
		f.Eventually(f.condition(o, v1alpha1.ReadyCondition)).Should(Equal("False/DeletionPending"))
		f.Expect(messageOf(o, v1alpha1.ReadyCondition)).To(And(ContainSubstring("while it remains"), HaveSuffix(hold+".")))
		f.change(o, func() { o.SetFinalizers(nil) })
	}
}
