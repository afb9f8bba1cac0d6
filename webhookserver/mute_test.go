// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// TestMutedNotification mutes a notification through the API. Its messages are recorded as
// muted until that ends, without another call.
func TestMutedNotification(t *testing.T) {
	f := newActiveFixture(t)
	f.dispatching()
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/",
		`{"name":"Code","type":"sms","event":"mfa.sms.verify","to_mobile":"{{ mobile }}","sms_message":"Your code is {{ token }}."}`, 201)
	f.Expect(created).To(gomega.And(
		gomega.HaveKeyWithValue("muted_until", gomega.BeNil()), gomega.HaveKeyWithValue("mute_reason", gomega.BeNil()), gomega.HaveKeyWithValue("muted_by", gomega.BeNil()),
	))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	update := func(body string) object {
		return f.admined("adminNotificationsPartialUpdate", "PATCH", path, body, 200)
	}
	for _, invalid := range []string{`"tomorrow"`, `-1`, `1e99`, `253402300800000`, `1795312800`, `true`, `[]`} {
		r := f.call(f.admin.Token, "PATCH", path, `{"muted_until":`+invalid+`}`)
		f.Expect(r.status).To(gomega.Equal(400), r.String())
		f.Expect(r.body).To(gomega.ContainSubstring(`"muted_until":`), r.String())
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second).UnixMilli()
	f.Expect(update(fmt.Sprintf(`{"muted_until":%d,"mute_reason":"wrong amounts"}`, until+999))).To(gomega.And(
		gomega.HaveKeyWithValue("muted_until", float64(until)), gomega.HaveKeyWithValue("mute_reason", "wrong amounts"), gomega.HaveKeyWithValue("muted_by", f.admin.ID),
	))
	f.Expect(update(`{"muted_by":"somebody else","description":"changed"}`)).To(gomega.HaveKeyWithValue("muted_by", f.admin.ID))

	events := 0
	// decision returns the state and reason of the message for another event.
	decision := func() string {
		events++
		id := fmt.Sprintf("e-%d", events)
		f.expectSuccess(f.webhook("Secret "+f.credentials().WebhookSecret, object{
			"id": id, "event": "mfa.sms.verify", "company": f.company, "data": object{"mobile": "+27820000001", "token": "QX7-unmistakable-code"},
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
	f.Eventually(decision).Should(gomega.HavePrefix("skipped Muted spec.mutedUntil is "))
	f.Expect(decision()).To(gomega.HaveSuffix(", set by " + f.admin.ID + ": wrong amounts"))

	f.Expect(update(fmt.Sprintf(`{"muted_until":%d}`, time.Now().Add(3*time.Second).UnixMilli()))).To(gomega.HaveKeyWithValue("mute_reason", "wrong amounts"))
	f.Eventually(decision).Should(gomega.HavePrefix("pending "))

	f.Expect(update(`{"muted_until":null}`)).To(gomega.And(
		gomega.HaveKeyWithValue("muted_until", gomega.BeNil()), gomega.HaveKeyWithValue("mute_reason", gomega.BeNil()), gomega.HaveKeyWithValue("muted_by", gomega.BeNil()),
	))
}
