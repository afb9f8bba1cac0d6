// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

const previewPath = "/api/admin/notifications/preview/"

// previewed previews the welcome notification, with changes, for an event.
func (f *fixture) previewed(changes, event string) map[string]any {
	f.Helper()
	body := strings.TrimSuffix(welcome, "}")
	if changes != "" {
		body += "," + changes
	}
	return f.admined("adminNotificationsPreviewCreate", "POST", previewPath, body+`,"event":`+event+"}", 200)
}

const created = `{"name":"user.create","data":{"email":"joe@example.com","first_name":"Joe","balance":500}}`

func TestPreview(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))

	got := f.previewed(`"expression":"{{ balance }} > 100 and '{{ first_name }}' != 'Ann'"`, created)
	f.Expect(got).To(gomega.And(
		gomega.HaveKeyWithValue("send", true), gomega.HaveKeyWithValue("reason", gomega.BeNil()), gomega.HaveKeyWithValue("event", "user.create"),
		gomega.HaveKeyWithValue("recipients", []any{"joe@example.com"}), gomega.HaveKeyWithValue("errors", gomega.BeEmpty()),
		gomega.HaveKeyWithValue("warnings", gomega.BeEmpty()), gomega.HaveKeyWithValue("not_sent", gomega.BeEmpty()),
	))
	f.Expect(got["expression"]).To(gomega.Equal(object{
		"send": true, "text": "500 > 100 and 'Joe' != 'Ann'", "result": "True", "more_comparisons": false,
		"comparisons": []any{
			object{"left": "500", "operator": ">", "right": "100", "holds": true},
			object{"left": "'Joe'", "operator": "!=", "right": "'Ann'", "holds": true},
		},
	}))
	f.Expect(got["messages"]).To(gomega.ConsistOf(object{
		"type": "email", "language": nil, "from": "<noreply@example.com>", "recipients": []any{"joe@example.com"}, "subject": "Hello Joe",
		"text_message": " Hi!\n", "html_message": "<p>Hi</p>", "sms_message": nil, "push_message": nil, "whatsapp_content_sid": nil, "whatsapp_variables": nil, "segments": 0.0, "encoding": nil,
	}))

	// A false expression, with the comparison that made it false.
	got = f.previewed(`"expression":"{{ balance }} > 1000"`, created)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", false), gomega.HaveKeyWithValue("reason", "ExpressionFalse"), gomega.HaveKeyWithValue("messages", gomega.BeEmpty())))
	f.Expect(got["expression"].(object)["comparisons"]).To(gomega.ConsistOf(object{"left": "500", "operator": ">", "right": "1000", "holds": false}))

	// A digest is shown as if three events had been collected, with mistakes by their lines.
	const throttle = `"throttle":{"messages":1,"per":"1h","digest":{"subject":"{{ digest.count }} for {{ first_name }}","text":%q}},"digest":true`
	got = f.previewed(fmt.Sprintf(throttle, "{% for item in digest.items %}{{ item.balance }} {% endfor %}"), created)
	f.Expect(got["messages"].([]any)[0]).To(gomega.And(
		gomega.HaveKeyWithValue("subject", "3 for Joe"), gomega.HaveKeyWithValue("text_message", "500 500 500 "), gomega.HaveKeyWithValue("recipients", []any{"joe@example.com"})))
	f.Expect(got["warnings"]).To(gomega.BeEmpty())
	got = f.previewed(fmt.Sprintf(throttle, "a\n{% if %}"), created)
	f.Expect(got["errors"].([]any)[0]).To(gomega.And(gomega.HaveKeyWithValue("field", "throttle"), gomega.HaveKeyWithValue("line", 2.0), gomega.HaveKeyWithValue("message", gomega.HavePrefix("digest.text: "))))
	got = f.previewed(fmt.Sprintf(throttle, "{{ digest.size }}"), created)
	f.Expect(got["warnings"].([]any)[0]).To(gomega.HaveKeyWithValue("message", "digest.text: {{ digest.size }} does not exist: digest has items, count and omitted."))
	f.expectError(f.call(f.admin.Token, "POST", previewPath, strings.TrimSuffix(welcome, "}")+`,"digest":true,"event":`+created+"}"), 400, "digest",
		"The notification has no digest: set one in its throttle.")

	// The segments of an SMS are counted.
	got = f.previewed(`"type":"sms","to_mobile":"+27820000001","sms_message":"{{ first_name }} „`+strings.Repeat("a", 70)+`"`, created)
	f.Expect(got["messages"].([]any)[0]).To(gomega.And(gomega.HaveKeyWithValue("segments", 2.0), gomega.HaveKeyWithValue("encoding", "UCS-2"), gomega.HaveKeyWithValue("html_message", gomega.BeNil())))

	// A message with its layout.
	layout := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/", `{"name":"Frame","type":"email","html_layout":"<body>{{ content }}</body>"}`, 201)
	got = f.previewed(fmt.Sprintf(`"layout":%q`, layout["id"]), created)
	f.Expect(got["messages"].([]any)[0]).To(gomega.HaveKeyWithValue("html_message", "<body><p>Hi</p></body>"))

	// Missing fields, disabled notifications and other events cause warnings.
	got = f.previewed(`"enabled":false`, `{"name":"user.create","data":{"email":"joe@example.com"}}`)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", false), gomega.HaveKeyWithValue("reason", "RuleDisabled")))
	f.Expect(got["messages"].([]any)).To(gomega.HaveLen(1), "the message is shown anyway")
	f.Expect(fmt.Sprint(got["warnings"])).To(gomega.And(gomega.ContainSubstring("first_name"), gomega.ContainSubstring("not enabled")))
	got = f.previewed("", `{"name":"user.create","data":{}}`)
	f.Expect(got).To(gomega.HaveKeyWithValue("reason", "NoRecipient"))

	// So do probable mistakes, once each and with their positions.
	got = f.previewed(`"subject":"Dear {{ user.first_name }}","expression":"'{{ status }}' == 'Pending'"`, `"user.create"`)
	f.Expect(got).To(gomega.HaveKeyWithValue("reason", "ExpressionFalse"))
	f.Expect(got["warnings"]).To(gomega.ConsistOf(
		object{"field": "expression", "line": 1.0, "column": 19.0, "message": "Status is never 'Pending': write 'pending'."},
		object{"field": "subject", "line": 1.0, "column": 6.0, "message": "{{ user.first_name }} is not among the known fields of user.create: write {{ first_name }}, because the data is the user itself."},
	))

	// So does HTML that email clients don't support, in the template and in what it prints.
	got = f.previewed(`"html_message":"<p>\n<script></script>{{ first_name|safe }}"`, `{"name":"user.create","data":{"email":"joe@example.com","first_name":"<a href='/x'>Joe</a>"}}`)
	f.Expect(got["warnings"]).To(gomega.ConsistOf(
		object{"field": "html_message", "line": 2.0, "column": 1.0, "message": "Email clients remove <script>: everything must work without it."},
		object{"field": "html_message", "line": 0.0, "column": 0.0, "message": "An email has no address that the link could be relative to: write the whole URL, from https:// on."},
	))

	// Errors have positions, including those that are found after parsing.
	got = f.previewed(`"html_message":"<p>\n{% if %}"`, created)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", false), gomega.HaveKeyWithValue("reason", "RuleInvalid")))
	f.Expect(got["errors"]).To(gomega.ConsistOf(gomega.And(gomega.HaveKeyWithValue("field", "html_message"), gomega.HaveKeyWithValue("line", 2.0), gomega.HaveKeyWithValue("column", 1.0))))
	got = f.previewed(`"expression":"{{ balance }} >\n'a'"`, created)
	f.Expect(got["errors"]).To(gomega.ConsistOf(gomega.HaveKeyWithValue("field", "expression")), fmt.Sprint(got))
	got = f.previewed(`"text_message":"Hi\n {{ first_name|center:\"999999999\" }}"`, created)
	f.Expect(got).To(gomega.HaveKeyWithValue("reason", "RenderFailed"))
	f.Expect(got["errors"]).To(gomega.ConsistOf(gomega.And(gomega.HaveKeyWithValue("field", "text_message"), gomega.HaveKeyWithValue("line", 2.0))))

	// Nothing has been stored or sent.
	page, err := f.store.Log(t.Context(), ledger.LogFilter{Company: f.company}, 0, 10)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(page.Deliveries).To(gomega.BeEmpty())
	events, err := f.store.Events(t.Context(), ledger.EventFilter{Company: f.company}, 0, 10)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(events.Events).To(gomega.BeEmpty())
	f.Expect(f.admined("adminNotificationsList", "GET", "/api/admin/notifications/", "", 200)).To(gomega.HaveKeyWithValue("count", 0.0))
}

