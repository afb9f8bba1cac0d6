// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestSendingOfNotification sets through the API how messages of a notification are sent, and
// checks that the rule says so, that other changes keep it, and what is invalid.
func TestSendingOfNotification(t *testing.T) {
	f := newActiveFixture(t)
	create := func(body string) (path string, created object) {
		t.Helper()
		created = f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", body, 201)
		return fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"]), created
	}
	const sms = `"name":"%s","type":"sms","event":"%s","to_mobile":"{{ mobile }}","sms_message":"Hi"`
	path, created := create("{" + fmt.Sprintf(sms, "Primary", "user.create") + "}")
	f.Expect(created).To(And(
		HaveKeyWithValue("throttle", BeNil()), HaveKeyWithValue("fallback", BeNil()),
		HaveKeyWithValue("ignore_suppressions", false), HaveKeyWithValue("on_unknown_outcome", "Retry"),
	))
	_, other := create("{" + fmt.Sprintf(sms, "Other", "") + "}")
	id := fmt.Sprintf("%.0f", other["id"])
	rule := func(name string) *v1alpha1.NotificationRule {
		t.Helper()
		for _, r := range f.storedRules() {
			if r.Spec.DisplayName == name {
				return &r
			}
		}
		t.Fatalf("there is no rule %s", name)
		return nil
	}
	change := func(path, body string) object {
		t.Helper()
		return f.admined("adminNotificationsPartialUpdate", "PATCH", path, body, 200)
	}
	set := And(
		HaveKeyWithValue("throttle", Equal(object{"messages": 5.0, "per": "90m"})), HaveKeyWithValue("fallback", Equal(object{"notification": other["id"]})),
		HaveKeyWithValue("ignore_suppressions", true), HaveKeyWithValue("on_unknown_outcome", "Stop"),
	)
	// The other notification may not be in the cache yet.
	f.Eventually(func() int { return f.call(f.admin.Token, "PATCH", path, `{"fallback":{"notification":`+id+`}}`).status }).Should(Equal(200))
	f.Expect(change(path, `{"throttle":{"messages":5,"per":"90m"},"ignore_suppressions":true,"on_unknown_outcome":"Stop"}`)).To(set)
	spec := rule("Primary").Spec
	f.Expect(spec.Throttle).To(Equal(&v1alpha1.Throttle{Messages: 5, Per: "90m"}))
	f.Expect(spec.Fallback).To(Equal(&v1alpha1.RuleFallback{Name: rule("Other").Name}))
	f.Expect(spec.IgnoreSuppressions).To(BeTrue())
	f.Expect(spec.OnUnknownOutcome).To(Equal(v1alpha1.StopUnknownOutcome))
	// Other changes, also by clients that don't know the fields, keep them.
	f.Expect(change(path, `{"description":"changed"}`)).To(set)
	f.Expect(f.admined("adminNotificationsUpdate", "PUT", path, "{"+fmt.Sprintf(sms, "Primary", "user.create")+"}", 200)).To(set)
	f.Eventually(func() any { return f.admined("adminNotificationsRetrieve", "GET", path, "", 200)["throttle"] }).ShouldNot(BeNil())
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(set)

	// Circles and long chains are refused, as kubectl apply refuses them.
	refused := func(path, notification, message string) {
		t.Helper()
		f.Eventually(func() string {
			return f.call(f.admin.Token, "PATCH", path, `{"fallback":{"notification":`+notification+`}}`).String()
		}).
			Should(And(HavePrefix("400"), ContainSubstring(`"data":{"fallback":["`+message)))
	}
	last := fmt.Sprintf("%.0f", created["id"])
	refused("/api/admin/notifications/"+id+"/", last, "The notifications would stand in for each other in a circle: Other, Primary, Other.")
	for _, name := range []string{"Third", "Fourth", "Fifth"} {
		before, added := create("{" + fmt.Sprintf(sms, name, "") + "}")
		if name == "Fifth" {
			refused(before, last, "More than 3 notifications would follow one another: Fifth, Fourth, Third, Primary, Other.")
			break
		}
		f.Eventually(func() int {
			return f.call(f.admin.Token, "PATCH", before, `{"fallback":{"notification":`+last+`}}`).status
		}).Should(Equal(200))
		last = fmt.Sprintf("%.0f", added["id"])
	}

	for body, field := range map[string]string{
		`{"throttle":5}`:                                                                "throttle",
		`{"throttle":{}}`:                                                               "throttle",
		`{"throttle":{"messages":0,"per":"1h"}}`:                                        "throttle",
		`{"throttle":{"messages":1001,"per":"1h"}}`:                                     "throttle",
		`{"throttle":{"messages":1,"per":"1s"}}`:                                        "throttle",
		`{"throttle":{"messages":1,"per":"soon"}}`:                                      "throttle",
		`{"throttle":{"messages":1.5,"per":"1h"}}`:                                      "throttle",
		`{"throttle":{"messages":1,"each":"1h"}}`:                                       "throttle",
		`{"throttle":{"messages":1,"per":"1h","digest":{}}}`:                            "throttle",
		`{"throttle":{"messages":1,"per":"1h","digest":"x"}}`:                           "throttle",
		`{"throttle":{"messages":1,"per":"1h","digest":{"body":"x"}}}`:                  "throttle",
		`{"throttle":{"messages":1,"per":"145h","digest":{"text":"x"}}}`:                "throttle",
		`{"sensitive":true,"throttle":{"messages":1,"per":"1h","digest":{"text":"x"}}}`: "throttle",
		`{"ignore_suppressions":"x"}`:                                                   "ignore_suppressions",
		`{"ignore_suppressions":null}`:                                                  "ignore_suppressions",
		`{"on_unknown_outcome":"Maybe"}`:                                                "on_unknown_outcome",
		`{"on_unknown_outcome":null}`:                                                   "on_unknown_outcome",
		`{"fallback":` + id + `}`:                                                       "fallback",
		`{"fallback":{}}`:                                                               "fallback",
		`{"fallback":{"notification":1}}`:                                               "fallback",
		`{"fallback":{"notification":"` + id + `"}}`:                                    "fallback",
		`{"fallback":{"notification":` + fmt.Sprintf("%.0f", created["id"]) + `}}`:      "fallback",
		`{"fallback":{"notification":` + id + `,"if_unread_after":"5m"}}`:               "fallback",
		`{"type":"system","to_user":"{{ id }}","text_message":"x","fallback":{"notification":` + id + `,"if_unread_after":"1s"}}`: "fallback",
	} {
		r := f.call(f.admin.Token, "PATCH", path, body)
		f.Expect(r.status).To(Equal(400), body+" "+r.String())
		f.Expect(r.body).To(ContainSubstring(`"data":{"`+field+`":[`), body)
	}
	f.Expect(change(path, `{"throttle":null,"fallback":null,"ignore_suppressions":false,"on_unknown_outcome":"Retry"}`)).To(And(
		HaveKeyWithValue("throttle", BeNil()), HaveKeyWithValue("fallback", BeNil()),
		HaveKeyWithValue("ignore_suppressions", false), HaveKeyWithValue("on_unknown_outcome", "Retry"),
	))
	spec = rule("Primary").Spec
	f.Expect(spec.Throttle).To(BeNil())
	f.Expect(spec.Fallback).To(BeNil())

	inbox, _ := create(`{"name":"Inbox","type":"system","event":"user.create","to_user":"{{ id }}","text_message":"Hi"}`)
	f.Eventually(func() int {
		return f.call(f.admin.Token, "PATCH", inbox, `{"fallback":{"notification":`+id+`,"if_unread_after":"5m"}}`).status
	}).Should(Equal(200))
	f.Expect(rule("Inbox").Spec.Fallback.IfUnreadAfter).To(Equal("5m"))

	// A notification from a template has what the template says.
	template := &v1alpha1.NotificationTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sending-" + f.company}}
	template.Spec.DisplayName, template.Spec.Event = "Code", "mfa.sms.verify"
	template.Spec.SMS = &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "Your code is {{ token }}."}
	template.Spec.IgnoreSuppressions, template.Spec.OnUnknownOutcome = true, v1alpha1.StopUnknownOutcome
	f.Expect(f.client.Create(t.Context(), template)).To(Succeed())
	f.Eventually(func() int { return f.call(f.admin.Token, "GET", "/api/admin/templates/"+template.Name+"/", "").status }).Should(Equal(200))
	f.Expect(f.admined("adminTemplatesRetrieve", "GET", "/api/admin/templates/"+template.Name+"/", "", 200)).To(And(
		HaveKeyWithValue("ignore_suppressions", true), HaveKeyWithValue("on_unknown_outcome", "Stop")))
	_, code := create(`{"name":"Code","template":"` + template.Name + `"}`)
	f.Expect(code).To(And(HaveKeyWithValue("ignore_suppressions", true), HaveKeyWithValue("on_unknown_outcome", "Stop")))
}
