// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/dispatch"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/lint"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/phone"
	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// Previewer evaluates rules without sending. *dispatch.Dispatcher implements it and
// documents the methods.
type Previewer interface {
	Preview(ctx context.Context, company *v1alpha1.CompanyActivation, rule *catalog.Rule, of ledger.Event, digest bool, use func(*dispatch.Preview)) error
	DryRun(ctx context.Context, company *v1alpha1.CompanyActivation, of ledger.Event, output int64, use func(*catalog.Rule, *notify.Decision) error) error
}

// maxEventID is the longest identifier of an event, in characters.
const maxEventID = 255

// sample is the event that a preview evaluates.
type sample struct {
	event json.RawMessage // name and data, or only the name
	id    string          // of a stored event

	digest bool // previews the digest instead
}

// preview is what a notification would do with an event.
type preview struct {
	event, eventID, reason string
	send                   bool
	expression             expressionPreview
	recipients             []string
	messages               []messagePreview
	notSent                []notSentPreview
	errors, warnings       []remark
	translations           []completeness
}

// completeness is a language that a notification has, and the texts that it lacks there.
type completeness struct {
	language string
	missing  []string // API names
}

// readCompleteness returns the languages of a rule.
func readCompleteness(rule *v1alpha1.NotificationRule) (languages []completeness) {
	own := ownTexts(&rule.Spec)
	for i := range rule.Spec.Translations {
		texts := textsOf(&rule.Spec.Translations[i])
		c := completeness{language: rule.Spec.Translations[i].Language}
		for _, name := range slices.Sorted(maps.Keys(own)) {
			if texts[name] == "" {
				c.missing = append(c.missing, name)
			}
		}
		languages = append(languages, c)
	}
	return languages
}

type expressionPreview struct {
	send               *bool
	text, result       string
	comparisons        []comparison
	moreThanComparison bool
}

type comparison struct {
	left, operator, right string
	holds                 bool
}

// messagePreview is a message with all of its recipients.
type messagePreview struct {
	kind, language, from, encoding string
	recipients                     []string
	texts                          messages.Texts
	segments                       int
}

type notSentPreview struct{ kind, recipient, user, reason, message string }

// remark is an error or a warning, with its position if it concerns a field's text.
type remark struct {
	field, message string
	line, column   int
}

