// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"testing"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestProblemOfNotification checks that admins, who can't read conditions, see why a notification
// sends nothing.
func TestProblemOfNotification(t *testing.T) {
	f := newActiveFixture(t)
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/",
		`{"name":"Code","type":"sms","event":"mfa.sms.verify","to_mobile":"{{ mobile }}","sms_message":"Your code is {{ token }}."}`, 201)
	f.Expect(created).To(gomega.HaveKeyWithValue("problem", gomega.BeNil()))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	problem := func() any { return f.admined("adminNotificationsRetrieve", "GET", path, "", 200)["problem"] }
	judge := func(status metav1.ConditionStatus, message string) {
		for _, rule := range f.storedRules() {
			if rule.Spec.DisplayName == "Code" {
				before := rule.DeepCopy()
				meta.SetStatusCondition(&rule.Status.Conditions, metav1.Condition{
					Type: v1alpha1.ReadyCondition, Status: status, Reason: "Example", Message: message, ObservedGeneration: rule.Generation,
				})
				f.Expect(f.client.Status().Patch(t.Context(), &rule, client.MergeFrom(before))).To(gomega.Succeed())
			}
		}
	}
	judge(metav1.ConditionFalse, "The DeliveryProvider sms can't send.")
	f.Eventually(problem).Should(gomega.Equal("The DeliveryProvider sms can't send."))
	f.Expect(f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"problem":"none","sms_message":"{{ token }}"}`, 200)).
		To(gomega.HaveKeyWithValue("problem", gomega.BeNil()), "nothing is known about the new version")
	judge(metav1.ConditionFalse, "It still can't.")
	f.Eventually(problem).Should(gomega.Equal("It still can't."))
	judge(metav1.ConditionTrue, "The rule is in effect.")
	f.Eventually(problem).Should(gomega.BeNil())
}
