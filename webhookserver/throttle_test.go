// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
	rules := f.storedRules()
	f.Expect(rules).To(gomega.HaveLen(1))
	rule := &rules[0]
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

	// With a digest, an admin sees of each message that it is collected, and in which event. At
	// the end of the period there is one message about all of them.
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	digest := `{"throttle":{"messages":2,"per":"1h","digest":{"subject":"More","text":"{% for item in digest.items %}{{ item.email }} {% endfor %}{{ digest.count }}"}}}`
	f.admined("adminNotificationsPartialUpdate", "PATCH", path, digest, 200)
	f.Eventually(func() *v1alpha1.Digest {
		f.Expect(f.mgr.GetClient().Get(t.Context(), client.ObjectKeyFromObject(rule), rule)).To(gomega.Succeed())
		return rule.Spec.Throttle.Digest
	}).ShouldNot(gomega.BeNil())
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)["throttle"]).To(gomega.Equal(object{
		"messages": 2.0, "per": "1h", "digest": object{"subject": "More", "text": "{% for item in digest.items %}{{ item.email }} {% endfor %}{{ digest.count }}"},
	}))
	f.Expect(decision("e-5", "joe@example.com")).To(gomega.HavePrefix("skipped Collected it was collected in the digest that is due at "))
	said := decision("e-6", "JOE@example.com")
	_, event, _ := strings.Cut(said, ", the event ")
	log := func(id string) []any {
		return f.admined("adminLogsList", "GET", "/api/admin/logs/?event_id="+id, "", 200)["results"].([]any)
	}
	f.Expect(log(event)).To(gomega.BeEmpty())
	f.clock.by.Add(int64(time.Hour))
	f.Expect(decision("e-7", "kim@example.com")).To(gomega.HavePrefix("pending ")) // and wakes the dispatcher
	f.Eventually(func() []any { return log(event) }).Should(gomega.HaveLen(1))
	f.Expect(log(event)[0]).To(gomega.And(
		gomega.HaveKeyWithValue("state", "pending"), gomega.HaveKeyWithValue("recipient", "joe@example.com"), gomega.HaveKeyWithValue("subject", "More"),
		gomega.HaveKeyWithValue("text_message", "joe@example.com JOE@example.com 2"),
	))
	f.Expect(f.sendAll()).To(gomega.HaveLen(5), "two to Joe, one each to Ann and Kim, and the digest")
}