var (
	comparisonSerializer = &rest.Serializer[comparison]{Name: "PreviewComparison", Fields: []rest.Field[comparison]{
		rest.Text("left", func(c *comparison) *string { return &c.left }).ReadOnly(),
		rest.Text("operator", func(c *comparison) *string { return &c.operator }).ReadOnly(),
		rest.Text("right", func(c *comparison) *string { return &c.right }).ReadOnly(),
		rest.Boolean("holds", func(c *comparison) *bool { return &c.holds }).ReadOnly(),
	}}
	expressionSerializer = &rest.Serializer[expressionPreview]{Name: "PreviewExpression", Fields: []rest.Field[expressionPreview]{
		rest.NullBoolean("send", func(e *expressionPreview) **bool { return &e.send }).ReadOnly().Describe("The expression's verdict; null if it was not evaluated."),
		rest.Text("text", func(e *expressionPreview) *string { return &e.text }).ReadOnly().Describe("The expression after its variables and tags were rendered."),
		rest.Text("result", func(e *expressionPreview) *string { return &e.result }).ReadOnly().Nullable().Describe("Its value as Python prints it; null if the evaluation failed."),
		rest.NestedList("comparisons", comparisonSerializer, func(e *expressionPreview) []comparison { return e.comparisons }),
		rest.Boolean("more_comparisons", func(e *expressionPreview) *bool { return &e.moreThanComparison }).ReadOnly(),
	}}
	messagePreviewSerializer = &rest.Serializer[messagePreview]{Name: "PreviewMessage", Fields: messagePreviewFields()}
	notSentSerializer        = &rest.Serializer[notSentPreview]{Name: "PreviewNotSent", Fields: []rest.Field[notSentPreview]{
		rest.Char("type", func(n *notSentPreview) *string { return &n.kind }).ReadOnly(),
		rest.Char("recipient", func(n *notSentPreview) *string { return &n.recipient }).ReadOnly().Nullable(),
		rest.Char("user", func(n *notSentPreview) *string { return &n.user }).ReadOnly().Nullable(),
		rest.Char("reason", func(n *notSentPreview) *string { return &n.reason }).ReadOnly(),
		rest.Text("message", func(n *notSentPreview) *string { return &n.message }).ReadOnly(),
	}}
	remarkSerializer = &rest.Serializer[remark]{Name: "PreviewRemark", Fields: []rest.Field[remark]{
		rest.Char("field", func(r *remark) *string { return &r.field }).ReadOnly().Nullable(),
		rest.Integer("line", func(r *remark) int64 { return int64(r.line) }).Describe("The line, from 1; 0 if it has no position in a text."),
		rest.Integer("column", func(r *remark) int64 { return int64(r.column) }),
		rest.Text("message", func(r *remark) *string { return &r.message }).ReadOnly(),
	}}
	completenessSerializer = &rest.Serializer[completeness]{Name: "PreviewTranslation", Fields: []rest.Field[completeness]{
		rest.Char("language", func(c *completeness) *string { return &c.language }).ReadOnly(),
		rest.Strings("missing", len(translatedTexts), func(c *completeness) *[]string { return &c.missing }).ReadOnly().
			Describe("The fields whose texts are missing in this language: its users get the notification's own."),
	}}
	previewSerializer = &rest.Serializer[preview]{Name: "NotificationPreview", Fields: []rest.Field[preview]{
		rest.Char("event", func(p *preview) *string { return &p.event }).ReadOnly(),
		rest.Char("event_id", func(p *preview) *string { return &p.eventID }).ReadOnly().Nullable(),
		rest.Boolean("send", func(p *preview) *bool { return &p.send }).ReadOnly().Describe("Whether the notification, stored as it is here, would send anything for the event."),
		rest.Char("reason", func(p *preview) *string { return &p.reason }).ReadOnly().Nullable().Describe("Why nothing would be sent, as one word."),
		rest.Nested("expression", expressionSerializer, func(p *preview) *expressionPreview { return &p.expression }),
		rest.Strings("recipients", notify.MaxRecipients, func(p *preview) *[]string { return &p.recipients }).ReadOnly(),
		rest.NestedList("messages", messagePreviewSerializer, func(p *preview) []messagePreview { return p.messages }),
		rest.NestedList("not_sent", notSentSerializer, func(p *preview) []notSentPreview { return p.notSent }),
		rest.NestedList("errors", remarkSerializer, func(p *preview) []remark { return p.errors }),
		rest.NestedList("warnings", remarkSerializer, func(p *preview) []remark { return p.warnings }),
		rest.NestedList("translations", completenessSerializer, func(p *preview) []completeness { return p.translations }),
	}}
	previewRequest = &rest.Serializer[notification]{Name: "NotificationPreviewRequest", Fields: previewFields()}
)

func messagePreviewFields() []rest.Field[messagePreview] {
	fields := []rest.Field[messagePreview]{
		rest.Char("type", func(m *messagePreview) *string { return &m.kind }).ReadOnly(),
		rest.Char("language", func(m *messagePreview) *string { return &m.language }).ReadOnly().Nullable().Describe("The language of the translation that was used; null for the notification's own texts."),
		rest.Text("from", func(m *messagePreview) *string { return &m.from }).ReadOnly().Nullable(),
		rest.Strings("recipients", notify.MaxRecipients, func(m *messagePreview) *[]string { return &m.recipients }).ReadOnly(),
	}
	fields = append(fields, messages.TextFields(func(m *messagePreview) *messages.Texts { return &m.texts })...)
	return append(fields,
		rest.Integer("segments", func(m *messagePreview) int64 { return int64(m.segments) }).Describe("The number of SMS segments; 0 for other types."),
		rest.Char("encoding", func(m *messagePreview) *string { return &m.encoding }).ReadOnly().Nullable().Describe("GSM-7 or UCS-2."),
	)
}

// previewFields returns the fields of a notification, except that the event may include
// data.
func previewFields() []rest.Field[notification] {
	fields := slices.DeleteFunc(notificationFields(), func(f rest.Field[notification]) bool { return f.Name() == "event" })
	return append(fields,
		rest.JSON("event", func(n *notification) *json.RawMessage { return &n.sample.event }, nil).Nullable().WriteOnly().
			Describe(`The event to evaluate, as {"name": "…", "data": {…}}, or the name of the notification's event, to use the sample of that event.`),
		rest.Char("event_id", func(n *notification) *string { return &n.sample.id }).Nullable().Blank().WriteOnly().MaxLength(maxEventID).
			Describe("The platform's identifier of a received event to evaluate."),
		rest.Boolean("digest", func(n *notification) *bool { return &n.sample.digest }).WriteOnly().
			Describe(fmt.Sprintf("Whether to preview the throttle's digest, as if the messages of %d such events had been collected.", dispatch.PreviewedItems)),
	)
}

