// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// notification is a NotificationRule in the API's form: flat, with the texts of all
// channels side by side.
type notification struct {
	id      int64
	company string
	rule    *v1alpha1.NotificationRule // as read from the API server or cache; without a UID until it is created
	message

	layout     *layout
	template   *template
	templateID string

	mutedUntil          time.Time // zero if it isn't muted
	mutedBy, muteReason string

	problem string // why nothing is sent; empty if nothing prevents it

	throttle json.RawMessage // see the type throttle; empty if there is none

	// fallback is the notification that stands in for this one, see the type fallback, and
	// fallbackTo its rule; both are empty if there is none.
	fallback, storedFallback json.RawMessage
	fallbackTo               *v1alpha1.RuleFallback

	// The channel and the translations of the rule as they were read.
	storedKind         string
	storedTranslations json.RawMessage

	sample sample // for a preview
}

// message holds the fields that notifications and templates have in common.
type message struct {
	kind, name, description, event, expression string
	subject, html, text, sms, push             string
	toEmail, toMobile, toUser, fromEmail       string
	layoutID                                   string
	enabled, preferenceEnabled, systemEnabled  bool

	contentSID       string
	contentVariables json.RawMessage // an object of strings, or empty
	useTwilioVerify  bool

	expiresAfter string // a duration
	sensitive    bool
	sending

	translations json.RawMessage // see the type translations; empty if there are none
}

// Maximum lengths of fields in characters, as in the custom resource.
const (
	maxName       = 250
	maxLine       = 4096
	maxExpression = 8192
	maxBody       = 262144
	maxShort      = 16384
	maxEvent      = 100
	maxContentSID = 34
	maxDuration   = 32
	maxMuteReason = 1024
)

var notificationSerializer = &rest.Serializer[notification]{Name: "AdminNotification", Fields: notificationFields()}

func notificationFields() []rest.Field[notification] {
	fields := []rest.Field[notification]{
		rest.Integer("id", func(n *notification) int64 { return n.id }),
		rest.Char("type", func(n *notification) *string { return &n.kind }).Choices(channels...).Nullable().Blank(),
		rest.Nested("template", reducedTemplateSerializer, func(n *notification) *template { return n.template }).Nullable(),
		rest.Char("template", func(n *notification) *string { return &n.templateID }).WriteOnly().Nullable().Blank().MaxLength(253),
		rest.Char("company", func(n *notification) *string { return &n.company }).ReadOnly(),
	}
	fields = append(fields, messageFields(func(n *notification) *message { return &n.message })...)
	fields = append(fields, sendingFields(func(n *notification) *sending { return &n.sending })...)
	return append(fields,
		rest.JSON("throttle", func(n *notification) *json.RawMessage { return &n.throttle }, isThrottle).Nullable().
			Describe(`How many messages one recipient receives in a period, such as {"messages": 5, "per": "1h"}; null if there is no limit. The others are sent in one message at the end of the period if there is a "digest": an object with the templates "subject", "text" and "html" and a list of "translations", which have a "language" too.`),
		rest.JSON("fallback", func(n *notification) *json.RawMessage { return &n.fallback }, isFallback).Nullable().
			Describe(`The notification whose message is sent if this one's fails, is suppressed or expires, such as {"notification": 1}; with "if_unread_after", also if the user doesn't read it within that time.`),
		rest.Char("from_email", func(n *notification) *string { return &n.fromEmail }).Nullable().Blank().MaxLength(maxLine),
		rest.Nested("layout", reducedLayoutSerializer, func(n *notification) *layout { return n.layout }).Nullable(),
		rest.Char("layout", func(n *notification) *string { return &n.layoutID }).WriteOnly().Nullable().Blank().MaxLength(253),
		rest.Boolean("system_enabled", func(n *notification) *bool { return &n.systemEnabled }),
		rest.Char("whatsapp_content_sid", func(n *notification) *string { return &n.contentSID }).Nullable().Blank().MaxLength(maxContentSID).
			Describe("The SID of a Twilio content template, which is sent through WhatsApp instead of the SMS."),
		rest.JSON("whatsapp_content_variables", func(n *notification) *json.RawMessage { return &n.contentVariables }, isContentVariables).Nullable().
			Describe("The values of the content template's placeholders, by name. Each is a template."),
		rest.Boolean("use_twilio_verify", func(n *notification) *bool { return &n.useTwilioVerify }).
			Describe("Whether the code in the message is sent through Twilio Verify."),
		rest.Char("expires_after", func(n *notification) *string { return &n.expiresAfter }).MaxLength(maxDuration).
			Describe("How long after the event a message may still be sent, such as 10m or 24h; 0 if it never expires."),
		rest.Boolean("sensitive", func(n *notification) *bool { return &n.sensitive }).
			Describe("Whether the texts of a message are masked once it is sent, failed or expired."),
		rest.NullTime("muted_until", func(n *notification) *time.Time { return &n.mutedUntil }).
			Describe("The time until which nothing is sent, in milliseconds since the epoch."),
		rest.Char("mute_reason", func(n *notification) *string { return &n.muteReason }).Nullable().Blank().MaxLength(maxMuteReason),
		rest.Char("muted_by", func(n *notification) *string { return &n.mutedBy }).ReadOnly().Nullable().
			Describe("The identifier of the admin who muted the notification, or the name in its NotificationRule."),
		rest.Char("problem", func(n *notification) *string { return &n.problem }).ReadOnly().Nullable().
			Describe("Why the notification sends nothing, such as a provider that can't send; null if nothing prevents it, and shortly after a change."),
		rest.JSON(translationsField, func(n *notification) *json.RawMessage { return &n.translations }, isTranslations(translatedTexts)).Nullable().
			Describe(describeTranslations),
	)
}

