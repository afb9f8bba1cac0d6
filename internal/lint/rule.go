// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/htmlcheck"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/platformevent"
)

// MaxWarnings is how many warnings are returned for a rule.
const MaxWarnings = 20

// Rule returns the warnings about a rule, in the order of its fields. Fields that don't
// parse have none: [notify.Compile] reports what is wrong with them.
func Rule(rule *v1alpha1.NotificationRule) notify.Problems {
	l := &linter{name: rule.Spec.Event, event: platformevent.Lookup(rule.Spec.Event)}
	l.eventName()
	l.expression(rule.Spec.Expression)
	spec := &rule.Spec
	switch {
	case spec.Email != nil:
		l.template("spec.email.to", spec.Email.To)
		l.recipients("spec.email.to", spec.Email.To)
		l.template("spec.email.toUser", spec.Email.ToUser)
		l.template("spec.email.from", spec.Email.From)
		l.template("spec.email.subject", spec.Email.Subject)
		l.template("spec.email.text", spec.Email.Text)
		l.html("spec.email.html", spec.Email.HTML)
	case spec.SMS != nil:
		l.template("spec.sms.to", spec.SMS.To)
		l.template("spec.sms.toUser", spec.SMS.ToUser)
		l.template("spec.sms.message", spec.SMS.Message)
		if template := spec.SMS.WhatsApp; template != nil {
			l.contentVariables("spec.sms.whatsApp", template.ContentVariables)
		}
	case spec.Push != nil:
		l.template("spec.push.toUser", spec.Push.ToUser)
		l.template("spec.push.title", spec.Push.Title)
		l.template("spec.push.message", spec.Push.Message)
	case spec.System != nil:
		l.template("spec.system.toUser", spec.System.ToUser)
		l.template("spec.system.title", spec.System.Title)
		l.template("spec.system.message", spec.System.Message)
	}
	for i := range spec.Translations {
		l.translation(spec, &spec.Translations[i])
	}
	if spec.Throttle != nil && spec.Throttle.Digest != nil {
		l.digest(spec.Throttle.Digest)
	}
	return l.warnings
}

// digest warns about probable mistakes in the texts of a digest, and about texts that one
// language lacks.
func (l *linter) digest(d *v1alpha1.Digest) {
	const path = "spec.throttle.digest"
	l.inDigest = true
	l.template(path+".subject", d.Subject)
	l.template(path+".text", d.Text)
	l.html(path+".html", d.HTML)
	for i := range d.Translations {
		t := &d.Translations[i]
		in := path + ".translations[" + t.Language + "]."
		for _, text := range []struct{ name, own, translated string }{
			{"subject", d.Subject, t.Subject}, {"text", d.Text, t.Text}, {"html", d.HTML, t.HTML},
		} {
			if text.own != "" && text.translated == "" {
				l.warn(in+text.name, 0, 0, "is missing: users get the digest's own")
			}
			l.template(in+text.name, text.translated)
		}
		l.email(in+"html", t.HTML)
	}
}

// digestMember warns about a member that digest doesn't have.
func (l *linter) digestMember(field string, use *django.Use) {
	switch _, member, _ := strings.Cut(use.Path, "."); {
	case member == "", member == "count", member == "omitted", member == "items", strings.HasPrefix(member, "items."):
	default:
		l.warn(field, use.Line, use.Column, "{{ %s }} does not exist: digest has items, count and omitted", use.Path)
	}
}

// translation warns about texts that one language lacks, and about probable mistakes in the
// others.
func (l *linter) translation(spec *v1alpha1.NotificationRuleSpec, t *v1alpha1.RuleTranslation) {
	path := "spec.translations[" + t.Language + "]." + string(spec.Channel())
	text := func(name, own, translated string) {
		if own != "" && translated == "" {
			l.warn(path+"."+name, 0, 0, "is missing: users get the rule's own")
		}
		l.template(path+"."+name, translated)
	}
	switch {
	case spec.Email != nil:
		in := valueOf(t.Email)
		text("subject", spec.Email.Subject, in.Subject)
		text("text", spec.Email.Text, in.Text)
		text("html", spec.Email.HTML, in.HTML)
		l.email(path+".html", in.HTML)
	case spec.SMS != nil:
		in := valueOf(t.SMS)
		text("message", spec.SMS.Message, in.Message)
		l.whatsAppTranslation(path+".whatsApp", spec.SMS.WhatsApp, in.WhatsApp)
	case spec.Push != nil:
		in := valueOf(t.Push)
		text("title", spec.Push.Title, in.Title)
		text("message", spec.Push.Message, in.Message)
	case spec.System != nil:
		in := valueOf(t.System)
		text("title", spec.System.Title, in.Title)
		text("message", spec.System.Message, in.Message)
	}
}

