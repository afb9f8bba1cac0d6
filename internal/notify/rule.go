// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/phone"
	"github.com/rehive/extension-operator/internal/python"
)

// Rule is a NotificationRule with its templates and expression parsed. It is
// immutable and safe for concurrent use.
type Rule struct {
	uid string
	// preferenceEnabled lets users opt out; systemEnabled sends in-app copies.
	preferenceEnabled, systemEnabled bool
	// ignoreSuppressions sends to recipients who don't want messages, but not to addresses
	// that don't exist.
	ignoreSuppressions bool
	// validFor is how long after its event a message may be sent; 0: always.
	validFor time.Duration

	channel      Channel
	expression   *expression.Expression
	to           field
	user         *field  // the user that an email or SMS is about; nil: the event's user
	from         *field  // of an email; nil: the company's or the operator's
	region       string  // of phone numbers without a country code
	verify       bool    // an SMS through Twilio Verify
	layout       *Layout // nil: messages are not wrapped
	texts                // the rule's own
	translations []texts
	digest       *Rule // sends what a throttle collected; nil if the rule has no digest

	variables []string
	// Reading computed costs a call of the platform, so it is tracked separately for the
	// expression, which decides whether the rest is needed at all.
	expressionReadsComputed bool
	messageReadsComputed    bool
	// readsUnsubscribe says that the message contains the link to opt out.
	readsUnsubscribe bool
}

// field is one template of a rule.
type field struct {
	path       string
	template   *django.Template
	autoescape bool
}

// Compile parses the templates and the expression of a rule. It returns all problems; the
// Rule is nil if there are any. It doesn't compile the rule's layout: see [CompileRule].
func Compile(rule *v1alpha1.NotificationRule) (*Rule, Problems) {
	c := &compiler{}
	r := &Rule{
		uid:               string(rule.UID),
		preferenceEnabled: rule.Spec.PreferenceEnabled,
		// One copy of an in-app message is enough.
		systemEnabled: rule.Spec.SystemEnabled && rule.Spec.System == nil,
		validFor:      rule.Spec.Validity(),

		ignoreSuppressions: rule.Spec.IgnoreSuppressions,
	}

	compiled, err := expression.Compile("spec.expression", rule.Spec.Expression, expression.Options{})
	if err != nil {
		c.fail("spec.expression", err)
	} else {
		r.expression = compiled
		r.expressionReadsComputed = readsComputed(compiled.Variables())
		c.variables = append(c.variables, compiled.Variables()...)
	}

	before := len(c.variables)
	c.message(r, &rule.Spec)
	for i := range rule.Spec.Translations {
		c.translation(r, &rule.Spec.Translations[i])
	}
	c.digest(r, rule.Spec.Throttle, before)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	r.messageReadsComputed = readsComputed(c.variables[before:])
	r.readsUnsubscribe = readsUnsubscribe(c.variables[before:])
	slices.Sort(c.variables)
	r.variables = slices.Compact(c.variables)
	return r, nil
}

// Variables returns, sorted, the dotted paths that the rule reads.
func (r *Rule) Variables() []string { return slices.Clone(r.variables) }

// Size returns approximately how many bytes of memory the rule takes, without its layout.
func (r *Rule) Size() int {
	n := r.expression.Size()
	for _, f := range []*field{&r.to, r.user, r.from} {
		n += f.size()
	}
	own := &r.texts
	n += own.size()
	for i := range r.translations {
		n += r.translations[i].size() // counts what is the rule's own again
	}
	if d := r.digest; d != nil {
		n += d.size()
		for i := range d.translations {
			n += d.translations[i].size()
		}
	}
	return n
}

func (t *texts) size() int {
	n := t.text.size() + t.subject.size() + t.html.size()
	for i := range t.placeholders {
		n += t.placeholders[i].value.size()
	}
	return n
}

// size returns approximately how many bytes of memory the field takes.
func (f *field) size() int {
	if f == nil {
		return 0
	}
	return f.template.Size()
}