// isContentVariables checks that a value is an object of strings and numbers. Rules store
// the numbers as strings.
func isContentVariables(value json.RawMessage) string {
	if message := rest.IsObject(value); message != "" {
		return message
	}
	if _, err := contentVariables(value); err != nil {
		return "The values of this dictionary must be strings or numbers."
	}
	return ""
}

// encodeContentVariables returns the values in the API's form.
func encodeContentVariables(values map[string]string) json.RawMessage {
	if len(values) == 0 {
		return nil
	}
	encoded, _ := json.Marshal(values) // strings can always be encoded
	return encoded
}

// contentVariables returns the values of a content template's placeholders.
func contentVariables(value json.RawMessage) (map[string]string, error) {
	if len(value) == 0 || string(value) == "null" {
		return nil, nil
	}
	var values map[string]any
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(values))
	for name, value := range values {
		switch value := value.(type) {
		case string:
			texts[name] = value
		case json.Number:
			texts[name] = value.String()
		default:
			return nil, fmt.Errorf("a value has the type %T", value)
		}
	}
	return texts, nil
}

// messageFields returns the fields that notifications and templates share.
func messageFields[T any](at func(*T) *message) []rest.Field[T] {
	line := func(name string, field func(*message) *string) rest.Field[T] {
		return rest.Char(name, func(t *T) *string { return field(at(t)) }).Nullable().Blank().MaxLength(maxLine)
	}
	body := func(name string, limit int, field func(*message) *string) rest.Field[T] {
		return rest.Text(name, func(t *T) *string { return field(at(t)) }).Nullable().Blank().MaxLength(limit)
	}
	return []rest.Field[T]{
		rest.Char("name", func(t *T) *string { return &at(t).name }).Required().MaxLength(maxName),
		line("subject", func(m *message) *string { return &m.subject }),
		line("description", func(m *message) *string { return &m.description }),
		body("html_message", maxBody, func(m *message) *string { return &m.html }),
		body("text_message", maxBody, func(m *message) *string { return &m.text }),
		body("sms_message", maxShort, func(m *message) *string { return &m.sms }),
		body("push_message", maxShort, func(m *message) *string { return &m.push }),
		rest.Boolean("enabled", func(t *T) *bool { return &at(t).enabled }),
		rest.Boolean("preference_enabled", func(t *T) *bool { return &at(t).preferenceEnabled }),
		line("event", func(m *message) *string { return &m.event }).MaxLength(maxEvent),
		line("to_email", func(m *message) *string { return &m.toEmail }),
		line("to_mobile", func(m *message) *string { return &m.toMobile }),
		line("to_user", func(m *message) *string { return &m.toUser }),
		line("expression", func(m *message) *string { return &m.expression }).MaxLength(maxExpression),
	}
}