// previews returns the operations that preview a new notification, and a stored one with
// changes.
func (a *API) previews() []rest.Operation {
	unsaved := rest.Action[notification]{
		Path: "admin/notifications/preview/", For: rest.Admins, Work: rest.HeavyWork, Body: previewRequest, Result: rest.ResultOf(previewSerializer),
		Begin: func(_ context.Context, r *rest.Request) (*notification, error) {
			n := &notification{company: r.Caller.Company, message: message{enabled: true}, rule: &v1alpha1.NotificationRule{}}
			n.rule.Namespace, n.rule.Spec.CompanyRef.Name = r.Caller.Activation.Namespace, r.Caller.Activation.Name
			return n, nil
		},
		Do: a.preview,
	}
	saved := rest.Action[notification]{
		Path: "admin/notifications/{notification_id}/preview/", NumericID: true, For: rest.Admins, Verb: "Saved", Optional: true, Work: rest.HeavyWork,
		Body: previewRequest, Result: rest.ResultOf(previewSerializer),
		Begin: func(ctx context.Context, r *rest.Request) (*notification, error) {
			n, err := a.findNotification(ctx, r, true)
			if err == nil {
				n.rule = n.rule.DeepCopy() // it is shared with the cache
			}
			return n, err
		},
		Do: a.preview,
	}
	return []rest.Operation{unsaved.Operation(), saved.Operation()}
}

func (a *API) preview(ctx context.Context, r *rest.Request, n *notification) (rest.Answer, error) {
	if err := a.resolveReferences(ctx, r, n); err != nil {
		return rest.Answer{}, err
	}
	if n.template != nil && n.id == 0 {
		n.fillFrom(r, n.template)
	}
	event, err := a.sampleEvent(ctx, r, n)
	if err != nil {
		return rest.Answer{}, err
	}
	result := preview{event: event.Name, eventID: event.ID}
	for _, missing := range n.missing() {
		result.errors = append(result.errors, remark{field: missing.Field, message: strings.Join(missing.Messages, " ")})
	}
	n.fill()
	var layout *v1alpha1.NotificationLayout
	if n.layout != nil {
		layout = n.layout.object
	}
	rule := catalog.NewRule(n.rule, layout, notify.CompileLayout)
	result.addProblems(rule.Compiled.Problems, n)
	warnings := lint.Rule(n.rule)
	result.translations = readCompleteness(n.rule)
	if layout != nil {
		warnings = append(warnings, lint.InLayout(n.rule, layout)...)
	}
	for _, w := range warnings {
		result.warnings = append(result.warnings, n.remarkOn(&w))
	}
	if problem := rule.Compiled.LayoutProblem; problem != nil {
		result.addLayoutProblem(problem)
	}
	if len(result.errors) > 0 {
		result.reason = string(notify.RuleInvalid)
		return rest.DataOf(previewSerializer, &result), nil
	}
	if n.sample.digest {
		if rule = rule.Digest(); rule == nil {
			return rest.Answer{}, rest.InvalidField(nil, "digest", "The notification has no digest: set one in its throttle.")
		}
	}
	r.EndWork() // the dispatcher has its own turns for previews
	var answer rest.Answer
	err = a.Previews.Preview(ctx, r.Caller.Activation, rule, event, n.sample.digest, func(p *dispatch.Preview) {
		result.read(p, n, event.Name)
		answer = rest.DataOf(previewSerializer, &result)
	})
	if err != nil {
		return rest.Answer{}, previewError(err)
	}
	return answer, nil
}

func previewError(err error) error {
	switch {
	case errors.Is(err, dispatch.ErrDataTooLarge):
		return rest.InvalidField(err, "event", "The event's data is too large.")
	case errors.Is(err, dispatch.ErrInvalidData):
		return rest.InvalidField(err, "event", "The event's data can't be read.")
	case errors.Is(err, dispatch.ErrBusy), errors.Is(err, context.DeadlineExceeded):
		return rest.Unavailable(err, "Too many previews are in progress. Try again later.")
	}
	return rest.Unavailable(err, "The data that the notification needs could not be read from the platform. Try again later.")
}

