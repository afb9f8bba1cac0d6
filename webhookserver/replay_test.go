// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/dispatch"
	"github.com/rehive/extension-operator/internal/ledger"
)

// dispatching runs the dispatcher until the test ends.
func (f *fixture) dispatching() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.server.previews.(*dispatch.Dispatcher).Start(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Errorf("the dispatcher stopped with %v", err)
		}
	})
}

// explained waits until an event is evaluated and returns its detail.
func (f *fixture) explained(id any) map[string]any {
	f.Helper()
	var got map[string]any
	f.Eventually(func() any {
		got = f.admined("adminEventsRetrieve", "GET", fmt.Sprintf("/api/admin/events/%.0f/", id), "", 200)
		return got["state"]
	}).ShouldNot(gomega.Equal("pending"))
	return got
}

// sendAll marks the pending messages as sent, and returns their recipients.
func (f *fixture) sendAll() (recipients []string) {
	f.Helper()
	claimed, err := f.store.ClaimDeliveries(f.Context(), ledger.Claim{Limit: 100, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	for i := range claimed {
		recipients = append(recipients, claimed[i].Recipient)
		f.Expect(f.store.MarkSent(f.Context(), claimed[i], "p-1")).To(gomega.Succeed())
	}
	return recipients
}

func TestReplay(t *testing.T) {
	f := newActiveFixture(t)
	f.dispatching()
	mail := func(to, expression string) func(*v1alpha1.NotificationRuleSpec) {
		return func(s *v1alpha1.NotificationRuleSpec) {
			s.SMS, s.Expression = nil, expression
			s.Email = &v1alpha1.EmailMessage{To: to, Subject: "Hi {{ first_name }}", Text: "Hello"}
		}
	}
	f.rule("a-told", "Told", mail("{{ email }}", ""))
	passes := f.rule("b-passes", "Passes", mail("boss@example.com", "{{ amount }} > 1000"))
	f.expectSuccess(f.webhook("Secret "+f.credentials().WebhookSecret, object{
		"id": "e-1", "event": "user.create", "company": f.company, "data": object{"email": "joe@example.com", "first_name": "Joe", "amount": 500},
	}))
	list := f.admined("adminEventsList", "GET", "/api/admin/events/?event_id=e-1", "", 200)
	id := list["results"].([]any)[0].(object)["id"]
	before := f.explained(id)
	f.Expect(before["decisions"]).To(gomega.HaveLen(2))
	f.Expect(f.sendAll()).To(gomega.Equal([]string{"joe@example.com"}))
	path := fmt.Sprintf("/api/admin/events/%.0f/replay/", id)

	// After the mistake is fixed, a dry run shows what would be sent without sending it.
	passes.Spec.Expression = "{{ amount }} > 100"
	f.Expect(f.client.Update(t.Context(), passes)).To(gomega.Succeed())
	var dry map[string]any
	byName := func(name string) object {
		for _, n := range dry["notifications"].([]any) {
			if n.(object)["notification"] == name {
				return n.(object)
			}
		}
		return nil
	}
	f.Eventually(func() any {
		dry = f.admined("adminEventsReplayCreate", "POST", path, "", 200)
		return byName("Passes")["messages"]
	}).Should(gomega.HaveLen(1))
	f.Expect(dry).To(gomega.And(gomega.HaveKeyWithValue("sent", false), gomega.HaveKeyWithValue("id", gomega.BeNil()), gomega.HaveKeyWithValue("more", false)))
	f.Expect(byName("Passes")["messages"].([]any)[0]).To(gomega.And(gomega.HaveKeyWithValue("recipients", []any{"boss@example.com"}), gomega.HaveKeyWithValue("subject", "Hi Joe")))
	f.Expect(byName("Told")["messages"]).To(gomega.BeEmpty())
	withheld := byName("Told")["withheld"].([]any)
	f.Expect(withheld).To(gomega.HaveLen(1))
	f.Expect(withheld[0]).To(gomega.And(gomega.HaveKeyWithValue("recipient", "joe@example.com"), gomega.HaveKeyWithValue("state", "sent")))
	f.Expect(f.explained(id)["replays"]).To(gomega.BeEmpty())
	f.Expect(f.admined("adminEventsList", "GET", "/api/admin/events/", "", 200)).To(gomega.HaveKeyWithValue("count", 1.0))

	// A replay runs once for an idempotency key.
	send := func(body, key string) (map[string]any, string) {
		r := f.send("POST", path, strings.NewReader(body), http.Header{
			"Content-Type": {"application/json"}, "Authorization": {"Token " + f.admin.Token}, "Idempotency-Key": {key},
		})
		var data map[string]any
		f.data(r, &data)
		return data, r.header.Get("Idempotent-Replayed")
	}
	done, again := send(`{"send":true}`, "k-1")
	f.Expect(done).To(gomega.And(gomega.HaveKeyWithValue("sent", true), gomega.HaveKeyWithValue("notifications", gomega.BeEmpty())))
	f.Expect(again).To(gomega.BeEmpty())
	same, again := send(`{"send":true}`, "k-1")
	f.Expect(same).To(gomega.Equal(done))
	f.Expect(again).To(gomega.Equal("true"))
	after := f.explained(done["id"])
	f.Expect(after).To(gomega.And(gomega.HaveKeyWithValue("state", "done"), gomega.HaveKeyWithValue("event", "notification:replay"), gomega.HaveKeyWithValue("replay_of", id)))
	f.Expect(after["decisions"]).To(gomega.ConsistOf(
		gomega.And(gomega.HaveKeyWithValue("notification", "Told"), gomega.HaveKeyWithValue("state", "skipped"), gomega.HaveKeyWithValue("reason", "AlreadySent")),
		gomega.And(gomega.HaveKeyWithValue("notification", "Passes"), gomega.HaveKeyWithValue("state", "pending")),
	))
	f.Expect(f.sendAll()).To(gomega.Equal([]string{"boss@example.com"}))
	f.Expect(f.explained(id)["replays"]).To(gomega.ConsistOf(gomega.HaveKeyWithValue("id", done["id"])))
	f.Expect(f.adminLogs("?event_id=" + done["event_id"].(string)).Results[0].Event).To(gomega.Equal("user.create"))

	// Only the recipient in repeat receives it again.
	repeat := fmt.Sprintf(`"repeat":[%.0f]`, withheld[0].(object)["id"])
	dry = f.admined("adminEventsReplayCreate", "POST", path, "{"+repeat+"}", 200)
	f.Expect(byName("Told")["messages"]).To(gomega.HaveLen(1))
	f.Expect(byName("Passes")["withheld"]).To(gomega.HaveLen(1))
	done, _ = send(`{"send":true,`+repeat+`}`, "k-2")
	f.explained(done["id"])
	f.Expect(f.sendAll()).To(gomega.Equal([]string{"joe@example.com"}))

	// Invalid replays.
	f.expectError(f.call(f.admin.Token, "POST", path, `{"repeat":[999999]}`), 400, "repeat", `Invalid pk "999999" - object does not exist.`)
	f.Expect(f.call(f.admin.Token, "POST", path, `{"repeat":["a"]}`).String()).To(gomega.Equal(
		`400 {"status":"error","message":"Invalid request.","data":{"repeat":{"0":["A valid integer is required."]}}}`))
	f.expectError(f.call(f.admin.Token, "POST", path, `{"send":"perhaps"}`), 400, "send", "Must be a valid boolean.")
	f.expectError(f.call(f.admin.Token, "POST", "/api/admin/events/999999/replay/", ""), 404, "", "Not found.")
	f.expectError(f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/events/%.0f/replay/", done["id"]), ""), 409, "",
		fmt.Sprintf("This event is a replay. Replay the event %.0f instead.", id))

	// Another company's events and log entries aren't found.
	stranger := f.addUser(f.addCompany("other"), "admin")
	f.expectSuccess(f.activate(stranger.Token))
	f.expectError(f.call(stranger.Token, "POST", path, `{"send":true}`), 404, "", "Not found.")
	f.expectError(f.webhook("Secret "+f.credentials().WebhookSecret, object{"id": "r", "event": "notification:replay", "company": f.company, "data": object{"event": id}}),
		400, "event", "This event can't be sent as a webhook.")

	// The number of replays of one event is limited.
	for n := 2; n < ledger.MaxReplays; n++ {
		_, again := send(`{"send":true}`, fmt.Sprintf("more-%d", n))
		f.Expect(again).To(gomega.BeEmpty())
	}
	f.expectError(f.call(f.admin.Token, "POST", path, `{"send":true}`), 409, "", "This event was already replayed 20 times, which is the limit.")
	_, again = send(`{"send":true}`, "k-1")
	f.Expect(again).To(gomega.Equal("true"))
}

func TestReplayRefusals(t *testing.T) {
	f := newActiveFixture(t) // without a dispatcher
	replay := func(event string) response {
		list := f.admined("adminEventsList", "GET", "/api/admin/events/?event_id="+event, "", 200)
		return f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/events/%.0f/replay/", list["results"].([]any)[0].(object)["id"]), "")
	}
	f.received(f.company, "e-1", "user.create")
	f.expectError(replay("e-1"), 409, "", "This event has not been evaluated yet.")
	claimed, err := f.store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.store.QuarantineEvent(t.Context(), claimed[0], "Unfinished", "It hangs.")).To(gomega.Succeed())
	f.expectError(replay("e-1"), 409, "", fmt.Sprintf("This event is quarantined. Release it instead, with POST /api/admin/quarantine/%d/release/.", claimed[0].Key))
	f.received(f.company, "trigger:1", "notification:trigger", []ledger.NewDelivery{}...)
	f.expectError(replay("trigger:1"), 409, "", "This event was not sent by the platform. Trigger the notification again instead.")
}

// TestDryRunIsBounded checks that the answer to a dry run of the largest event is bounded.
func TestDryRunIsBounded(t *testing.T) {
	f := newActiveFixture(t)
	to := make([]string, 50)
	for i := range to {
		to[i] = fmt.Sprintf("user%d@example.com", i)
	}
	for i := range 8 {
		f.rule(fmt.Sprintf("large-%d", i), "Large", func(s *v1alpha1.NotificationRuleSpec) {
			s.SMS = nil
			s.Email = &v1alpha1.EmailMessage{To: strings.Join(to, ", "), Subject: "S", Text: strings.Repeat("x", 200_000)}
		})
	}
	f.received(f.company, "e-1", "user.create", []ledger.NewDelivery{}...)
	list := f.admined("adminEventsList", "GET", "/api/admin/events/", "", 200)
	r := f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/events/%.0f/replay/", list["results"].([]any)[0].(object)["id"]), "")
	f.Expect(r.status).To(gomega.Equal(200), r.String())
	f.Expect(len(r.body)).To(gomega.BeNumerically("<", 600_000))
	var dry map[string]any
	f.data(r, &dry)
	f.Expect(dry).To(gomega.HaveKeyWithValue("more", true))
	shown := 0
	for _, n := range dry["notifications"].([]any) {
		for _, m := range n.(object)["messages"].([]any) {
			shown += len(m.(object)["recipients"].([]any))
		}
	}
	f.Expect(shown).To(gomega.Equal(250))
}