// defaultValidity is how long messages are valid of a notification that does not say
// otherwise; the schema of the custom resource has the same default.
const defaultValidity = "24h"

func (a *API) notifications() *rest.Resource[notification] {
	return &rest.Resource[notification]{
		Path: "admin/notifications/", Param: "notification_id", NumericID: true, For: rest.Admins, Work: rest.HeavyWork,
		Serializer: notificationSerializer, Request: "AdminCreateUpdateNotification",
		Filters: []rest.Filter{
			rest.TextFilter("event"), rest.TextFilter("layout"), rest.TextFilter("name"), rest.ChoiceFilter("type", channels...),
		},
		Orderings: []string{"created"},
		Position:  func(n *notification) string { return rest.NumberPosition(n.id) },
		List:      a.listNotifications, FindsLast: true,
		Retrieve: a.notification,
		New: func(r *rest.Request) *notification {
			return &notification{company: r.Caller.Company, message: message{
				enabled: true, expiresAfter: defaultValidity, sending: sending{onUnknownOutcome: defaultOnUnknownOutcome},
			}}
		},
		Create: a.createNotification,
		Update: a.updateNotification,
		Delete: a.deleteNotification,
	}
}

func unreadable(err error) error {
	return rest.Unavailable(err, "The company's notifications could not be read. Try again later.")
}

func (a *API) listNotifications(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[notification], error) {
	all, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return rest.List[notification]{}, unreadable(err)
	}
	event, layout, name, kind := q.Text("event"), q.Text("layout"), q.Text("name"), q.Choices("type")
	matching := all[:0:0]
	for _, n := range all {
		spec := &n.Rule.Spec
		if (event == "" || event == spec.Event) && (layout == "" || layout == spec.Layout()) &&
			(name == "" || name == spec.DisplayName) && (kind == nil || kind[0] == string(spec.Channel())) {
			matching = append(matching, n)
		}
	}
	page := rest.Slice(matching, q.Page, func(n *notifications.Notification) string { return rest.NumberPosition(n.ID) })
	list := rest.List[notification]{Items: make([]notification, len(page.Items)), Count: page.Count, More: page.More}
	for i, n := range page.Items {
		if list.Items[i], err = a.read(ctx, r.Caller.Company, n.ID, n.Rule); err != nil {
			return rest.List[notification]{}, unreadable(err)
		}
	}
	return list, nil
}

// notification returns the notification that a request names: from the cache for reading,
// from the API server for changing.
func (a *API) notification(ctx context.Context, r *rest.Request) (*notification, error) {
	return a.findNotification(ctx, r, isRead(r))
}

func (a *API) findNotification(ctx context.Context, r *rest.Request, cached bool) (*notification, error) {
	all, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return nil, unreadable(err)
	}
	found, ok := all.ByID(r.Number())
	if !ok {
		return nil, rest.NotFound()
	}
	rule := found.Rule
	if !cached {
		rule = new(v1alpha1.NotificationRule)
		r.EndWork()
		err := a.APIReader.Get(ctx, client.ObjectKeyFromObject(found.Rule), rule)
		if err := r.BeginWork(ctx); err != nil {
			return nil, err
		}
		if client.IgnoreNotFound(err) != nil {
			return nil, unreadable(err)
		}
		if err != nil || rule.Spec.CompanyRef != found.Rule.Spec.CompanyRef {
			return nil, rest.NotFound()
		}
	}
	n, err := a.read(ctx, r.Caller.Company, found.ID, rule)
	if err != nil {
		return nil, unreadable(err)
	}
	return &n, nil
}