// sampleEvent returns the event to evaluate: the one in the request, a stored one, or else
// the catalogue's sample of its kind. It sets the notification's own event if the request
// does.
func (a *API) sampleEvent(ctx context.Context, r *rest.Request, n *notification) (ledger.Event, error) {
	event := ledger.Event{Company: r.Caller.Company}
	var given struct {
		Name *string         `json:"name"`
		Data json.RawMessage `json:"data"`
	}
	if text := n.sample.event; len(text) > 0 {
		invalid := func(message string) error { return rest.InvalidField(nil, "event", message) }
		switch {
		case text[0] == '{':
			if json.Unmarshal(text, &given) != nil || given.Name == nil || strings.TrimSpace(*given.Name) == "" {
				return event, invalid(`Give the event as {"name": "…", "data": {…}}.`)
			}
			event.Name, event.Data = strings.TrimSpace(*given.Name), given.Data
			switch kind := platformevent.Lookup(event.Name); {
			case len(given.Data) == 0 && kind == nil:
				return event, invalid(noSample(event.Name))
			case len(given.Data) == 0:
				event.Data = kind.Sample()
			case given.Data[0] != '{':
				return event, invalid("The event's data must be an object.")
			}
			if n.id == 0 && n.event == "" {
				n.event = event.Name
			}
		case json.Unmarshal(text, &n.event) != nil:
			return event, invalid("Not a valid string.")
		default:
			n.event = strings.TrimSpace(n.event)
		}
		if utf8.RuneCountInString(n.event) > maxEvent || utf8.RuneCountInString(event.Name) > maxEvent {
			return event, invalid(fmt.Sprintf("Ensure this field has no more than %d characters.", maxEvent))
		}
	}
	switch {
	case n.sample.id != "" && event.Data != nil:
		return event, rest.InvalidField(nil, "event_id", "Give either an event or the event_id of a received event, not both.")
	case n.sample.id != "":
		stored, err := a.Ledger.StoredEvent(ctx, r.Caller.Company, n.sample.id)
		if errors.Is(err, ledger.ErrNotFound) {
			return event, rest.InvalidField(nil, "event_id", fmt.Sprintf("Invalid pk %q - object does not exist.", n.sample.id))
		}
		if err != nil {
			return event, messages.Error(err)
		}
		if stored.State == ledger.EventQuarantined && stored.Reason == ledger.ReasonUnfinished {
			return event, rest.Conflict("Evaluating this event crashed or blocked the operator, so it can't be used for previews. Give the relevant parts of its data as event.")
		}
		if n.id == 0 && n.event == "" {
			n.event = stored.Name
		}
		return stored.Event, nil
	case event.Data != nil:
		return event, nil
	case n.event == "":
		return event, rest.InvalidField(nil, "event",
			`Give an event to evaluate: its name, {"name": "…", "data": {…}}, or the event_id of a received event.`)
	}
	kind := platformevent.Lookup(n.event)
	if kind == nil {
		return event, rest.InvalidField(nil, "event", noSample(n.event))
	}
	event.Name, event.Data = n.event, kind.Sample()
	return event, nil
}

func noSample(event string) string {
	return fmt.Sprintf(`There is no sample of the event %s. Give its data, as {"name": "…", "data": {…}}, or the event_id of a received event.`, event)
}

// read copies the rule's decision into the preview.
func (p *preview) read(decided *dispatch.Preview, n *notification, event string) {
	trace := &decided.Expression
	p.expression = expressionPreview{send: decided.Verdict, text: trace.Text, result: trace.Result, moreThanComparison: trace.More}
	for _, c := range trace.Comparisons {
		p.expression.comparisons = append(p.expression.comparisons, comparison{c.Left, c.Operator, c.Right, c.Holds})
	}
	p.readMessages(decided.Messages)
	p.checkHTML(n)
	p.notSent = readNotSent(decided.NotSent, n.kind)
	p.addProblems(decided.Failed, n)
	for _, path := range decided.Missing {
		if p.warned(path) {
			continue
		}
		p.warn("", fmt.Sprintf("The notification reads %s, which this event's data doesn't have.", path))
	}
	switch {
	case event != n.event:
		p.reason = "OtherEvent"
		p.warn("event", fmt.Sprintf("The notification is for the event %s, and this is %s.", n.event, event))
	case !n.enabled:
		p.reason = string(notify.RuleDisabled)
		p.warn("enabled", "The notification is not enabled.")
	case len(p.messages) > 0:
		p.send = true
	case len(p.notSent) > 0:
		p.reason = p.notSent[0].reason
	}
}

