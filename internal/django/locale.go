// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// localeData describes how each of Django's languages formats dates, numbers and durations,
// with one JSON object per line. It was recorded by hack/conformance/ask_locales.py.
// Django's license is in locales.LICENSE.
//
//go:embed locales.jsonl
var localeData string

// locale describes how a language formats dates, numbers and durations. A nil locale is
// English, Django's LANGUAGE_CODE; the methods support it.
type locale struct {
	formats   map[string]string // by name, where they differ from namedFormats
	decimal   string
	thousands string
	// grouping is the size of the groups of digits from the right; the last one repeats.
	// Nil means that digits are not grouped.
	grouping []int
	plurals  []pluralRule
	messages map[string]message
}

// message is a text of a filter or tag in a language, with one form or one for each plural
// form.
type message struct {
	text  string
	rule  int // index in locale.plurals
	forms []string
}

// UnmarshalJSON decodes a text, or a list of the index of a rule and its forms.
func (m *message) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		return json.Unmarshal(raw, &m.text)
	}
	list := []any{&m.rule}
	m.forms = make([]string, strings.Count(string(raw), `"`)/2)
	for i := range m.forms {
		list = append(list, &m.forms[i])
	}
	return json.Unmarshal(raw, &list)
}

// plainLocale is Django's settings without a language: for {% language None %} and for
// unknown languages. Its digits are not grouped.
var plainLocale = &locale{decimal: ".", thousands: ","}

// locales are the lines of localeData by the locale's name, read when first used.
var locales = sync.OnceValue(func() map[string]func() *locale {
	const before = `{"locale": "`
	out := map[string]func() *locale{}
	for line := range strings.Lines(localeData) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, before), `"`)
		out[name] = sync.OnceValue(func() *locale { return readLocale(line) })
	}
	return out
})

func readLocale(line string) *locale {
	var in struct {
		Formats  map[string]json.RawMessage
		Plurals  []string
		Messages map[string]message
	}
	if err := json.Unmarshal([]byte(line), &in); err != nil {
		panic(err) // a test reads each line
	}
	l := &locale{formats: map[string]string{}, decimal: ".", thousands: ",", messages: in.Messages}
	for name, raw := range in.Formats {
		if err := json.Unmarshal(raw, &l.grouping); err == nil {
			continue // a list
		}
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw) // a number
		}
		l.formats[name] = text
		switch name {
		case "DECIMAL_SEPARATOR":
			l.decimal = text
		case "THOUSAND_SEPARATOR":
			l.thousands = text
		case "NUMBER_GROUPING":
			if n, _ := strconv.Atoi(text); n > 0 {
				l.grouping = []int{n}
			}
		}
	}
	for _, rule := range in.Plurals {
		l.plurals = append(l.plurals, parsePluralRule(rule))
	}
	return l
}

// languageCode is Django's pattern of a language code that has formats.
var languageCode = regexp.MustCompile(`(?i)^[a-z]{1,8}(?:-[a-z0-9]{1,8})*$`)

// findLocale returns the locale of a language code, or of the language without its
// country. Unknown languages have Django's settings.
func findLocale(code string) *locale {
	if code == defaultLanguage {
		return nil
	}
	if len(code) > 64 || !languageCode.MatchString(code) {
		return plainLocale
	}
	language, country, _ := strings.Cut(strings.ToLower(code), "-")
	if country != "" {
		first, tail, more := strings.Cut(country, "-")
		if len(first) > 2 {
			first = strings.ToUpper(first[:1]) + first[1:]
		} else {
			first = strings.ToUpper(first)
		}
		if more {
			first += "-" + tail
		}
		if read := locales()[language+"_"+first]; read != nil {
			return read()
		}
	}
	if language == defaultLanguage {
		return nil
	}
	if read := locales()[language]; read != nil {
		return read()
	}
	return plainLocale
}

// setLanguage switches to a language; "" switches translation off.
func (c *Context) setLanguage(code string) {
	code = strings.ToLower(strings.Replace(code, "_", "-", 1))
	c.language, c.locale = code, findLocale(code)
}

// format returns the format with a name.
func (l *locale) format(name string) (string, bool) {
	if l != nil {
		if f, ok := l.formats[name]; ok {
			return f, true
		}
		if name == "NUMBER_GROUPING" {
			return "0", true // as in Django's settings; English has its own
		}
	}
	f, ok := namedFormats[name]
	return f, ok
}

// gettext returns a text in the language. A context may precede it, as in gettext's
// catalogs, separated by U+0004.
func (l *locale) gettext(text string) string {
	if l != nil {
		if m, ok := l.messages[text]; ok {
			return m.text
		}
	}
	_, after, ok := strings.Cut(text, "\x04")
	if ok {
		return after
	}
	return text
}

// translate is gettext for a message of a template. It ignores the context if the language
// has no message with it.
func (l *locale) translate(context, text string) string {
	if l == nil || len(text) > 64 || len(context) > 64 {
		return text
	}
	if m, ok := l.messages[context+text]; ok && m.forms == nil {
		return m.text
	}
	return text
}