// read converts a rule to a notification.
func (a *API) read(ctx context.Context, company string, id int64, rule *v1alpha1.NotificationRule) (n notification, err error) {
	spec := &rule.Spec
	n = notification{id: id, company: company, rule: rule}
	n.message = message{
		kind: string(spec.Channel()), name: spec.DisplayName, description: spec.Description,
		event: spec.Event, expression: spec.Expression, layoutID: spec.Layout(),
		enabled: spec.Enabled == nil || *spec.Enabled, preferenceEnabled: spec.PreferenceEnabled, systemEnabled: spec.SystemEnabled,
		expiresAfter: cmp.Or(spec.ExpiresAfter, defaultValidity), sensitive: spec.Sensitive, sending: readSending(&spec.NotificationSpec),
	}
	n.throttle = readThrottle(spec.Throttle)
	n.fallback, n.fallbackTo = readFallback(company, rule), spec.Fallback
	n.storedFallback = n.fallback
	if spec.MutedUntil != nil {
		n.mutedUntil = spec.MutedUntil.Time
	}
	n.mutedBy, n.muteReason = spec.MutedBy, spec.MuteReason
	n.problem = problemOf(rule)
	n.storedKind = n.kind
	parked := parkedTexts(rule)
	n.readParked(parked)
	translations := readTranslations(spec.Translations)
	translations.unpark(parked, translatedTexts, n.ownField)
	n.translations = translations.encode()
	n.storedTranslations = n.translations
	n.readChannel(spec.Email, spec.SMS, spec.Push, spec.System)
	if n.layoutID != "" {
		if n.layout, err = a.layoutReference(ctx, rule.Namespace, n.layoutID); err != nil {
			return n, err
		}
	}
	if spec.TemplateRef != nil {
		n.templateID = spec.TemplateRef.Name
		if n.template, err = a.templateReference(ctx, n.templateID); err != nil {
			return n, err
		}
	}
	return n, nil
}

// readChannel copies the texts of the channel that is set.
func (m *message) readChannel(email *v1alpha1.EmailMessage, sms *v1alpha1.SMSMessage, push *v1alpha1.PushMessage, system *v1alpha1.SystemMessage) {
	switch {
	case email != nil:
		m.toEmail, m.toUser, m.fromEmail = email.To, email.ToUser, email.From
		m.subject, m.html, m.text = email.Subject, email.HTML, email.Text
	case sms != nil:
		m.toMobile, m.toUser, m.sms, m.useTwilioVerify = sms.To, sms.ToUser, sms.Message, sms.UseTwilioVerify
		if template := sms.WhatsApp; template != nil {
			m.contentSID = template.ContentSID
			m.contentVariables = encodeContentVariables(template.ContentVariables)
		}
	case push != nil:
		m.toUser, m.subject, m.push = push.ToUser, push.Title, push.Message
	case system != nil:
		m.toUser, m.subject, m.text = system.ToUser, system.Title, system.Message
	}
}

// fieldsByName returns, by the API's names, the fields that only some channels have.
func (m *message) fieldsByName() map[string]*string {
	return map[string]*string{
		"subject": &m.subject, "html_message": &m.html, "text_message": &m.text, "sms_message": &m.sms, "push_message": &m.push,
		"to_email": &m.toEmail, "to_mobile": &m.toMobile, "to_user": &m.toUser, "from_email": &m.fromEmail, "whatsapp_content_sid": &m.contentSID,
	}
}

// channelFields maps the fields of each channel to their paths in a rule. Those listed in
// required must not be blank.
var channelFields = map[string]map[string]string{
	"email": {
		"to_email": "spec.email.to", "to_user": "spec.email.toUser", "from_email": "spec.email.from", "subject": "spec.email.subject",
		"html_message": "spec.email.html", "text_message": "spec.email.text", "layout": "spec.email.layoutRef",
	},
	"sms": {"to_mobile": "spec.sms.to", "to_user": "spec.sms.toUser", "sms_message": "spec.sms.message", "layout": "spec.sms.layoutRef",
		"whatsapp_content_sid": "spec.sms.whatsApp.contentSid", "whatsapp_content_variables": "spec.sms.whatsApp.contentVariables", "use_twilio_verify": "spec.sms.useTwilioVerify",
	},
	"push":   {"to_user": "spec.push.toUser", "subject": "spec.push.title", "push_message": "spec.push.message", "layout": "spec.push.layoutRef"},
	"system": {"to_user": "spec.system.toUser", "subject": "spec.system.title", "text_message": "spec.system.message", "layout": "spec.system.layoutRef"},
}

