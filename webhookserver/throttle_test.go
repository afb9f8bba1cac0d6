// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"slices"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestThrottledNotification sends a mailbox, however it is written, no more messages than its
// rule allows, and keeps that limit when an admin changes the notification.
func TestThrottledNotification(t *testing.T) {
	f := newActiveFixture(t)
	f.dispatching()
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/",
		`{"name":"Hi","type":"email","event":"user.update","to_email":"{{ email }}","from_email":"shop@example.com","subject":"Hi","text_message":"Hi"}`, 201)
	var rules v1alpha1.NotificationRuleList
	f.Expect(f.mgr.GetAPIReader().List(t.Context(), &rules, client.InNamespace(namespace), client.MatchingFields{"spec.event": "user.update"})).To(gomega.Succeed())
	i := slices.IndexFunc(rules.Items, func(r v1alpha1.NotificationRule) bool { return r.Spec.CompanyRef.Name == f.company })
	f.Expect(i).To(gomega.BeNumerically(">=", 0))
	rule := &rules.Items[i]
	rule.Spec.Throttle = &v1alpha1.Throttle{Messages: 2, Per: "1h"}
	f.Expect(f.mgr.GetClient().Update(t.Context(), rule)).To(gomega.Succeed())
	f.Eventually(func() *v1alpha1.Throttle {
		f.Expect(f.mgr.GetClient().Get(t.Context(), client.ObjectKeyFromObject(rule), rule)).To(gomega.Succeed())
		return rule.Spec.Throttle
	}).ShouldNot(gomega.BeNil())
	f.admined("adminNotificationsPartialUpdate", "PATCH", fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"]), `{"description":"changed"}`, 200)

	decision := func(id, email string) string {
		f.expectSuccess(f.webhook("Secret "+f.credentials().WebhookSecret, object{
			"id": id, "event": "user.update", "company": f.company, "data": object{"email": email},
		}))
		var found object
		f.Eventually(func() int {
			list := f.admined("adminLogsList", "GET", "/api/admin/logs/?event_id="+id, "", 200)["results"].([]any)
			if len(list) == 1 {
				found = list[0].(object)
			}
			return len(list)
		}).Should(gomega.Equal(1))
		return fmt.Sprint(found["state"], " ", found["reason"], " ", found["error_message"])
	}
	f.Expect(decision("e-1", "Joe@example.com")).To(gomega.HavePrefix("pending "))
	f.Expect(decision("e-2", "joe@EXAMPLE.com")).To(gomega.HavePrefix("pending "))
	f.Expect(decision("e-3", "joe@example.com")).To(gomega.Equal("skipped Throttled spec.throttle allows 2 messages to one recipient per 1h"))
	f.Expect(decision("e-4", "ann@example.com")).To(gomega.HavePrefix("pending "))
}