// whatsAppTranslation warns about what a rule sends through WhatsApp in another language.
func (l *linter) whatsAppTranslation(path string, own *v1alpha1.WhatsAppTemplate, translated *v1alpha1.WhatsAppTranslation) {
	in := valueOf(translated)
	switch {
	case own == nil && translated != nil:
		l.warn(path, 0, 0, "is not used: the rule doesn't send through WhatsApp")
		return
	case own != nil && in.ContentSID == "":
		l.warn(path+".contentSid", 0, 0, "is missing: users get the rule's own")
	}
	l.contentVariables(path, in.ContentVariables)
}

// contentVariables warns about probable mistakes in the values of a content template.
func (l *linter) contentVariables(path string, values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		l.template(path+".contentVariables."+name, values[name])
	}
}

// valueOf is what p points to, or nothing.
func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// InLayout returns the warnings about a rule in its layout.
func InLayout(rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout) notify.Problems {
	if len(layout.Spec.Translations) == 0 {
		return nil // its texts may fit every language
	}
	l := &linter{}
	for i := range rule.Spec.Translations {
		language := rule.Spec.Translations[i].Language
		if !notify.HasLanguage(layout, language) {
			l.warn("spec.translations["+language+"]", 0, 0, "the NotificationLayout %s has no translation for it: messages are wrapped in its own texts", layout.Name)
		}
	}
	return l.warnings
}

// Layout returns the warnings about a layout, in the order of its fields.
func Layout(layout *v1alpha1.NotificationLayout) notify.Problems {
	l := &linter{}
	spec := &layout.Spec
	l.html("spec.html", spec.HTML)
	l.template("spec.text", spec.Text)
	for i := range spec.Translations {
		path := "spec.translations[" + spec.Translations[i].Language + "]."
		l.html(path+"html", spec.Translations[i].HTML)
		l.template(path+"text", spec.Translations[i].Text)
	}
	return l.warnings
}

// Email returns the warnings about the HTML of a rendered message.
func Email(field, html string) notify.Problems {
	l := &linter{}
	l.findings(field, htmlcheck.Message(html))
	return l.warnings
}

type linter struct {
	name     string
	event    *platformevent.Event // nil if the catalogue doesn't have it
	inDigest bool                 // whether the variable digest exists
	warnings notify.Problems
}

// warn adds a warning, once for each field and message.
func (l *linter) warn(field string, line, column int, format string, args ...any) {
	if message := fmt.Sprintf(format, args...); l.isNew(field, message) {
		l.warnings = append(l.warnings, notify.Problem{Field: field, Line: line, Column: column, Message: message})
	}
}

// warnAt is warn for an offset in a template. Its line is counted only for a new warning, because
// a template can repeat a mistake thousands of times.
func (l *linter) warnAt(field, source string, offset int, format string, args ...any) {
	if message := fmt.Sprintf(format, args...); l.isNew(field, message) {
		line, column := position(source, offset)
		l.warnings = append(l.warnings, notify.Problem{Field: field, Line: line, Column: column, Message: message})
	}
}

func (l *linter) isNew(field, message string) bool {
	return len(l.warnings) < MaxWarnings && !slices.ContainsFunc(l.warnings, func(other notify.Problem) bool {
		return other.Field == field && other.Message == message
	})
}

// eventName warns about an event for which no webhook is sent.
func (l *linter) eventName() {
	switch {
	case l.name == "":
	case l.event == nil:
		if nearest := platformevent.Nearest(l.name); nearest != "" {
			l.warn("spec.event", 0, 0, "no event %s is known: did you mean %s?", l.name, nearest)
		}
	case l.event.Alias == l.name:
		l.warn("spec.event", 0, 0, "the platform calls this event %s", l.event.Name)
	case l.event.Extension != "":
		l.warn("spec.event", 0, 0, "%s is an event of Rehive's %s extension: the platform itself sends no webhook for it", l.name, l.event.Extension)
	}
}

func (l *linter) template(field, source string) {
	if source == "" {
		return
	}
	template, err := django.Parse(field, source, django.Options{})
	if err != nil {
		return
	}
	for _, r := range template.Remarks() {
		l.warn(field, r.Line, r.Column, "%s", r.Message)
	}
	l.uses(field, template.Uses())
	l.dateFormats(field, source)
	// The texts in these tags are printed as they are, or not at all.
	if !strings.Contains(source, "{% verbatim") && !strings.Contains(source, "{% comment") {
		l.unclosed(field, source)
		l.foreignTags(field, source)
	}
}

// html checks a template that prints HTML.
func (l *linter) html(field, source string) {
	l.template(field, source)
	l.email(field, source)
}

// email warns about HTML that email clients don't show as written.
func (l *linter) email(field, source string) {
	if source != "" {
		l.findings(field, htmlcheck.Template(source))
	}
}