var required = map[string][]string{
	"email":  {"to_email", "subject", "text_message"},
	"sms":    {"to_mobile", "sms_message"},
	"push":   {"to_user", "push_message"},
	"system": {"to_user", "text_message"},
}

// readParked restores the fields that the rule's channel doesn't have from its parked texts.
func (m *message) readParked(texts map[string]string) {
	if texts == nil {
		return
	}
	for name, field := range m.fieldsByName() {
		if !m.ownField(name) {
			*field = texts[name]
		}
	}
	if m.kind != string(v1alpha1.ChannelSMS) {
		// The annotation may have been edited manually.
		if values, err := contentVariables(json.RawMessage(texts[contentVariablesField])); err == nil {
			m.contentVariables = encodeContentVariables(values)
		}
		m.useTwilioVerify = texts["use_twilio_verify"] != ""
	}
}

// parked returns the non-empty fields that the channel doesn't have.
func (m *message) parked() map[string]string {
	texts := map[string]string{}
	for name, field := range m.fieldsByName() {
		if !m.ownField(name) && *field != "" {
			texts[name] = *field
		}
	}
	if m.kind != string(v1alpha1.ChannelSMS) {
		if values, _ := contentVariables(m.contentVariables); len(values) > 0 {
			texts[contentVariablesField] = string(m.contentVariables)
		}
		if m.useTwilioVerify {
			texts["use_twilio_verify"] = "true"
		}
	}
	all, _ := decodeTranslations(m.translations) // checked when it was received
	if others := all.without(m.ownField).encode(); others != nil {
		texts[translationsField] = string(others)
	}
	return texts
}

// write stores the notification's fields in its rule. It returns a *rest.Error if any are
// invalid.
func (n *notification) write() error {
	if missing := n.missing(); len(missing) > 0 {
		return rest.InvalidFields(missing...)
	}
	if err := checkParked(n.kind, n.parked()); err != nil {
		return err
	}
	n.fill()
	return n.check()
}

// missing returns an error for each field that the notification's type requires but lacks,
// or that it can't have.
func (n *notification) missing() []rest.FieldError {
	if n.kind == "" {
		n.kind = string(v1alpha1.ChannelEmail) // Rehive's API accepts null but never returns it
	}
	var missing []rest.FieldError
	fields := n.fieldsByName()
	for _, name := range required[n.kind] {
		if strings.TrimSpace(*fields[name]) == "" {
			missing = append(missing, rest.FieldError{Field: name, Messages: []string{fmt.Sprintf("A notification of the type %s needs this field.", n.kind)}})
		}
	}
	if n.kind == string(v1alpha1.ChannelSMS) && n.contentSID != "" && n.useTwilioVerify {
		missing = append(missing, rest.FieldError{Field: "use_twilio_verify", Messages: []string{"A notification is sent through WhatsApp or through Twilio Verify, not both."}})
	}
	if values, _ := contentVariables(n.contentVariables); n.kind == string(v1alpha1.ChannelSMS) && n.contentSID == "" && len(values) > 0 {
		missing = append(missing, rest.FieldError{Field: "whatsapp_content_sid", Messages: []string{"The values of a content template need its SID."}})
	}
	if n.sensitive && (n.kind == "system" || n.systemEnabled) {
		missing = append(missing, rest.FieldError{Field: "sensitive", Messages: []string{"A sensitive notification can't be stored in the inbox, which keeps what it shows."}})
	}
	if n.kind == "system" && n.systemEnabled {
		missing = append(missing, rest.FieldError{Field: "system_enabled", Messages: []string{"A notification of the type system is stored in the inbox already."}})
	}
	return missing
}