func TestPreviewOfAStoredNotification(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", n["id"])
	_, err := f.store.AcceptEvent(t.Context(), ledger.Event{Company: f.company, ID: "e-1", Name: "user.create", Data: []byte(`{"email":"ann@example.com","first_name":"Ann"}`)})
	f.Expect(err).NotTo(gomega.HaveOccurred())

	got := f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", `{"event_id":"e-1","subject":"Dear {{ first_name }}"}`, 200)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", true), gomega.HaveKeyWithValue("event_id", "e-1")))
	f.Expect(got["messages"].([]any)[0]).To(gomega.And(gomega.HaveKeyWithValue("subject", "Dear Ann"), gomega.HaveKeyWithValue("recipients", []any{"ann@example.com"})))
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.Equal(n), "the stored notification is unchanged")

	got = f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", `{"event":{"name":"user.update","data":{"email":"ann@example.com","first_name":""}}}`, 200)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", false), gomega.HaveKeyWithValue("reason", "OtherEvent")))

	// Without data, the sample of the notification's own or of the named event is used.
	got = f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", "", 200)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", true), gomega.HaveKeyWithValue("event", "user.create"), gomega.HaveKeyWithValue("warnings", gomega.BeEmpty())))
	f.Expect(got["messages"].([]any)[0]).To(gomega.HaveKeyWithValue("subject", "Hello Lena"))
	got = f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", `{"event":"user.mfa.sms.verify","to_email":"{{ user.email }}","subject":"{{ token }}"}`, 200)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", true), gomega.HaveKeyWithValue("event", "user.mfa.sms.verify")))

	got = f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", `{"event":{"name":"user.create"}}`, 200)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", true), gomega.HaveKeyWithValue("event", "user.create")))
	got = f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", `{"event":{"name":"user.update"}}`, 200)
	f.Expect(got).To(gomega.And(gomega.HaveKeyWithValue("send", false), gomega.HaveKeyWithValue("reason", "OtherEvent")))

	// No event, an unknown event, two events, an invalid event.
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event":{"name":"weather.change"}}`), 400, "event",
		`There is no sample of the event weather.change. Give its data, as {"name": "…", "data": {…}}, or the event_id of a received event.`)
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event":""}`), 400, "event",
		`Give an event to evaluate: its name, {"name": "…", "data": {…}}, or the event_id of a received event.`)
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event":"weather.change"}`), 400, "event",
		`There is no sample of the event weather.change. Give its data, as {"name": "…", "data": {…}}, or the event_id of a received event.`)
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event_id":"e-2"}`), 400, "event_id", `Invalid pk "e-2" - object does not exist.`)
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event_id":"e-1","event":`+created+`}`), 400, "event_id", "Give either an event or the event_id of a received event, not both.")
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event":{"name":"a","data":[]}}`), 400, "event", "The event's data must be an object.")
	f.expectError(f.call(f.admin.Token, "POST", path+"preview/", `{"event":[1]}`), 400, "event", "Not a valid string.")
	f.Expect(f.call(f.second.Token, "GET", previewPath, "").status).To(gomega.Equal(405))

	// Another company's events can't be used.
	stranger := f.addUser(f.addCompany("other"), "admin")
	f.expectSuccess(f.activate(stranger.Token))
	f.expectError(f.call(stranger.Token, "POST", previewPath, `{"name":"N","to_email":"a@example.com","subject":"S","text_message":"T","event_id":"e-1"}`), 400, "event_id", `Invalid pk "e-1" - object does not exist.`)
	f.Expect(f.call(stranger.Token, "POST", path+"preview/", `{"event_id":"e-1"}`).status).To(gomega.Equal(404))
}

// TestPreviewIsBounded checks that the answer holds the largest message once, not once for
// each of the recipients.
func TestPreviewIsBounded(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	to := make([]string, 50)
	for i := range to {
		to[i] = fmt.Sprintf("user%d@example.com", i)
	}
	changes, err := json.Marshal(object{"to_email": strings.Join(to, ", "), "text_message": strings.Repeat("x", 250_000)})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	got := f.previewed(strings.Trim(string(changes), "{}"), created)
	f.Expect(got["recipients"]).To(gomega.HaveLen(50))
	f.Expect(got["messages"]).To(gomega.HaveLen(1))
}