func (l *linter) findings(field string, all []htmlcheck.Finding) {
	for _, f := range all {
		l.warn(field, f.Line, f.Column, "%s", f.Message)
	}
}

func (l *linter) expression(source string) {
	const field = "spec.expression"
	compiled, err := expression.Compile(field, source, expression.Options{})
	if err != nil {
		return
	}
	l.printed(field, source)
	in := compiled.Inspect()
	for _, r := range in.Remarks {
		l.warn(field, r.Line, r.Column, "%s", r.Message)
	}
	l.uses(field, in.Uses)
	l.dateFormats(field, source)
	for i := range in.Comparisons {
		l.comparison(&in.Comparisons[i])
	}
	l.subtypes(in.Comparisons)
	for i := range in.Conditions {
		l.condition(&in.Conditions[i])
	}
	for i := range in.Attributes {
		l.attribute(&in.Attributes[i])
	}
}

var (
	tags = regexp.MustCompile(`(?s)\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}`)
	// foreignValues are what other languages have for Python's values.
	foreignValues = map[string]string{"true": "True", "TRUE": "True", "yes": "True", "false": "False", "FALSE": "False", "no": "False", "null": "None", "NULL": "None"}
)

// foreignVariables are what other template languages have instead of Python's values and
// Django's variables.
var foreignVariables = map[string]string{
	"true": "write True", "TRUE": "write True", "false": "write False", "FALSE": "write False",
	"null": "write None", "NULL": "write None", "none": "write None", "nil": "write None", "undefined": "write None",
	"empty": "write {% if not name %}", "blank": "write {% if not name %}", "defined": "write {% if name %}",
	"loop.index": "write forloop.counter", "loop.index0": "write forloop.counter0", "loop.first": "write forloop.first", "loop.last": "write forloop.last",
	"else": "write {% else %}", "end": "write {% endif %} or {% endfor %}",
}

// printed warns about the values of other languages that the branches of an {% if %} print,
// such as {% if a %}true{% else %}false{% endif %}.
func (l *linter) printed(field, source string) {
	if !strings.Contains(source, "{%") {
		return
	}
	for at, text := range outside(tags, source) {
		if word := strings.TrimSpace(text); foreignValues[word] != "" {
			l.warnAt(field, source, at+strings.Index(text, word), "write %s ('%s' is not Python)", foreignValues[word], word)
		}
	}
}

// outside yields the texts around the matches of an expression, with their offsets.
func outside(expression *regexp.Regexp, source string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		last := 0
		for _, match := range expression.FindAllStringIndex(source, -1) {
			if !yield(last, source[last:match[0]]) {
				return
			}
			last = match[1]
		}
		yield(last, source[last:])
	}
}

// lineTags matches the tags that Django sees, which end on the line on which they begin.
var lineTags = regexp.MustCompile(`\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}`)

// unclosed warns about the beginning of a tag without its end, which Django prints as text.
func (l *linter) unclosed(field, source string) {
	for start, text := range outside(lineTags, source) {
		for _, tag := range [][2]string{{"{{", "}}"}, {"{%", "%}"}} {
			if at := strings.Index(text, tag[0]); at >= 0 {
				l.warnAt(field, source, start+at, "%s is printed as text: a tag ends with %s on the same line", tag[0], tag[1])
				return
			}
		}
	}
}

// foreignTag matches how other languages print a variable: {name}, ${name}, [[name]] or <%= name %>.
var foreignTag = regexp.MustCompile(`\$?\{[ \t]*([A-Za-z_][\w.]*)[ \t]*\}|\[\[[ \t]*([A-Za-z_][\w.]*)[ \t]*\]\]|<%=[ \t]*([A-Za-z_][\w.]*)[ \t]*%>`)

// foreignTags warns about variables that are written as in other languages, which Django prints as
// text. Other words in braces are probably meant as text.
func (l *linter) foreignTags(field, source string) {
	for start, text := range outside(lineTags, source) {
		for _, at := range foreignTag.FindAllStringSubmatchIndex(text, MaxWarnings) {
			var path string
			for i := 2; i < len(at) && path == ""; i += 2 {
				if at[i] >= 0 {
					path = text[at[i]:at[i+1]]
				}
			}
			// {{ status } is an unclosed tag.
			braced := at[0] > 0 && text[at[0]-1] == '{' || at[1] < len(text) && text[at[1]] == '}'
			if !braced && l.isField(path) {
				l.warnAt(field, source, start+at[0], "%s is printed as text: write {{ %s }}", text[at[0]:at[1]], path)
			}
		}
	}
}