// problemOf returns why a rule sends nothing. A verdict about a former version says nothing.
func problemOf(rule *v1alpha1.NotificationRule) string {
	ready := meta.FindStatusCondition(rule.Status.Conditions, v1alpha1.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionFalse || ready.ObservedGeneration != rule.Generation {
		return ""
	}
	return ready.Message
}

// setMutedBy records who muted the notification, or changed that. Ending the mute removes the
// reason.
func (n *notification) setMutedBy(user string) {
	stored := &n.rule.Spec
	switch {
	case n.mutedUntil.IsZero():
		n.mutedBy, n.muteReason = "", ""
	case stored.MutedUntil == nil || !stored.MutedUntil.Time.Equal(n.mutedUntil) || stored.MuteReason != n.muteReason:
		n.mutedBy = user
	}
}

// fill stores the notification's fields in its rule.
func (n *notification) fill() {
	spec := &n.rule.Spec
	enabled := n.enabled
	spec.DisplayName, spec.Description, spec.Event, spec.Expression = n.name, n.description, n.event, n.expression
	spec.Enabled, spec.PreferenceEnabled, spec.SystemEnabled = &enabled, n.preferenceEnabled, n.systemEnabled
	spec.ExpiresAfter, spec.Sensitive = cmp.Or(n.expiresAfter, defaultValidity), n.sensitive
	n.sending.fill(&spec.NotificationSpec)
	spec.Throttle, spec.Fallback = ruleThrottle(n.throttle), n.fallbackTo
	spec.MutedUntil, spec.MutedBy, spec.MuteReason = nil, n.mutedBy, n.muteReason
	if !n.mutedUntil.IsZero() {
		spec.MutedUntil = &metav1.Time{Time: n.mutedUntil}
	}
	spec.TemplateRef = nil
	if n.templateID != "" {
		spec.TemplateRef = &v1alpha1.NotificationTemplateReference{Name: n.templateID}
	}
	n.writeChannel(spec)
	n.writeTranslations(spec)
	park(n.rule, n.parked())
}

// writeChannel stores the texts of the notification's type. Fields that the API doesn't
// have, such as the region of phone numbers, keep their values.
func (n *notification) writeChannel(spec *v1alpha1.NotificationRuleSpec) {
	var layout *v1alpha1.NotificationLayoutReference
	if n.layoutID != "" {
		layout = &v1alpha1.NotificationLayoutReference{Name: n.layoutID}
	}
	sms := spec.SMS
	spec.Email, spec.SMS, spec.Push, spec.System = nil, nil, nil, nil
	switch v1alpha1.Channel(n.kind) {
	case v1alpha1.ChannelEmail:
		spec.Email = &v1alpha1.EmailMessage{
			To: n.toEmail, ToUser: n.toUser, From: n.fromEmail, Subject: n.subject, HTML: n.html, Text: n.text, LayoutRef: layout,
		}
	case v1alpha1.ChannelSMS:
		spec.SMS = &v1alpha1.SMSMessage{To: n.toMobile, ToUser: n.toUser, Message: n.sms, LayoutRef: layout, UseTwilioVerify: n.useTwilioVerify}
		if n.contentSID != "" {
			variables, _ := contentVariables(n.contentVariables) // checked when they were decoded
			spec.SMS.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentSID: n.contentSID, ContentVariables: variables}
			n.contentVariables = encodeContentVariables(variables) // the answer shows what is stored
		}
		if sms != nil {
			spec.SMS.DefaultRegion = sms.DefaultRegion
		}
	case v1alpha1.ChannelPush:
		spec.Push = &v1alpha1.PushMessage{ToUser: n.toUser, Title: n.subject, Message: n.push, LayoutRef: layout}
	case v1alpha1.ChannelSystem:
		spec.System = &v1alpha1.SystemMessage{ToUser: n.toUser, Title: n.subject, Message: n.text, LayoutRef: layout}
	}
}

// check parses the rule's templates and expression.
func (n *notification) check() error {
	_, problems := notify.Compile(n.rule)
	if len(problems) == 0 {
		return nil
	}
	invalid := make([]rest.FieldError, len(problems))
	for i := range problems {
		invalid[i] = problemError(&problems[i], n.apiName)
	}
	return rest.InvalidFields(invalid...)
}

const throttlePath = "spec.throttle"

// placeIn returns where in the value of the API's field the field at a path is, for fields that
// hold objects; ok is false for others.
func placeIn(path string, names func(path string) string) (place string, ok bool) {
	if place, ok = strings.CutPrefix(path, throttlePath+"."); ok {
		return place, true
	}
	return translated(path, names)
}

