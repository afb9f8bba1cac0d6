// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/test/controlplane"
)

const namespace = "rehive-system"

// TestCluster reads the state of a cluster from a real API server.
func TestCluster(t *testing.T) {
	g := NewWithT(t)
	plane, err := controlplane.Start(controlplane.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(plane.Stop()).To(Succeed()) })
	kubeconfig := func(user envtest.User) string {
		added, err := plane.AddUser(user)
		g.Expect(err).NotTo(HaveOccurred())
		content, err := added.KubeConfig()
		g.Expect(err).NotTo(HaveOccurred())
		path := filepath.Join(t.TempDir(), "kubeconfig")
		g.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
		return path
	}
	admin := kubeconfig(envtest.User{Name: "admin", Groups: []string{"system:masters"}})
	kubectl := func(args ...string) (int, string, string) {
		return plugin(t.Context(), "", append(args, "--kubeconfig", admin, "-n", namespace)...)
	}
	ctx, c := t.Context(), plane.Client
	create := func(o client.Object) {
		t.Helper()
		g.Expect(c.Create(ctx, o)).To(Succeed())
	}
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})

	status, out, _ := kubectl("status")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(ContainSubstring("NotInstalled: No operator is installed in the namespace rehive-system"))
	status, _, errOut := kubectl("activations")
	g.Expect(status).To(Equal(0))
	g.Expect(errOut).To(ContainSubstring("No company activated the extension."))

	labels := map[string]string{"app.kubernetes.io/name": "rehive-extension-operator", "app.kubernetes.io/version": "v0.1.0"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "manager", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "i"}}}},
		},
	}
	create(deployment)
	path, none := "/validate", admissionregistrationv1.SideEffectClassNone
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "admission", Labels: labels},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "admission.extensions.rehive.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "admission", Path: &path}},
		}},
	}
	create(configuration)
	activation := &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop"}, Spec: v1alpha1.CompanyActivationSpec{Company: "my_shop"}}
	create(activation)
	rule := &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "payment"},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: "shop"},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: "Payment",
				SMS:         &v1alpha1.SMSMessage{To: "+15005550006", Message: "m"},
			},
		},
	}
	create(rule)
	status, out, _ = kubectl("status")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(MatchRegexp(`(?m)^Operator +0 of 1 replicas are available, version v0.1.0\..*$`))
	g.Expect(out).To(MatchRegexp(`(?m)^Companies +1 waiting$`))
	g.Expect(out).To(ContainSubstring("ValidatingWebhookConfiguration admission: NoCertificate: "))
	g.Expect(out).To(ContainSubstring("NotificationRule rehive-system/payment: Pending: The operator has not processed it yet."))

	// The operator comes up while check waits for it.
	done := make(chan struct{})
	var checked int
	var checkOut string
	go func() {
		defer close(done)
		checked, checkOut, _ = kubectl("check", "--wait", "--timeout", "2m")
	}()
	ready := func(status metav1.ConditionStatus, reason string, more ...metav1.Condition) []metav1.Condition {
		return append(more, metav1.Condition{Type: v1alpha1.ReadyCondition, Status: status, Reason: reason, Message: "Because.", ObservedGeneration: 1, LastTransitionTime: metav1.Now()})
	}
	deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	g.Expect(c.Status().Update(ctx, deployment)).To(Succeed())
	configuration.Webhooks[0].ClientConfig.CABundle = plane.Config.CAData
	g.Expect(c.Update(ctx, configuration)).To(Succeed())
	activation.Status.Conditions = ready(metav1.ConditionTrue, "Active")
	g.Expect(c.Status().Update(ctx, activation)).To(Succeed())
	rule.Status.Conditions = ready(metav1.ConditionTrue, "Valid", metav1.Condition{Type: v1alpha1.WarningsCondition, Status: metav1.ConditionTrue, Reason: "ProbableMistakes", Message: "spec.event: \x1b[31m", LastTransitionTime: metav1.Now()})
	g.Expect(c.Status().Update(ctx, rule)).To(Succeed())
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatal("check --wait did not end")
	}
	g.Expect(checked).To(Equal(0), checkOut)
	g.Expect(checkOut).To(HaveSuffix("Everything works.\n"))
	status, out, _ = kubectl("status")
	g.Expect(status).To(Equal(0), out)
	g.Expect(out).To(ContainSubstring("Works, with warnings:\n  NotificationRule rehive-system/payment: ProbableMistakes: spec.event: ·[31m\n"))

	rule.Status.Conditions = ready(metav1.ConditionTrue, v1alpha1.MutedReason)
	g.Expect(c.Status().Update(ctx, rule)).To(Succeed())
	status, out, _ = kubectl("status")
	g.Expect(status).To(Equal(0), out)
	g.Expect(out).To(ContainSubstring("Works, with warnings:\n  NotificationRule rehive-system/payment: Muted: Because.\n"))

	_, out, _ = kubectl("activations")
	g.Expect(out).To(MatchRegexp(`(?m)^rehive-system +shop +my_shop +True +Active +\d+s$`))
	_, out, _ = kubectl("activations", "-o", "json")
	var list v1alpha1.CompanyActivationList
	g.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
	g.Expect(list.Items).To(HaveLen(1))
	g.Expect(list.Items[0].Kind).To(Equal("CompanyActivation"))

	// Quotas and tokens.
	at := func(d time.Duration) *metav1.Time {
		return &metav1.Time{Time: time.Now().Add(d).UTC().Truncate(time.Second)}
	}
	limit, used := int64(10_000), int64(9_500)
	use := func(messages int64, next *metav1.Time) {
		t.Helper()
		activation.Status.Activity = v1alpha1.CompanyActivity{
			Charged:  []v1alpha1.ChargedMessages{{Channel: "sms", Messages: messages, Limit: &limit}},
			QuotaUse: fmt.Sprintf("sms %d/%d", messages, limit), ObservedTime: at(0),
		}
		activation.Status.Token = v1alpha1.TokenStatus{ReceivedTime: at(-25 * time.Hour), LastRotationTime: at(-25 * time.Hour), NextRotationTime: next}
		g.Expect(c.Status().Update(ctx, activation)).To(Succeed())
	}
	next := at(7 * 24 * time.Hour)
	use(used, next)
	status, out, _ = kubectl("status")
	g.Expect(status).To(Equal(0), out)
	g.Expect(out).To(MatchRegexp(`(?m)^Quotas +95 % used at most: rehive-system/shop, sms 9500/10000 today$`))
	g.Expect(out).To(MatchRegexp(`(?m)^Tokens +next rotation expected at ` + next.Format(time.RFC3339) + `: rehive-system/shop$`))
	g.Expect(out).To(ContainSubstring("CompanyActivation rehive-system/shop: QuotaNearlyUsed: "))
	_, out, _ = kubectl("activations", "-o", "wide")
	g.Expect(out).To(MatchRegexp(`(?m)^rehive-system +shop +my_shop +True +Active +\S+ +sms 9500/10000 +25h +` + next.Format(time.RFC3339) + ` +Because\.$`))
	use(limit, next)
	_, out, _ = kubectl("status")
	g.Expect(out).To(ContainSubstring("CompanyActivation rehive-system/shop: QuotaExceeded: A quota of today is used up (sms 10000/10000)."))
	use(1, at(-25*time.Hour))
	_, out, _ = kubectl("status")
	g.Expect(out).To(ContainSubstring("CompanyActivation rehive-system/shop: RotationOverdue: "))
	use(1, next)
	_, out, _ = kubectl("status")
	g.Expect(out).NotTo(ContainSubstring("CompanyActivation rehive-system/shop: "))

	// A rule whose tests fail, and one that is stalled.
	rule.Status.Conditions = ready(metav1.ConditionTrue, "Valid", metav1.Condition{Type: v1alpha1.TestsPassedCondition, Status: metav1.ConditionFalse, Reason: "TestsFailed", Message: "spec.tests[0]", LastTransitionTime: metav1.Now()})
	g.Expect(c.Status().Update(ctx, rule)).To(Succeed())
	status, out, _ = kubectl("check")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(ContainSubstring("FAIL NotificationRule rehive-system/payment: TestsFailed: spec.tests[0]\n"))
	rule.Status.Conditions = ready(metav1.ConditionFalse, "SyntaxError", metav1.Condition{Type: v1alpha1.StalledCondition, Status: metav1.ConditionTrue, Reason: "SyntaxError", LastTransitionTime: metav1.Now()})
	g.Expect(c.Status().Update(ctx, rule)).To(Succeed())
	_, out, _ = kubectl("status", "-o", "json")
	var items []item
	g.Expect(json.Unmarshal([]byte(out), &items)).To(Succeed())
	g.Expect(items).To(ContainElement(item{Kind: "NotificationRule", Namespace: namespace, Name: "payment", State: stateFailed, Reason: "SyntaxError", Message: "Because."}))
	status, out, errOut = kubectl("check", "--wait", "--timeout", "1s")
	g.Expect(status).To(Equal(1), out)
	g.Expect(errOut).To(Equal("Gave up waiting.\n"))

	// A user who may only read rules.
	create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rules"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"notificationrules"}, Verbs: []string{"list"},
	}}})
	create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rules"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "rules"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "reader"}},
	})
	status, out, errOut = plugin(ctx, "", "status", "--kubeconfig", kubeconfig(envtest.User{Name: "reader"}), "-n", namespace)
	g.Expect(status).To(Equal(1), errOut)
	g.Expect(out).To(ContainSubstring("Deployment rehive-system/: Forbidden: You may not list Deployments"))
	g.Expect(out).To(ContainSubstring("NotificationRule rehive-system/payment: SyntaxError"))
	g.Expect(strings.Count(out, "Forbidden")).To(Equal(4))
}