// ngettext returns the text for a number of things, in the language or from the arguments.
// A context may precede the first.
func (l *locale) ngettext(one, many string, n int64) string {
	if l != nil {
		if m, ok := l.messages[one]; ok && len(m.forms) > 0 {
			return m.forms[min(max(l.plurals[m.rule](n), 0), len(m.forms)-1)]
		}
	}
	if _, after, ok := strings.Cut(one, "\x04"); ok {
		return l.ngettext(after, many, n)
	}
	if n != 1 {
		return many
	}
	return one
}

// number converts a number's text, with a decimal point and maybe an exponent, to the
// format of the language.
func (l *locale) number(s string, group bool) string {
	if l == nil && !group {
		return s
	}
	s, exponent, hasExponent := strings.Cut(s, "e")
	whole, fraction, hasFraction := strings.Cut(s, ".")
	if group {
		whole = l.group(whole)
	}
	if hasFraction {
		decimal := "."
		if l != nil {
			decimal = l.decimal
		}
		whole += decimal + fraction
	}
	if hasExponent {
		whole += "e" + exponent
	}
	return whole
}

// group groups the digits of an integer after its sign.
func (l *locale) group(s string) string {
	sizes, separator := englishGrouping[:], ","
	if l != nil {
		sizes, separator = l.grouping, l.thousands
	}
	if len(sizes) == 0 {
		return s
	}
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	var groups []string
	for i := 0; len(s) > sizes[i]; {
		cut := len(s) - sizes[i]
		groups = append(groups, s[cut:])
		s = s[:cut]
		if i+1 < len(sizes) && sizes[i+1] > 0 {
			i++
		}
	}
	var b strings.Builder
	b.WriteString(sign)
	b.WriteString(s)
	for i := len(groups) - 1; i >= 0; i-- {
		b.WriteString(separator)
		b.WriteString(groups[i])
	}
	return b.String()
}

var englishGrouping = [...]int{3}

// truncated returns the text that marks a truncation.
func (l *locale) truncated() (before, after string) {
	if l == nil {
		return "", ellipsis
	}
	before, after, _ = strings.Cut(l.gettext("String to return when truncating text\x04%(truncated_text)s"+ellipsis), "%(truncated_text)s")
	return before, after
}

// pluralRule gives the index of the plural form for a number.
type pluralRule func(n int64) int

// parsePluralRule compiles a rule of gettext's catalogs, a C expression over n. A rule that
// it can't parse always returns 0.
func parsePluralRule(text string) pluralRule {
	p := pluralParser{text: strings.ReplaceAll(text, " ", "")}
	return p.ternary()
}

// pluralParser is a parser by recursive descent; each method reads one level of precedence.
type pluralParser struct{ text string }

func (p *pluralParser) accept(operator string) (ok bool) {
	p.text, ok = strings.CutPrefix(p.text, operator)
	return ok
}

func (p *pluralParser) ternary() pluralRule {
	condition := p.binary(0)
	if !p.accept("?") {
		return condition
	}
	yes := p.ternary()
	p.accept(":")
	no := p.ternary()
	return func(n int64) int {
		if condition(n) != 0 {
			return yes(n)
		}
		return no(n)
	}
}

// pluralOperators are the binary operators by precedence, the longer ones first.
var pluralOperators = [...][]string{{"||"}, {"&&"}, {"==", "!="}, {"<=", ">=", "<", ">"}, {"+", "-"}, {"%", "*"}}

func (p *pluralParser) binary(level int) pluralRule {
	if level == len(pluralOperators) {
		return p.operand()
	}
	left := p.binary(level + 1)
	for {
		found := ""
		for _, operator := range pluralOperators[level] {
			if p.accept(operator) {
				found = operator
				break
			}
		}
		if found == "" {
			return left
		}
		a, b := left, p.binary(level+1)
		left = func(n int64) int { return pluralOperation(found, a(n), b(n)) }
	}
}

func (p *pluralParser) operand() pluralRule {
	switch {
	case p.accept("("):
		inner := p.ternary()
		p.accept(")")
		return inner
	case p.accept("!"):
		inner := p.operand()
		return func(n int64) int { return pluralOperation("==", inner(n), 0) }
	case p.accept("n"):
		return func(n int64) int { return int(n) }
	}
	end := 0
	for end < len(p.text) && p.text[end] >= '0' && p.text[end] <= '9' {
		end++
	}
	number, _ := strconv.Atoi(p.text[:end])
	p.text = p.text[end:]
	return func(int64) int { return number }
}

func pluralOperation(operator string, a, b int) int {
	truth := false
	switch operator {
	case "||":
		truth = a != 0 || b != 0
	case "&&":
		truth = a != 0 && b != 0
	case "==":
		truth = a == b
	case "!=":
		truth = a != b
	case "<=":
		truth = a <= b
	case ">=":
		truth = a >= b
	case "<":
		truth = a < b
	case ">":
		truth = a > b
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "%":
		if b == 0 {
			return 0
		}
		return a % b
	}
	if truth {
		return 1
	}
	return 0
}