// checkHTML warns of what email clients don't support in the rendered messages, unless the
// templates have the warning.
func (p *preview) checkHTML(n *notification) {
	for i := range p.messages {
		for _, w := range lint.Email("spec.email.html", p.messages[i].texts.HTML) {
			shown := n.remarkOn(&w)
			shown.line, shown.column = 0, 0 // it is not in the field's text
			if !slices.ContainsFunc(p.warnings, func(r remark) bool { return r.field == shown.field && r.message == shown.message }) {
				p.warnings = append(p.warnings, shown)
			}
		}
	}
}

// readMessages copies the messages of a decision into the preview.
func (p *preview) readMessages(all []notify.Message) {
	p.messages = groupMessages(all)
	for i := range all {
		if recipient := all[i].Recipient; !slices.Contains(p.recipients, recipient) {
			p.recipients = append(p.recipients, recipient)
		}
	}
}

// groupMessages groups the messages of a decision, which have the same texts on each
// channel in each language.
func groupMessages(all []notify.Message) (grouped []messagePreview) {
	for i := range all {
		m := &all[i]
		if last := len(grouped) - 1; last >= 0 && grouped[last].kind == string(m.Channel) && grouped[last].language == m.Language {
			grouped[last].recipients = append(grouped[last].recipients, m.Recipient)
			continue
		}
		shown := messagePreview{kind: string(m.Channel), language: m.Language, from: m.From, recipients: []string{m.Recipient}}
		shown.texts = messages.TextsOf(&ledger.Delivery{
			Channel: string(m.Channel), Content: ledger.Content{Subject: m.Subject, Text: m.Text, HTML: m.HTML, SMS: ledger.SMSOptions(m.SMS)},
		})
		if m.Channel == notify.ChannelSMS {
			n, encoding := phone.Segments(m.Text)
			shown.segments, shown.encoding = n, string(encoding)
		}
		grouped = append(grouped, shown)
	}
	return grouped
}

// readNotSent converts the recipients of a decision who receive nothing. Kind is the
// channel of the rule.
func readNotSent(all []notify.NotSent, kind string) (shown []notSentPreview) {
	for _, not := range all {
		channel := string(not.Channel)
		if channel == "" {
			channel = kind
		}
		shown = append(shown, notSentPreview{kind: channel, recipient: not.Recipient, user: not.User, reason: string(not.Reason), message: not.Detail})
	}
	return shown
}

func (p *preview) warn(field, message string) {
	p.warnings = append(p.warnings, remark{field: field, message: message})
}

// addLayoutProblem adds the errors of a layout that can't be used, with their positions.
func (p *preview) addLayoutProblem(problem *notify.LayoutProblem) {
	if len(problem.InLayout) == 0 {
		p.errors = append(p.errors, remark{field: "layout", message: sentence(problem.Error())})
	}
	for i := range problem.InLayout {
		in := &problem.InLayout[i]
		p.errors = append(p.errors, remark{field: "layout", message: in.Error(), line: in.Line, column: in.Column})
	}
}

// addProblems adds the errors of templates and the expression.
func (p *preview) addProblems(problems notify.Problems, n *notification) {
	for i := range problems {
		p.errors = append(p.errors, n.remarkOn(&problems[i]))
	}
}

// remarkOn converts a problem to a remark.
func (n *notification) remarkOn(problem *notify.Problem) remark {
	message := problem.Message
	if !strings.HasSuffix(message, "?") {
		message = strings.TrimSuffix(message, ".") + "."
	}
	field := n.apiName(problem.Field)
	if place, ok := placeIn(problem.Field, n.apiName); ok {
		message = place + ": " + message
	} else {
		message = notify.Capitalized(message)
	}
	return remark{field: field, message: message, line: problem.Line, column: problem.Column}
}

// warned reports whether there is already a warning that the event's kind doesn't have the
// variable at path.
func (p *preview) warned(path string) bool {
	return slices.ContainsFunc(p.warnings, func(r remark) bool { return strings.HasPrefix(r.message, "{{ "+path+" }} is not among ") })
}
