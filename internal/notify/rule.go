// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
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
	channel    Channel
	expression *expression.Expression
	to         field
	text       field
	from       *field // of an email; nil: the company's or the operator's
	subject    *field // nil: no subject or title
	html       *field // nil: no HTML part
	region     string // of phone numbers without a country code
	layoutName string // empty: messages are not wrapped
	layout     *Layout

	variables []string
	// What a rule reads of computed costs a call of the platform, so it is known
	// apart for the expression, which decides whether the rest is needed at all.
	expressionReadsComputed bool
	messageReadsComputed    bool
}

// field is one template of a rule.
type field struct {
	path       string
	template   *django.Template
	autoescape bool
}

// Compile parses the templates and the expression of a rule. It returns every
// problem it finds, not only the first; the Rule is nil if there is any. A rule that
// names a layout sends nothing before it has it, see [Rule.WithLayout].
func Compile(rule *v1alpha1.NotificationRule) (*Rule, Problems) {
	c := &compiler{}
	r := &Rule{}

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
	r.layoutName = rule.Spec.Layout()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	r.messageReadsComputed = readsComputed(c.variables[before:])
	slices.Sort(c.variables)
	r.variables = slices.Compact(c.variables)
	return r, nil
}

// Variables returns, sorted, the dotted paths that the rule reads.
func (r *Rule) Variables() []string { return slices.Clone(r.variables) }

