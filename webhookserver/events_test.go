// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
)

// received stores an event with its decisions or, without any, leaves it pending.
func (f *fixture) received(company, id, name string, decided ...ledger.NewDelivery) {
	f.Helper()
	_, err := f.store.AcceptEvent(f.Context(), ledger.Event{Company: company, ID: id, Name: name, Data: []byte(`{"id":"` + id + `"}`)})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	if decided == nil {
		return
	}
	claimed, err := f.store.ClaimEvents(f.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(claimed).To(gomega.HaveLen(1))
	f.Expect(f.store.CompleteEvent(f.Context(), claimed[0], decided)).To(gomega.Succeed())
}

func TestEvents(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	rule := f.rule("told", "Told", nil)
	f.received(f.company, "e-1", "user.create",
		ledger.NewDelivery{RuleName: rule.Namespace + "/" + rule.Name, Channel: "email", Recipient: "joe@example.com", UserID: "u-1", Content: ledger.Content{Subject: "Hi", Text: "Hi"}},
		ledger.NewDelivery{RuleName: namespace + "/gone", Channel: "sms", FailReason: "RenderFailed", FailMessage: "It fails."},
		ledger.NewDelivery{RuleName: namespace + "/passes", Channel: "push", SkipReason: "ExpressionFalse"},
	)
	messages, err := f.store.ClaimDeliveries(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(messages).To(gomega.HaveLen(1))
	f.Expect(f.store.MarkSent(t.Context(), messages[0], "provider-7")).To(gomega.Succeed())
	f.received(f.company, "e/2 ä", "user.update", []ledger.NewDelivery{}...)
	f.received(f.company, "e-3", "user.create")

	const path = "/api/admin/events/"
	ids := func(list map[string]any) (ids []string) {
		for _, e := range list["results"].([]any) {
			ids = append(ids, e.(object)["event_id"].(string))
		}
		return ids
	}
	for query, want := range map[string][]string{
		"":                            {"e-3", "e/2 ä", "e-1"},
		"?orderby=created":            {"e-1", "e/2 ä", "e-3"},
		"?event=user.create":          {"e-3", "e-1"},
		"?event_id=e-1":               {"e-1"},
		"?state=done":                 {"e/2 ä", "e-1"},
		"?data__contains=%22e-1%22":   {"e-1"},
		"?created__gt=99999999999999": nil,
		"?created__lt=1":              nil,
		"?page_size=1&page=2":         {"e/2 ä"},
		"?page_size=2&page=last":      {"e-1"},
	} {
		f.Expect(ids(f.admined("adminEventsList", "GET", path+query, "", 200))).To(gomega.Equal(want), query)
	}
	f.expectError(f.call(f.admin.Token, "GET", path+"?state=lost", ""), 400, "state", "Select a valid choice. lost is not one of the available choices.")

	// By cursor, to the end and back.
	page := func(at string) map[string]any {
		var data map[string]any
		f.data(f.call(f.admin.Token, "GET", at, ""), &data)
		return data
	}
	local := func(link any) string { return strings.TrimPrefix(link.(string), f.url) }
	first := page(path + "?pagination=cursor&page_size=2")
	f.Expect(ids(first)).To(gomega.Equal([]string{"e-3", "e/2 ä"}))
	second := page(local(first["next"]))
	f.Expect(ids(second)).To(gomega.Equal([]string{"e-1"}))
	f.Expect(second["next"]).To(gomega.BeNil())
	f.Expect(ids(page(local(second["previous"])))).To(gomega.Equal([]string{"e-3", "e/2 ä"}))

	// The detail of one event.
	key := func(token, id string) string {
		var list map[string]any
		f.data(f.call(token, "GET", path+"?event_id="+url.QueryEscape(id), ""), &list)
		return fmt.Sprintf("%s%.0f/", path, list["results"].([]any)[0].(object)["id"])
	}
	got := f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e-1"), "", 200)
	f.Expect(got).To(gomega.And(
		gomega.HaveKeyWithValue("event", "user.create"), gomega.HaveKeyWithValue("state", "done"), gomega.HaveKeyWithValue("attempts", 1.0),
		gomega.HaveKeyWithValue("data", object{"id": "e-1"}), gomega.HaveKeyWithValue("more_decisions", false), gomega.HaveKeyWithValue("next_attempt", 0.0),
		gomega.HaveKeyWithValue("replay_of", gomega.BeNil()), gomega.HaveKeyWithValue("replays", gomega.BeEmpty()),
		gomega.HaveKeyWithValue("explanation", "Its notifications were evaluated: 1 failed (RenderFailed), 1 sent, 1 skipped (ExpressionFalse)."),
	))
	f.Expect(got["outcomes"]).To(gomega.ContainElement(object{"state": "skipped", "reason": "ExpressionFalse", "count": 1.0}))
	decisions := got["decisions"].([]any)
	f.Expect(decisions).To(gomega.HaveLen(3))
	f.Expect(decisions[0]).To(gomega.And(
		gomega.HaveKeyWithValue("notification", "Told"), gomega.HaveKeyWithValue("recipient", "joe@example.com"), gomega.HaveKeyWithValue("user", "u-1"),
		gomega.HaveKeyWithValue("state", "sent"), gomega.HaveKeyWithValue("attempts", 1.0), gomega.HaveKeyWithValue("provider_id", "provider-7"),
		gomega.HaveKeyWithValue("explanation", "The provider accepted the message."), gomega.HaveKeyWithValue("notification_id", gomega.BeNumerically(">", 0)),
	))
	steps := decisions[0].(object)["timeline"].([]any)
	f.Expect(steps).To(gomega.HaveLen(2))
	f.Expect(steps[0]).To(gomega.HaveKeyWithValue("state", "pending"))
	f.Expect(steps[1]).To(gomega.HaveKeyWithValue("state", "sent"))
	f.Expect(decisions[1]).To(gomega.And(
		gomega.HaveKeyWithValue("notification", gomega.BeNil()), gomega.HaveKeyWithValue("notification_id", gomega.BeNil()),
		gomega.HaveKeyWithValue("rule", namespace+"/gone"), gomega.HaveKeyWithValue("recipient", gomega.BeNil()),
		gomega.HaveKeyWithValue("state", "failed"), gomega.HaveKeyWithValue("reason", "RenderFailed"), gomega.HaveKeyWithValue("error_message", "It fails."),
		gomega.HaveKeyWithValue("explanation", "A template of the notification failed on this event: It fails."),
	))
	f.Expect(decisions[2]).To(gomega.And(gomega.HaveKeyWithValue("type", "push"), gomega.HaveKeyWithValue("reason", "ExpressionFalse"),
		gomega.HaveKeyWithValue("explanation", gomega.HavePrefix("The notification's expression was false."))))
	f.Expect(f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e/2 ä"), "", 200)).To(gomega.And(
		gomega.HaveKeyWithValue("event", "user.update"), gomega.HaveKeyWithValue("explanation", "There is no notification for user.update.")))
	pending := f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e-3"), "", 200)
	f.Expect(pending).To(gomega.And(gomega.HaveKeyWithValue("state", "pending"), gomega.HaveKeyWithValue("decisions", gomega.BeEmpty()),
		gomega.HaveKeyWithValue("next_attempt", gomega.BeNumerically(">", 0)), gomega.HaveKeyWithValue("explanation", "It is waiting to be evaluated.")))

	// A rule that was added later.
	f.rule("later", "Later", func(r *v1alpha1.NotificationRuleSpec) { r.Event = "user.update" })
	f.Eventually(func() any {
		return f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e/2 ä"), "", 200)["explanation"]
	}).Should(gomega.Equal(
		"There was no notification for user.update when the event was evaluated. Now there is one, which a replay would evaluate."))

	// A failed event and a quarantined one.
	claimed, err := f.store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.store.FailEvent(t.Context(), claimed[0], "the company is no longer active")).To(gomega.Succeed())
	f.Expect(f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e-3"), "", 200)).To(gomega.And(gomega.HaveKeyWithValue("state", "failed"),
		gomega.HaveKeyWithValue("explanation", "It could not be evaluated, and nothing was sent: the company is no longer active.")))
	f.received(f.company, "e-4", "user.create")
	claimed, err = f.store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.store.QuarantineEvent(t.Context(), claimed[0], "Unfinished", "It hangs.")).To(gomega.Succeed())
	f.Expect(ids(f.admined("adminEventsList", "GET", path+"?state=quarantined", "", 200))).To(gomega.Equal([]string{"e-4"}))
	f.Expect(f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e-4"), "", 200)).To(gomega.And(
		gomega.HaveKeyWithValue("state", "quarantined"), gomega.HaveKeyWithValue("reason", "Unfinished"), gomega.HaveKeyWithValue("error_message", "It hangs."),
		gomega.HaveKeyWithValue("explanation", gomega.ContainSubstring("quarantined")),
	))

	f.expectError(f.call(f.admin.Token, "POST", previewPath, strings.TrimSuffix(welcome, "}")+`,"event_id":"e-4"}`), 409, "",
		"Evaluating this event crashed or blocked the operator, so it can't be used for previews. Give the relevant parts of its data as event.")

	// The timeline shows the provider's answers, with consecutive equal attempts as one
	// step.
	f.received(f.company, "e-5", "user.create", ledger.NewDelivery{RuleName: rule.Namespace + "/" + rule.Name, Channel: "email", Recipient: "joe@example.com", Content: ledger.Content{Text: "Hi"}})
	attempt := func() ledger.ClaimedDelivery {
		claimed, err := f.store.ClaimDeliveries(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(claimed).To(gomega.HaveLen(1))
		return claimed[0]
	}
	f.Expect(f.store.RetryDelivery(t.Context(), attempt(), 0, "Deferred", "450 Later.")).To(gomega.Succeed())
	f.Expect(f.store.RetryDelivery(t.Context(), attempt(), 0, "Deferred", "450 Later.")).To(gomega.Succeed())
	f.Expect(f.store.FailDelivery(t.Context(), attempt(), "RecipientRefused", "550 Nobody there.")).To(gomega.Succeed())
	timeline := func() any {
		return f.admined("adminEventsRetrieve", "GET", key(f.admin.Token, "e-5"), "", 200)["decisions"].([]any)[0].(object)["timeline"]
	}
	has := func(state string, times float64, reason, message any) any {
		return gomega.And(gomega.HaveKeyWithValue("state", state), gomega.HaveKeyWithValue("times", times), gomega.HaveKeyWithValue("reason", reason), gomega.HaveKeyWithValue("message", message))
	}
	failing := []any{
		has("pending", 1, gomega.BeNil(), gomega.BeNil()), has("pending", 2, "Deferred", "450 Later."), has("failed", 1, "RecipientRefused", "550 Nobody there."),
	}
	f.Expect(timeline()).To(gomega.HaveExactElements(failing...))
	failed := f.adminLogs("?event_id=e-5").Results[0].ID
	f.expectSuccess(f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/logs/%d/send/", failed), ""))
	f.Expect(timeline()).To(gomega.HaveExactElements(append(failing, has("pending", 1, gomega.BeNil(), gomega.BeNil()))...))
	f.Expect(f.store.MarkSent(t.Context(), attempt(), "p-2")).To(gomega.Succeed())
	f.Expect(timeline()).To(gomega.HaveExactElements(append(failing, has("sent", 1, gomega.BeNil(), gomega.BeNil()))...))

	// The log of one event includes skipped decisions.
	f.Expect(f.admined("adminLogsList", "GET", "/api/admin/logs/?event_id=e-1", "", 200)).To(gomega.HaveKeyWithValue("count", 3.0))

	// Another company sees neither, even if one of its own events has the same id.
	other := f.addCompany("other")
	stranger := f.addUser(other, "admin")
	f.expectSuccess(f.activate(stranger.Token))
	f.expectError(f.call(stranger.Token, "GET", key(f.admin.Token, "e-1"), ""), 404, "", "Not found.")
	f.expectError(f.call(f.admin.Token, "GET", path+"999999/", ""), 404, "", "Not found.")
	f.expectError(f.call(f.admin.Token, "GET", path+"e-1/", ""), 404, "", "Not found.")
	f.received(other, "e-1", "user.delete")
	var theirs map[string]any
	f.data(f.call(stranger.Token, "GET", key(stranger.Token, "e-1"), ""), &theirs)
	f.Expect(theirs).To(gomega.And(gomega.HaveKeyWithValue("event", "user.delete"), gomega.HaveKeyWithValue("decisions", gomega.BeEmpty())))
	f.data(f.call(stranger.Token, "GET", path, ""), &theirs)
	f.Expect(ids(theirs)).To(gomega.Equal([]string{"e-1"}))
	f.data(f.call(stranger.Token, "GET", path+"?data__contains=e-3", ""), &theirs)
	f.Expect(ids(theirs)).To(gomega.BeEmpty())
	f.data(f.call(stranger.Token, "GET", "/api/admin/logs/?event_id=e-1", ""), &theirs)
	f.Expect(ids(theirs)).To(gomega.BeEmpty())
	// Users who aren't admins are refused.
	user := f.addUser(f.company, "user")
	f.Expect(f.call(user.Token, "GET", path, "").status).To(gomega.Equal(403))
}