// problemError converts a problem of a template or expression, with its position, to a
// field error.
func problemError(problem *notify.Problem, names func(path string) string) rest.FieldError {
	field := names(problem.Field)
	if field == "" {
		field = rest.NonFieldErrors
	}
	message := strings.TrimSuffix(problem.Message, ".") + "."
	place, isInside := placeIn(problem.Field, names)
	if isInside {
		message = place + ": " + message
	}
	if problem.Line > 0 {
		message = fmt.Sprintf("Line %d, column %d: %s", problem.Line, problem.Column, message)
	} else if !isInside {
		message = notify.Capitalized(message)
	}
	return rest.FieldError{Field: field, Messages: []string{message}}
}

// apiName returns the API's name of the field at a path of a rule, or "" if it has none.
func (n *notification) apiName(path string) string {
	switch path {
	case "spec.displayName":
		return "name"
	case "spec.description":
		return "description"
	case "spec.event":
		return "event"
	case "spec.expression":
		return "expression"
	case "spec.systemEnabled":
		return "system_enabled"
	case "spec.expiresAfter":
		return "expires_after"
	case "spec.mutedUntil":
		return "muted_until"
	case "spec.muteReason":
		return "mute_reason"
	case "spec.sensitive":
		return "sensitive"
	case "spec.ignoreSuppressions":
		return "ignore_suppressions"
	case "spec.onUnknownOutcome":
		return "on_unknown_outcome"
	case "spec.fallback", "spec.fallback.name", "spec.fallback.ifUnreadAfter":
		return "fallback"
	case "spec.templateRef", "spec.templateRef.name":
		return "template"
	}
	if strings.HasPrefix(path, translationsPath) {
		return translationsField
	}
	if path == throttlePath || strings.HasPrefix(path, throttlePath+".") {
		return "throttle"
	}
	for name, fieldPath := range channelFields[n.kind] {
		if path == fieldPath || strings.HasPrefix(path, fieldPath+".") {
			return name
		}
	}
	return ""
}

// resolveReferences resolves the layout and the template that the notification names. It
// returns a *rest.Error if one is missing or unsuitable.
func (a *API) resolveReferences(ctx context.Context, r *rest.Request, n *notification) (err error) {
	n.layout, n.template = nil, nil
	var invalid []rest.FieldError
	if n.layoutID != "" {
		if n.layout, err = a.layoutReference(ctx, r.Caller.Activation.Namespace, n.layoutID); err != nil {
			return unreadable(err)
		}
		if n.layout == nil || !n.layout.usableBy(r.Caller.Activation) {
			invalid = append(invalid, noSuchKey("layout", n.layoutID))
		} else if n.kind != "" && n.layout.kind != n.kind {
			invalid = append(invalid, rest.FieldError{Field: "layout", Messages: []string{fmt.Sprintf("This layout is for notifications of the type %s.", n.layout.kind)}})
		}
	}
	if n.templateID != "" {
		if n.template, err = a.templateNamed(ctx, n.templateID); err != nil {
			return unreadable(err)
		}
		if n.template == nil && r.Given("template") {
			invalid = append(invalid, noSuchKey("template", n.templateID))
		}
	}
	if len(n.fallback) > 0 || len(n.storedFallback) > 0 {
		all, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
		if err != nil {
			return unreadable(err)
		}
		if e := n.resolveFallback(all); e != nil {
			invalid = append(invalid, *e)
		}
	}
	if len(invalid) > 0 {
		return rest.InvalidFields(invalid...)
	}
	return nil
}

// noSuchKey returns the error of Django REST Framework's PrimaryKeyRelatedField.
func noSuchKey(field, id string) rest.FieldError {
	return rest.FieldError{Field: field, Messages: []string{fmt.Sprintf("Invalid pk %q - object does not exist.", id)}}
}

