// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"slices"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
)

// TestSensitiveNotification sends a code, after which no part of the API shows it and nothing
// sends it again.
func TestSensitiveNotification(t *testing.T) {
	f := newActiveFixture(t)
	f.dispatching()
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/",
		`{"name":"Code","type":"sms","event":"mfa.sms.verify","to_mobile":"{{ mobile }}","sms_message":"Your code is {{ token }}.","expires_after":"10m","sensitive":true}`, 201)
	f.Expect(created).To(gomega.And(gomega.HaveKeyWithValue("expires_after", "10m"), gomega.HaveKeyWithValue("sensitive", true)))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.Equal(created))

	const code = "QX7-unmistakable-code"
	f.expectSuccess(f.webhook("Secret "+f.credentials().WebhookSecret, object{
		"id": "e-1", "event": "mfa.sms.verify", "company": f.company, "data": object{"mobile": "+27820000001", "token": code},
	}))
	list := func() []any {
		return f.admined("adminLogsList", "GET", "/api/admin/logs/?event_id=e-1", "", 200)["results"].([]any)
	}
	f.Eventually(list).Should(gomega.HaveLen(1))
	entry := list()[0].(object)
	f.Expect(entry["sms_message"]).To(gomega.ContainSubstring(code), "it is still to be sent")
	f.Expect(entry["expires"].(float64) - entry["created"].(float64)).To(gomega.BeNumerically("~", 600_000, 60_000))
	f.Expect(f.sendAll()).To(gomega.HaveLen(1))

	log := fmt.Sprintf("/api/admin/logs/%.0f/", entry["id"])
	events := f.admined("adminEventsList", "GET", "/api/admin/events/?event_id=e-1", "", 200)["results"].([]any)
	event := fmt.Sprintf("/api/admin/events/%.0f/", events[0].(object)["id"])
	for _, get := range []string{log, "/api/admin/logs/", event, "/api/admin/events/", "/api/admin/events/?data__contains=" + code} {
		r := f.call(f.admin.Token, "GET", get, "")
		f.Expect(r.status).To(gomega.Equal(200))
		f.Expect(r.body).NotTo(gomega.ContainSubstring(code), get)
	}
	f.Expect(f.admined("adminLogsRetrieve", "GET", log, "", 200)).To(gomega.And(
		gomega.HaveKeyWithValue("sms_message", ledger.Mask), gomega.HaveKeyWithValue("sent", true), gomega.HaveKeyWithValue("sensitive", true),
	))
	f.Expect(f.explained(events[0].(object)["id"])["explanation"]).To(gomega.ContainSubstring("Its data was masked"))
	for _, again := range []string{log + "send/", event + "replay/"} {
		r := f.call(f.admin.Token, "POST", again, "")
		f.Expect(r.status).To(gomega.Equal(409), r.String())
		f.Expect(r.body).To(gomega.ContainSubstring("Trigger a new one instead"))
	}

	for change, field := range map[string]string{
		`{"expires_after":"soon"}`: "expires_after", `{"expires_after":"1s"}`: "expires_after", `{"system_enabled":true}`: "sensitive",
	} {
		r := f.call(f.admin.Token, "PATCH", path, change)
		f.Expect(r.status).To(gomega.Equal(400), r.String())
		f.Expect(r.body).To(gomega.ContainSubstring(`"`+field+`":`), r.String())
	}
	f.Expect(f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"expires_after":"0","sensitive":false}`, 200)).To(gomega.And(
		gomega.HaveKeyWithValue("expires_after", "0"), gomega.HaveKeyWithValue("sensitive", false),
	))
	plain := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/",
		`{"name":"Hi","type":"email","event":"user.create","to_email":"{{ email }}","subject":"Hi","text_message":"Hi"}`, 201)
	f.Expect(plain).To(gomega.And(gomega.HaveKeyWithValue("expires_after", "24h"), gomega.HaveKeyWithValue("sensitive", false)))
	rules := f.storedRules()
	i := slices.IndexFunc(rules, func(r v1alpha1.NotificationRule) bool { return r.Spec.DisplayName == "Hi" })
	f.Expect(i).To(gomega.BeNumerically(">=", 0))
	f.Expect(rules[i].Spec.Validity()).To(gomega.Equal(v1alpha1.DefaultValidity))
}