// message parses the templates of the rule's channel. Only HTML is escaped: elsewhere a
// customer would read &amp;.
func (c *compiler) message(r *Rule, spec *v1alpha1.NotificationRuleSpec) {
	r.channel = Channel(spec.Channel())
	switch r.channel {
	case ChannelEmail:
		email := spec.Email
		r.to = c.field("spec.email.to", email.To, false)
		c.recipient(r, email.To)
		r.user = c.optional("spec.email.toUser", email.ToUser, false)
		r.subject = c.optional("spec.email.subject", email.Subject, false)
		r.text = c.optional("spec.email.text", email.Text, false)
		r.from = c.optional("spec.email.from", email.From, false)
		c.sender(email.From)
		r.html = c.optional("spec.email.html", email.HTML, true)
	case ChannelSMS:
		r.to = c.field("spec.sms.to", spec.SMS.To, false)
		r.user = c.optional("spec.sms.toUser", spec.SMS.ToUser, false)
		r.text = c.optional("spec.sms.message", spec.SMS.Message, false)
		r.region = spec.SMS.DefaultRegion
		if r.region != "" && !phone.IsRegion(r.region) {
			c.problems = append(c.problems, Problem{Field: "spec.sms.defaultRegion", Message: "there is no region of this code: set an ISO 3166 code such as ZA"})
			return
		}
		c.recipient(r, spec.SMS.To)
		r.verify = spec.SMS.UseTwilioVerify
		if template := spec.SMS.WhatsApp; template != nil {
			r.contentSID = template.ContentSID
			r.placeholders = c.contentVariables("spec.sms.whatsApp", template.ContentVariables)
		}
	case ChannelPush:
		r.to = c.field("spec.push.toUser", spec.Push.ToUser, false)
		c.recipient(r, spec.Push.ToUser)
		r.subject = c.optional("spec.push.title", spec.Push.Title, false)
		r.text = c.optional("spec.push.message", spec.Push.Message, false)
	case ChannelSystem:
		r.to = c.field("spec.system.toUser", spec.System.ToUser, false)
		c.recipient(r, spec.System.ToUser)
		r.subject = c.optional("spec.system.title", spec.System.Title, false)
		r.text = c.optional("spec.system.message", spec.System.Message, false)
	default:
		c.problems = append(c.problems, Problem{Field: "spec", Message: "no channel is set: set spec.email, spec.sms, spec.push or spec.system"})
	}
}

// contentVariables parses the values of a content template's placeholders.
func (c *compiler) contentVariables(path string, values map[string]string) []placeholder {
	placeholders := make([]placeholder, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		placeholders = append(placeholders, placeholder{name, c.field(path+".contentVariables."+name, values[name], false)})
	}
	return placeholders
}

type compiler struct {
	problems  Problems
	variables []string
}

func (c *compiler) field(path, source string, autoescape bool) field {
	template, err := django.Parse(path, source, django.Options{})
	if err != nil {
		c.fail(path, err)
		return field{}
	}
	c.variables = append(c.variables, template.Variables()...)
	return field{path: path, template: template, autoescape: autoescape}
}

// optional returns an optional field, or nil if it isn't set.
func (c *compiler) optional(path, source string, autoescape bool) *field {
	if source == "" {
		return nil
	}
	f := c.field(path, source, autoescape)
	return &f
}

// recipient rejects a recipient that is invalid for every event.
func (c *compiler) recipient(r *Rule, source string) {
	if r.to.template == nil {
		return // it doesn't parse, which is the problem to report
	}
	if problem := checkConstant(r.channel, r.region, splitField(literals(source))); problem != "" {
		c.problems = append(c.problems, Problem{Field: r.to.path, Message: "contains a recipient that " + problem})
	}
}

// sender rejects a sender that is invalid for every event.
func (c *compiler) sender(source string) {
	if strings.TrimSpace(source) == "" {
		return
	}
	if from := literals(source); from != nil {
		if problem := checkConstant(ChannelEmail, "", []entry{from}); problem != "" {
			c.problems = append(c.problems, Problem{Field: "spec.email.from", Message: "the sender " + problem})
		}
	}
}

func (c *compiler) fail(path string, err error) {
	c.problems = append(c.problems, problemOf(path, err))
}