// isField reports whether a path is one that the rule's texts can print.
func (l *linter) isField(path string) bool {
	if l.event != nil && l.event.Source != platformevent.Assumed {
		if found, _ := l.event.Find(path); found != nil {
			return true
		}
	}
	found, _ := platformevent.Variables().Find(path)
	return found != nil || l.inDigest && (path == "digest.count" || path == "digest.omitted")
}

// position returns the line and column of an offset.
func position(source string, offset int) (line, column int) {
	before := source[:offset]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

var (
	dateFormat = regexp.MustCompile(`\{\{[^{}]*\|\s*(?:date|time):("[^"]*"|'[^']*')`)
	// foreignFormat is what formats of dates of other languages contain: YYYY-MM-DD, HH:mm or %Y.
	foreignFormat = regexp.MustCompile(`%[A-Za-z]|YY|yy|MM|mm|DD|dd|HH|hh|ss|SS`)
	monthOfHour   = regexp.MustCompile(`[HhGg]:m`)
)

// dateFormats warns about formats of dates that are another language's, which Django prints
// as something else.
func (l *linter) dateFormats(field, source string) {
	for _, at := range dateFormat.FindAllStringSubmatchIndex(source, MaxWarnings) {
		switch format := source[at[2]:at[3]]; {
		case foreignFormat.MatchString(format):
			l.warnAt(field, source, at[0], "formats of dates have single letters in Django: write \"Y-m-d H:i\" for year, month, day, hour and minute")
		case monthOfHour.MatchString(format):
			l.warnAt(field, source, at[0], "m is the month in a format of dates: write i for the minute")
		}
	}
}

// uses warns about variables that the event doesn't have, and about date filters on times in
// milliseconds.
func (l *linter) uses(field string, uses []django.Use) {
	isKnown := l.event != nil && l.event.Source != platformevent.Assumed
	// Suggestions take time, so each path is checked once.
	seen := make(map[string]bool)
	for _, use := range uses {
		first, _, _ := strings.Cut(use.Path, ".")
		key := use.Path + "|" + use.Filter
		if seen[key] {
			continue
		}
		if seen[key] = true; len(l.warnings) == MaxWarnings {
			return
		}
		if l.inDigest && first == "digest" {
			l.digestMember(field, &use)
			continue
		}
		if _, isVariable := platformevent.Variables().Find(first); isVariable {
			l.variable(field, &use)
			continue
		}
		if !isKnown {
			continue
		}
		if hint := foreignVariables[use.Path]; hint != "" {
			if _, known := l.event.Find(use.Path); !known {
				l.warn(field, use.Line, use.Column, "%s ('%s' is not Django)", hint, use.Path)
				continue
			}
		}
		found, known := l.event.Find(use.Path)
		switch {
		case !known:
			l.warn(field, use.Line, use.Column, "%s", l.unknown(use.Path))
		case found != nil && found.Kind == platformevent.Time && isDateFilter(use.Filter):
			l.warn(field, use.Line, use.Column, "{{ %[1]s }} counts milliseconds: write {{ %[1]s|timestamp|%[2]s }}", use.Path, use.Filter)
		}
	}
}

// variable warns about a member that context or computed doesn't have.
func (l *linter) variable(field string, use *django.Use) {
	variables := platformevent.Variables()
	if _, known := variables.Find(use.Path); known {
		return
	}
	message := fmt.Sprintf("{{ %s }} does not exist, and prints nothing", use.Path)
	if suggestion := variables.Suggest(use.Path); suggestion != "" {
		message = fmt.Sprintf("{{ %s }} does not exist: did you mean {{ %s }}?", use.Path, suggestion)
	}
	l.warn(field, use.Line, use.Column, "%s", message)
}

func isDateFilter(name string) bool {
	switch name {
	case "date", "time", "timesince", "timeuntil", "naturaltime", "naturalday":
		return true
	}
	return false
}

// unknown says that the event doesn't have a field, and which was probably meant.
func (l *linter) unknown(path string) string {
	message := fmt.Sprintf("{{ %s }} is not among the known fields of %s", path, l.event.Name)
	suggestion := l.event.Suggest(path)
	whole, last := path, ""
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		whole, last = path[:i], path[i+1:]
	}
	switch list, _ := l.event.Find(whole); {
	case list != nil && list.Kind == platformevent.List && (last == "length" || last == "size"):
		return fmt.Sprintf("%s is a list without '%s': write {{ %[1]s|length }}", whole, last)
	case suggestion == "" && !strings.Contains(path, "."):
		return message + ", and prints nothing: a text needs no braces"
	case suggestion == "":
		return message + ", and prints nothing"
	case l.event.User == "." && strings.HasPrefix(path, "user."):
		return fmt.Sprintf("%s: write {{ %s }}, because the data is the user itself", message, suggestion)
	}
	return fmt.Sprintf("%s: did you mean {{ %s }}?", message, suggestion)
}