// message parses the templates of the rule's channel. Escaping is for HTML, and only
// there: elsewhere a customer would read &amp;.
func (c *compiler) message(r *Rule, spec *v1alpha1.NotificationRuleSpec) {
	r.channel = Channel(spec.Channel())
	switch r.channel {
	case ChannelEmail:
		email := spec.Email
		r.to = c.field("spec.email.to", email.To, false)
		r.subject = c.optional("spec.email.subject", email.Subject, false)
		r.text = c.field("spec.email.text", email.Text, false)
		r.from = c.optional("spec.email.from", email.From, false)
		r.html = c.optional("spec.email.html", email.HTML, true)
	case ChannelSMS:
		r.to = c.field("spec.sms.to", spec.SMS.To, false)
		r.text = c.field("spec.sms.message", spec.SMS.Message, false)
		r.region = spec.SMS.DefaultRegion
		if r.region != "" && !phone.IsRegion(r.region) {
			c.problems = append(c.problems, Problem{Field: "spec.sms.defaultRegion", Message: "there is no region of this code: set an ISO 3166 code such as ZA"})
		}
	case ChannelPush:
		r.to = c.field("spec.push.toUser", spec.Push.ToUser, false)
		r.subject = c.optional("spec.push.title", spec.Push.Title, false)
		r.text = c.field("spec.push.message", spec.Push.Message, false)
	case ChannelSystem:
		r.to = c.field("spec.system.toUser", spec.System.ToUser, false)
		r.subject = c.optional("spec.system.title", spec.System.Title, false)
		r.text = c.field("spec.system.message", spec.System.Message, false)
	default:
		c.problems = append(c.problems, Problem{Field: "spec", Message: "no channel is set: set spec.email, spec.sms, spec.push or spec.system"})
	}
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

// optional is a field that may be left out, which is nil then.
func (c *compiler) optional(path, source string, autoescape bool) *field {
	if source == "" {
		return nil
	}
	f := c.field(path, source, autoescape)
	return &f
}

func (c *compiler) fail(path string, err error) {
	problem := Problem{Field: path, Message: err.Error()}
	var djangoError *django.Error
	var fault *expression.Fault
	switch {
	case errors.As(err, &fault):
		problem.Line, problem.Column, problem.Message = fault.Line, fault.Column, fault.Msg
	case errors.As(err, &djangoError):
		problem.Line, problem.Column, problem.Message = djangoError.Line, djangoError.Column, djangoError.Msg
	}
	c.problems = append(c.problems, problem)
}

func readsComputed(variables []string) bool {
	return slices.ContainsFunc(variables, func(path string) bool {
		return path == computedKey || strings.HasPrefix(path, computedKey+".")
	})
}

// Decide says what the rule makes of the event. defaultFrom is the sender when
// neither the rule nor the company has one; it may be empty.
//
// An error means that no decision was possible now, because what the rule needs
// of the platform could not be had or the context ended: ask again later. All
// else, also a rule that fails on this event, is a Decision.
func (r *Rule) Decide(ctx context.Context, event *Event, defaultFrom string) (Decision, error) {
	values, err := event.values(ctx, r.expressionReadsComputed)
	if err != nil {
		return Decision{}, err
	}
	verdict := r.expression.Evaluate(ctx, values, expression.EvaluateOptions{Now: event.clock})
	if err := ctx.Err(); err != nil {
		return Decision{}, fmt.Errorf("evaluating the expression: %w", err)
	}
	if verdict.Fault != nil {
		return notSent(ExpressionFault, verdict.Fault.Error()), nil //nolint:nilerr // an expression that fails is a decision
	}
	if !verdict.Send {
		return notSent(ExpressionFalse, ""), nil
	}

	if r.layoutName != "" && r.layout == nil {
		return notSent(RuleInvalid, "spec.email.layoutRef: there is no valid NotificationLayout "+r.layoutName), nil
	}

	values, err = event.values(ctx, r.messageReadsComputed)
	if err != nil {
		return Decision{}, err
	}
	decision, err := r.message(ctx, event, values, defaultFrom)
	if ctxErr := ctx.Err(); ctxErr != nil {
		return Decision{}, fmt.Errorf("rendering the message: %w", ctxErr)
	}
	if err != nil {
		return notSent(RenderFailed, err.Error()), nil
	}
	return decision, nil
}

func (r *Rule) message(ctx context.Context, event *Event, values *python.Dict, defaultFrom string) (Decision, error) {
	to, err := r.to.render(ctx, event, values)
	if err != nil {
		return Decision{}, err
	}
	recipients := splitRecipients(to)
	switch {
	case len(recipients) == 0:
		return notSent(NoRecipient, r.to.path+" rendered as nothing"), nil
	case len(recipients) > MaxRecipients:
		return notSent(TooManyRecipients, fmt.Sprintf("%s rendered %d recipients, more than the %d that one rule can have", r.to.path, len(recipients), MaxRecipients)), nil
	}

	message := Message{Channel: r.channel}
	if r.channel == ChannelEmail {
		if message.From, err = r.sender(ctx, event, values, defaultFrom); err != nil {
			return Decision{}, err
		}
		if message.From == "" {
			return notSent(NoSender, "there is no valid sender: set spec.email.from, the company's system email on Rehive, the sender of its DeliveryProvider, or the operator's --email-from"), nil
		}
	}
	if r.subject != nil {
		if message.Subject, err = r.subject.render(ctx, event, values); err != nil {
			return Decision{}, err
		}
		message.Subject = oneLine(message.Subject)
	}
	if message.Text, err = r.text.render(ctx, event, values); err != nil {
		return Decision{}, err
	}
	if strings.TrimSpace(message.Text) == "" {
		return notSent(EmptyText, r.text.path+" rendered blank"), nil
	}
	if r.html != nil {
		if message.HTML, err = r.html.render(ctx, event, values); err != nil {
			return Decision{}, err
		}
	}
	if r.layout != nil {
		if err := r.layout.wrap(ctx, event, values, &message); err != nil {
			return Decision{}, err
		}
	}
	return r.address(recipients, message), nil
}

// address makes a message for each recipient.
func (r *Rule) address(recipients []string, message Message) Decision {
	var decision Decision
	seen := make(map[string]bool, len(recipients))
	for _, recipient := range recipients {
		address, problem := r.recipient(recipient)
		if problem != "" {
			decision.NotSent = append(decision.NotSent, NotSent{
				Recipient: recipient,
				Reason:    MalformedRecipient,
				Detail:    r.to.path + " rendered something that " + problem,
			})
			continue
		}
		if seen[strings.ToLower(address)] {
			continue
		}
		seen[strings.ToLower(address)] = true
		message.Recipient = address
		decision.Messages = append(decision.Messages, message)
	}
	return decision
}

// recipient returns a recipient in the form that the channel's providers take, or
// the end of a sentence about what is wrong with it.
func (r *Rule) recipient(text string) (address, problem string) {
	switch r.channel {
	case ChannelSMS:
		number, err := phone.E164(text, r.region)
		if err != nil {
			return "", err.Error()
		}
		return number, ""
	case ChannelPush, ChannelSystem:
		if !isUser(text) {
			return "", "is no identifier of a user"
		}
		return text, ""
	default:
		address, ok := emailAddress(text)
		if !ok {
			return "", "is no email address"
		}
		return address, ""
	}
}

// sender returns the rule's sender, else the company's, else the operator's;
// empty when that is none or no address.
func (r *Rule) sender(ctx context.Context, event *Event, values *python.Dict, defaultFrom string) (string, error) {
	from := ""
	if r.from != nil {
		rendered, err := r.from.render(ctx, event, values)
		if err != nil {
			return "", err
		}
		from = oneLine(rendered)
	}
	for _, fallback := range []string{event.Company.SystemEmail, defaultFrom} {
		if from == "" {
			from = strings.TrimSpace(fallback)
		}
	}
	address, ok := parseAddress(from)
	if !ok {
		return "", nil
	}
	return address.String(), nil
}

func (f *field) render(ctx context.Context, event *Event, values *python.Dict) (string, error) {
	text, err := f.template.Render(ctx, values, django.RenderOptions{Autoescape: f.autoescape, Now: event.clock})
	if err != nil {
		return "", err // it begins with the template's name, which is the field's path
	}
	return text, nil
}

func (e *Event) clock() time.Time { return e.now }