// problemOf returns an error of the template or expression in a field.
func problemOf(path string, err error) Problem {
	problem := Problem{Field: path, Message: err.Error()}
	var djangoError *django.Error
	var fault *expression.Fault
	switch {
	case errors.As(err, &fault):
		problem.Line, problem.Column, problem.Message = fault.Line, fault.Column, fault.Msg
	case errors.As(err, &djangoError):
		problem.Line, problem.Column, problem.Message = djangoError.Line, djangoError.Column, djangoError.Msg
	}
	return problem
}

func readsUnsubscribe(variables []string) bool {
	return slices.ContainsFunc(variables, func(path string) bool {
		return path == contextKey || path == contextKey+"."+unsubscribeKey || path == django.Any
	})
}

// setUnsubscribeURL sets the link to opt out that the message's templates read. There is none
// if the rule doesn't let users opt out, or the user is unknown.
func (r *Rule) setUnsubscribeURL(event *Event, user string) {
	if !r.readsUnsubscribe {
		return
	}
	url := ""
	if r.preferenceEnabled && user != "" && event.UnsubscribeURL != nil {
		url = event.UnsubscribeURL(user)
	}
	if root := dict(event.data, contextKey); root != nil {
		root.SetStr(unsubscribeKey, python.Str(url)) // each rule sets its own
	}
}

func readsComputed(variables []string) bool {
	return slices.ContainsFunc(variables, func(path string) bool {
		return path == computedKey || strings.HasPrefix(path, computedKey+".")
	})
}

// write renders the message for at least one addressee. User is the user that an email or
// SMS is about.
func (r *Rule) write(ctx context.Context, event *Event, values *python.Dict, user string, texts *texts, to []addressee, defaultFrom string) (Decision, error) {
	var decision Decision
	var err error
	message := Message{Channel: r.channel, Language: texts.language}
	if r.channel == ChannelEmail && r.sends(to) {
		var problem string
		if message.From, problem, err = r.sender(ctx, event, values, defaultFrom); err != nil {
			return Decision{}, err
		}
		if problem != "" {
			decision.add(NotSent{User: user, Reason: NoSender, Detail: problem})
			to = slices.DeleteFunc(slices.Clone(to), func(a addressee) bool { return a.channel == r.channel })
			if len(to) == 0 {
				return decision, nil
			}
		}
	}
	if texts.subject != nil {
		if message.Subject, err = texts.subject.renderIn(ctx, event, values, texts.language); err != nil {
			return Decision{}, err
		}
		message.Subject = oneLine(message.Subject)
	}
	if message.Text, err = texts.text.renderIn(ctx, event, values, texts.language); err != nil {
		return Decision{}, err
	}
	if strings.TrimSpace(message.Text) == "" {
		decision.add(NotSent{User: user, Reason: EmptyText, Detail: texts.text.path + " rendered blank"})
		return decision, nil
	}
	inApp := Message{Channel: ChannelSystem, Language: texts.language, Subject: message.Subject, Text: message.Text}
	if r.sends(to) {
		if message.SMS, err = r.smsOptions(ctx, event, values, texts); err != nil {
			return Decision{}, err
		}
		if err := r.addHTML(ctx, event, values, texts, &message); err != nil {
			return Decision{}, err
		}
	}
	for _, a := range to {
		m := message
		if a.channel != r.channel {
			m = inApp
		}
		m.Recipient, m.User = a.recipient, a.user
		decision.Messages = append(decision.Messages, m)
	}
	return decision, nil
}

// sendsOn reports whether the rule has messages on a channel: its own, or that of in-app copies.
func (r *Rule) sendsOn(channel Channel) bool {
	return channel == r.channel || channel == ChannelSystem && r.systemEnabled
}

// sends reports whether anyone receives a message on the rule's own channel.
func (r *Rule) sends(to []addressee) bool {
	return slices.ContainsFunc(to, func(a addressee) bool { return a.channel == r.channel })
}

// placeholder is a variable of a content template.
type placeholder struct {
	name  string
	value field
}

