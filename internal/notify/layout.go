// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/inlinecss"
	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// Layout is a NotificationLayout with its templates parsed. It is immutable and
// safe for concurrent use.
type Layout struct {
	name      string
	html      *field // nil: HTML is not wrapped
	text      *field // nil: text is not wrapped
	variables []string
	inlineCSS bool
	// translations have the layout's own templates where they have none.
	translations []texts
}

// CompileLayout parses the templates of a layout. It returns every problem it finds;
// the Layout is nil if there is any.
func CompileLayout(layout *v1alpha1.NotificationLayout) (*Layout, Problems) {
	c := &compiler{}
	l := &Layout{name: layout.Name, inlineCSS: layout.Spec.InlineCSS}
	l.html = c.wrapper("spec.html", layout.Spec.HTML, true)
	l.text = c.wrapper("spec.text", layout.Spec.Text, false)
	for i := range layout.Spec.Translations {
		t := &layout.Spec.Translations[i]
		path := "spec.translations[" + t.Language + "]"
		if slices.ContainsFunc(l.translations, func(other texts) bool { return strings.EqualFold(other.language, t.Language) }) {
			c.problems = append(c.problems, Problem{Field: path, Message: "the language has another translation"})
		}
		translated := texts{language: t.Language, html: l.html, text: l.text}
		if t.HTML != "" {
			translated.html = c.wrapper(path+".html", t.HTML, true)
		}
		if t.Text != "" {
			translated.text = c.wrapper(path+".text", t.Text, false)
		}
		l.translations = append(l.translations, translated)
	}
	if l.html == nil && l.text == nil && len(c.problems) == 0 {
		c.problems = append(c.problems, Problem{Field: "spec", Message: "nothing is set: set spec.html or spec.text"})
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	l.variables = slices.DeleteFunc(c.variables, func(path string) bool { return path == v1alpha1.LayoutContentVariable })
	return l, nil
}

// Size returns approximately how many bytes of memory the layout takes.
func (l *Layout) Size() int {
	n := l.html.size() + l.text.size()
	for i := range l.translations {
		n += l.translations[i].size() // counts what is the layout's own again
	}
	return n
}

// misfit returns why a rule can't use a layout, regardless of the templates, as the end of
// a sentence, or "".
func misfit(rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout) string {
	if company := layout.Spec.CompanyRef; company != nil && *company != rule.Spec.CompanyRef {
		return fmt.Sprintf("the NotificationLayout %s belongs to another company", layout.Name)
	}
	if channel := layout.Spec.ForChannel(); channel != rule.Spec.Channel() {
		return fmt.Sprintf("the NotificationLayout %s is for the channel %s", layout.Name, channel)
	}
	return ""
}

// wrapper parses a field of a layout. It is an error if the field never prints the message.
func (c *compiler) wrapper(path, source string, autoescape bool) *field {
	problems, variables := len(c.problems), len(c.variables)
	f := c.optional(path, source, autoescape)
	if f != nil && len(c.problems) == problems && !slices.Contains(c.variables[variables:], v1alpha1.LayoutContentVariable) {
		c.problems = append(c.problems, Problem{Field: path, Message: "the layout does not contain the message: print it with {{ " + v1alpha1.LayoutContentVariable + " }}"})
	}
	return f
}

// WithLayout returns the rule with its messages wrapped in a layout, regardless of the one
// that it names.
func (r *Rule) WithLayout(l *Layout) *Rule {
	wrapped := *r
	wrapped.layout = l
	wrapped.messageReadsComputed = r.messageReadsComputed || readsComputed(l.variables)
	wrapped.readsUnsubscribe = r.readsUnsubscribe || readsUnsubscribe(l.variables)
	wrapped.variables = append(slices.Clone(r.variables), l.variables...)
	slices.Sort(wrapped.variables)
	wrapped.variables = slices.Compact(wrapped.variables)
	if r.digest != nil {
		wrapped.digest = r.digest.WithLayout(l)
	}
	return &wrapped
}

// wrap renders the layout around a rendered message. The message is data, so its text is
// never parsed as a template.
func (l *Layout) wrap(ctx context.Context, event *Event, values *python.Dict, message *Message) error {
	var err error
	text, html := l.text, l.html
	if i := chooseLanguage(l.translations, func(t *texts) string { return t.language }, message.Language); i >= 0 {
		text, html = l.translations[i].text, l.translations[i].html
	}
	if text != nil {
		if message.Text, err = l.render(ctx, text, event, values, message.Language, python.Str(message.Text)); err != nil {
			return err
		}
	}
	if html != nil && message.HTML != "" {
		// The HTML part is already escaped; escaping it again would make tags visible.
		if message.HTML, err = l.render(ctx, html, event, values, message.Language, python.SafeStr(message.HTML)); err != nil {
			return err
		}
		if l.inlineCSS {
			return message.inlineCSS(ctx)
		}
	}
	return nil
}

// The budget of copying the style sheets of one message.
const (
	inlineSteps = 200_000 // about 20 ms
	inlineBytes = 4 << 20
)

// inlineCSS copies the style sheets of the HTML part into its style attributes. If that takes
// too much, the HTML part stays as it is: it is readable in most email clients anyway.
func (m *Message) inlineCSS(ctx context.Context) error {
	budget := meter.New(ctx, inlineSteps, inlineBytes)
	text, err := inlinecss.Document(&budget, m.HTML)
	switch {
	case errors.Is(err, meter.ErrLimit), errors.Is(err, inlinecss.ErrTooLarge):
		return nil
	case err != nil:
		return fmt.Errorf("copying the style sheets of a message: %w", err)
	}
	m.HTML = text
	return nil
}

func (l *Layout) render(ctx context.Context, f *field, event *Event, values *python.Dict, language string, content python.Value) (string, error) {
	withContent, err := with(values, v1alpha1.LayoutContentVariable, content)
	if err != nil {
		return "", err
	}
	text, err := f.renderIn(ctx, event, withContent, language)
	if err != nil {
		return "", &layoutError{name: l.name, err: err}
	}
	return text, nil
}

// layoutError is an error of a layout's template.
type layoutError struct {
	name string
	err  error
}

func (e *layoutError) Error() string { return "NotificationLayout " + e.name + ", " + e.err.Error() }
func (e *layoutError) Unwrap() error { return e.err }

// with returns the values with an additional one.
func with(values *python.Dict, name string, value python.Value) (*python.Dict, error) {
	more := python.NewDict(values.Len() + 1)
	for i := range values.Len() {
		key, value := values.At(i)
		if err := more.Set(key, value); err != nil {
			return nil, fmt.Errorf("adding %s to the event's data: %w", name, err)
		}
	}
	more.SetStr(name, value)
	return more, nil
}