func (a *API) createNotification(ctx context.Context, r *rest.Request, n *notification) error {
	if err := a.resolveReferences(ctx, r, n); err != nil {
		return err
	}
	if n.template != nil {
		n.fillFrom(r, n.template)
	}
	activation := r.Caller.Activation
	n.rule = &v1alpha1.NotificationRule{}
	n.rule.Namespace, n.rule.Name = activation.Namespace, newName(activation, n.name)
	n.rule.Spec.CompanyRef.Name = activation.Name
	n.setMutedBy(r.Caller.User)
	if err := n.write(); err != nil {
		return err
	}
	if err := a.admit(ctx, r, n.rule); err != nil {
		return err
	}
	if err := a.writer.create(ctx, n.rule); err != nil {
		return writeError(err, n.apiName)
	}
	r.Log.Info("Created a notification", "company", r.Caller.Company, "user", r.Caller.User, "rule", n.rule.Name)
	all, err := notifications.Of(ctx, a.Cache, activation)
	if err != nil {
		return unreadable(err)
	}
	n.id = notifications.Number(r.Caller.Company, n.rule.Namespace+"/"+n.rule.Name)
	if created, ok := all.ByName(n.rule.Name); ok {
		n.id = created.ID
	}
	return nil
}

// fillFrom copies the fields that the request doesn't set from the template.
func (n *notification) fillFrom(r *rest.Request, t *template) {
	given, from := n.fieldsByName(), t.fieldsByName()
	for name, field := range given {
		if !r.Given(name) {
			*field = *from[name]
		}
	}
	for name, field := range map[string][2]*string{
		"type": {&n.kind, &t.kind}, "description": {&n.description, &t.description},
		"event": {&n.event, &t.event}, "expression": {&n.expression, &t.expression}, "expires_after": {&n.expiresAfter, &t.expiresAfter},
		"on_unknown_outcome": {&n.onUnknownOutcome, &t.onUnknownOutcome},
	} {
		if !r.Given(name) {
			*field[0] = *field[1]
		}
	}
	for name, field := range map[string][2]*bool{
		"preference_enabled": {&n.preferenceEnabled, &t.preferenceEnabled}, "system_enabled": {&n.systemEnabled, &t.systemEnabled},
		"use_twilio_verify": {&n.useTwilioVerify, &t.useTwilioVerify}, "sensitive": {&n.sensitive, &t.sensitive},
		"ignore_suppressions": {&n.ignoreSuppressions, &t.ignoreSuppressions},
	} {
		if !r.Given(name) {
			*field[0] = *field[1]
		}
	}
	for name, field := range map[string][2]*json.RawMessage{
		contentVariablesField: {&n.contentVariables, &t.contentVariables}, translationsField: {&n.translations, &t.translations},
	} {
		if !r.Given(name) {
			*field[0] = *field[1]
		}
	}
}

func (a *API) updateNotification(ctx context.Context, r *rest.Request, n *notification) error {
	if err := mayChange(r.Caller.Activation, n.rule); err != nil {
		return err
	}
	if err := a.resolveReferences(ctx, r, n); err != nil {
		return err
	}
	n.setMutedBy(r.Caller.User)
	if err := n.write(); err != nil {
		return err
	}
	if err := a.admit(ctx, r, n.rule); err != nil {
		return err
	}
	if err := a.writer.update(ctx, n.rule); err != nil {
		return writeError(err, n.apiName)
	}
	n.problem = problemOf(n.rule)
	r.Log.Info("Changed a notification", "company", r.Caller.Company, "user", r.Caller.User, "rule", n.rule.Name)
	return nil
}

func (a *API) deleteNotification(ctx context.Context, r *rest.Request, n *notification) error {
	if err := mayChange(r.Caller.Activation, n.rule); err != nil {
		return err
	}
	if n.template != nil && !n.template.deletable {
		return rest.Forbidden("Notifications made from this template can't be deleted. Disable it instead.")
	}
	r.EndWork()
	if err := a.writer.remove(ctx, n.rule); err != nil {
		return writeError(err, n.apiName)
	}
	r.Log.Info("Deleted a notification", "company", r.Caller.Company, "user", r.Caller.User, "rule", n.rule.Name)
	return nil
}

// isRead reports whether a request only reads.
func isRead(r *rest.Request) bool {
	return r.HTTP.Method == "GET" || r.HTTP.Method == "HEAD"
}