// maxContentVariables limits the rendered variables of a content template, in bytes of
// JSON. WhatsApp accepts messages of up to 1024 characters.
const maxContentVariables = 16 << 10

// smsOptions renders the options of an SMS in addition to its text.
func (r *Rule) smsOptions(ctx context.Context, event *Event, values *python.Dict, texts *texts) (SMSOptions, error) {
	options := SMSOptions{ContentSID: texts.contentSID, Verify: r.verify}
	if len(texts.placeholders) == 0 {
		return options, nil
	}
	rendered := make(map[string]string, len(texts.placeholders))
	for i := range texts.placeholders {
		text, err := texts.placeholders[i].value.renderIn(ctx, event, values, texts.language)
		if err != nil {
			return SMSOptions{}, err
		}
		// WhatsApp rejects values with line breaks, tabs or consecutive spaces.
		rendered[texts.placeholders[i].name] = strings.Join(strings.Fields(text), " ")
	}
	encoded, err := json.Marshal(rendered)
	if err != nil {
		return SMSOptions{}, fmt.Errorf("spec.sms.whatsApp.contentVariables: %w", err)
	}
	if len(encoded) > maxContentVariables {
		return SMSOptions{}, fmt.Errorf("spec.sms.whatsApp.contentVariables: the rendered values are larger than %d bytes", maxContentVariables)
	}
	options.ContentVariables = string(encoded)
	return options, nil
}

// addHTML adds the HTML part and the layout.
func (r *Rule) addHTML(ctx context.Context, event *Event, values *python.Dict, texts *texts, message *Message) (err error) {
	if texts.html != nil {
		if message.HTML, err = texts.html.renderIn(ctx, event, values, texts.language); err != nil {
			return err
		}
	}
	if r.layout != nil {
		return r.layout.wrap(ctx, event, values, message)
	}
	return nil
}

// sender returns the sender of the rule, or else of the company, or else the default one.
// If there is none, or the first one that is set is invalid, it returns a sentence about
// the problem instead.
func (r *Rule) sender(ctx context.Context, event *Event, values *python.Dict, defaultFrom string) (from, problem string, err error) {
	var rendered entry
	if r.from != nil {
		if rendered, err = r.from.renderSegments(ctx, event, values); err != nil {
			return "", "", err
		}
	}
	for _, candidate := range []struct {
		sender  entry
		problem string
	}{
		{rendered, "spec.email.from rendered something that "},
		{authored(event.Company.SystemEmail), "the company's system email on Rehive "},
		{authored(defaultFrom), "the default sender, which is that of the DeliveryProvider or the operator's --email-from, "},
	} {
		if candidate.sender.isNothing() {
			continue
		}
		a, err := candidate.sender.address()
		if err != nil {
			return "", candidate.problem + err.Error(), nil //nolint:nilerr // an invalid sender is a decision
		}
		return (&mail.Address{Name: a.Name, Address: a.Bare()}).String(), "", nil
	}
	return "", "there is no sender: set spec.email.from, the company's system email on Rehive, spec.sender of its DeliveryProvider, or the operator's --email-from", nil
}

func (f *field) render(ctx context.Context, event *Event, values *python.Dict) (string, error) {
	return f.renderIn(ctx, event, values, "")
}

// renderIn renders with dates and numbers in a language; empty for English.
func (f *field) renderIn(ctx context.Context, event *Event, values *python.Dict, language string) (string, error) {
	text, err := f.template.Render(ctx, values, django.RenderOptions{Autoescape: f.autoescape, Language: language, Now: event.clock})
	if err != nil {
		return "", err // it begins with the template's name, which is the field's path
	}
	return text, nil
}

// renderSegments is render with the author's text and data distinguished.
func (f *field) renderSegments(ctx context.Context, event *Event, values *python.Dict) ([]django.Segment, error) {
	segments, err := f.template.RenderSegments(ctx, values, django.RenderOptions{Autoescape: f.autoescape, Now: event.clock})
	if err != nil {
		return nil, err // it begins with the template's name, which is the field's path
	}
	return segments, nil
}

func (e *Event) clock() time.Time { return e.now }
