// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// Expression is value|filter:arg|filter. It is immutable.
type Expression struct {
	text    string
	base    operand
	filters []filterCall
}

// filterCall is a filter with its argument.
type filterCall struct {
	filter *Filter
	arg    operand
	hasArg bool
}

// lazyText is _("…") for the filters to which it isn't a text. One that returns it leaves it
// lazy.
type lazyText struct{ text python.Value }

// TypeName implements python.Value.
func (lazyText) TypeName() string { return "__proxy__" }

// Str returns str(t).
func (t lazyText) Str() string { return python.StrOf(t.text) }

// unwrap returns the text of a lazy translation, or any other value.
func unwrap(v python.Value) python.Value {
	if lazy, ok := v.(lazyText); ok {
		return lazy.text
	}
	return v
}

// parseExpression parses Django's FilterExpression.
func (p *Parser) parseExpression(text string) (*Expression, error) {
	e := p.expressions.next()
	e.text = text
	pos := operandEnd(text, 0)
	if pos == 0 {
		start, _, _, end := nextFilter(text, 0)
		switch {
		case end < 0:
			return nil, remainder(text, 0)
		case start > 0:
			return nil, skipped(text, 0, start)
		}
		return nil, syntaxErrorf("Could not find variable at start of %s.", text)
	}
	var err error
	if e.base, err = p.parseOperand(text[:pos]); err != nil {
		return nil, err
	}
	if pos < len(text) {
		e.filters = make([]filterCall, 0, min(strings.Count(text[pos:], "|"), 8))
	}
	for pos < len(text) {
		start, name, arg, end := nextFilter(text, pos)
		if end < 0 {
			return nil, remainder(text, pos)
		}
		if start != pos {
			return nil, skipped(text, pos, start)
		}
		call := filterCall{hasArg: arg != ""}
		if call.hasArg {
			if call.arg, err = p.parseOperand(arg); err != nil {
				return nil, err
			}
		}
		if call.filter = p.filter(name); call.filter == nil {
			if hint := filterHint(name); hint != "" {
				return nil, syntaxErrorf("Invalid filter: '%s'; %s", name, hint)
			}
			return nil, syntaxErrorf("Invalid filter: '%s'", name)
		}
		if err := call.checkArg(); err != nil {
			return nil, err
		}
		e.filters = append(e.filters, call)
		pos = end
	}
	if p.compiler.words += len(e.filters); p.compiler.words > MaxWords {
		return nil, limitErrorf("the template has more than %d words", MaxWords)
	}
	return e, nil
}

func remainder(text string, pos int) error {
	if hint := remainderHint(text, text[pos:]); hint != "" {
		return syntaxErrorf("Could not parse the remainder: '%s' from '%s'; %s", text[pos:], text, hint)
	}
	return syntaxErrorf("Could not parse the remainder: '%s' from '%s'", text[pos:], text)
}

func skipped(text string, pos, start int) error {
	return syntaxErrorf("Could not parse some characters: %s|%s|%s", text[:pos], text[pos:start], text[start:])
}

// operandEnd returns the end of the literal, number or path that starts at i, or i if none
// starts there.
func operandEnd(s string, i int) int {
	if i >= len(s) {
		return i
	}
	switch c := s[i]; {
	case c == '"' || c == '\'':
		if end := quoteEnd(s, i); end > 0 {
			return end
		}
		return i
	case c == '_' && i+2 < len(s) && s[i+1] == '(' && (s[i+2] == '"' || s[i+2] == '\''):
		if end := quoteEnd(s, i+2); end > 0 && end < len(s) && s[end] == ')' {
			return end + 1
		}
	}
	if end := wordEnd(s, i, true); end > i {
		return end
	}
	j := i
	if s[j] == '-' || s[j] == '+' {
		j++
	}
	if j >= len(s) || s[j] < '0' || s[j] > '9' {
		return i
	}
	for j < len(s) && ('0' <= s[j] && s[j] <= '9' || s[j] == '.' || s[j] == 'e') {
		j++
	}
	return j
}

// wordEnd returns the end of a run of letters, digits and underscores, and points if
// dots is set.
func wordEnd(s string, i int, dots bool) int {
	for i < len(s) {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' && dots {
				i++
				continue
			}
			return i
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return i
		}
		i += n
	}
	return i
}

// nextFilter finds the first |name or |name:arg from pos on. start lies before
// the white space in front of it; end is -1 if there is none.
func nextFilter(s string, pos int) (start int, name, arg string, end int) {
	for i := pos; i < len(s); i++ {
		if s[i] != '|' {
			continue
		}
		from := i + 1
		for from < len(s) {
			n := spaceAt(s, from)
			if n == 0 {
				break
			}
			from += n
		}
		end = wordEnd(s, from, false)
		if end == from {
			continue
		}
		start = pos + len(strings.TrimRightFunc(s[pos:i], python.IsSpace))
		name = s[from:end]
		if end < len(s) && s[end] == ':' {
			if argEnd := operandEnd(s, end+1); argEnd > end+1 {
				return start, name, s[end+1 : argEnd], argEnd
			}
		}
		return start, name, "", end
	}
	return 0, "", "", -1
}

// checkArg counts the arguments as Django does: the filter's input is one, and
// one that takes autoescape has room for one too many, which then fails when
// it is called.
func (f *filterCall) checkArg() error {
	switch {
	case !f.hasArg && f.filter.Arg == RequiredArg:
		return syntaxErrorf("the filter %s needs an argument, as in value|%s:argument, without a space after the colon", f.filter.Name, f.filter.Name)
	case f.hasArg && f.filter.Arg == NoArg && !f.filter.NeedsAutoescape:
		return syntaxErrorf("the filter %s takes no argument", f.filter.Name)
	}
	return nil
}

// Resolve returns the expression's value. If its variable does not exist that is None,
// which filters then see, too (Django's ignore_failures); without filters ok is false.
// author is true if the value contains no data.
func (e *Expression) Resolve(c *Context) (v python.Value, author, ok bool, err error) {
	return e.resolve(c, python.None, len(e.filters))
}

// Value returns the expression's value with "" for a missing variable, which is
// Django's string_if_invalid.
func (e *Expression) Value(c *Context) (python.Value, error) {
	v, _, _, err := e.resolve(c, emptyText, len(e.filters))
	return v, err
}

var emptyText python.Value = python.Str("")

// resolve substitutes absent for a missing variable and applies the first filters of the
// expression.
func (e *Expression) resolve(c *Context, absent python.Value, filters int) (v python.Value, author, ok bool, err error) {
	v, author, ok, err = e.base.resolve(c)
	if err != nil {
		return nil, false, false, err
	}
	if !ok {
		v = absent
	}
	lazy := e.base.lazy
	for i := range filters {
		f := &e.filters[i]
		if v, author, lazy, err = f.apply(c, v, author, lazy); err != nil {
			return nil, false, false, err
		}
		ok = true
	}
	return v, author, ok, nil
}

// apply calls the filter with what Django's decorators add. lazy is true for a lazy
// translation, and again if the filter returns one.
func (f *filterCall) apply(c *Context, in python.Value, author, lazy bool) (python.Value, bool, bool, error) {
	var arg python.Value
	argAuthor := true
	if f.hasArg {
		var ok bool
		var err error
		if arg, argAuthor, ok, err = f.arg.resolve(c); err != nil {
			return nil, false, false, err
		}
		if !ok {
			return nil, false, false, python.Errorf(variableDoesNotExist, "the variable %s, an argument of the filter %s, does not exist",
				f.arg.variable.path, f.filter.Name)
		}
	}
	def := f.filter
	if def.Arg == NoArg && f.hasArg {
		return nil, false, false, python.Errorf("TypeError", "the filter %s takes no argument", def.Name)
	}
	if f.arg.lazy && def.Strict&StrictArg != 0 {
		arg = lazyText{arg}
	}
	if def.ExpectsLocaltime {
		in = c.localTime(in)
	}
	input := in
	if lazy && def.Strict&StrictInput != 0 {
		input = lazyText{in}
	}
	if def.String {
		switch in.(type) {
		case python.Str, python.SafeStr:
		default:
			s, err := c.print(in, copyNanos)
			if err != nil {
				return nil, false, false, err
			}
			input = python.Str(s)
		}
	}
	if err := def.spend(c, input, arg); err != nil {
		return nil, false, false, err
	}
	out, err := def.Func(c, input, arg)
	if err != nil {
		return nil, false, false, err
	}
	wasLazy := lazy
	if _, lazy = out.(lazyText); lazy {
		out = unwrap(out)
	}
	if err := def.made(c, out); err != nil {
		return nil, false, false, err
	}
	if def.IsSafe && (!wasLazy || def.String) {
		if _, safe := input.(python.SafeStr); safe {
			if s, isStr := out.(python.Str); isStr {
				out = python.SafeStr(s)
			} else if _, already := out.(python.SafeStr); !already {
				printed, err := c.print(out, copyNanos)
				if err != nil {
					return nil, false, false, err
				}
				out = python.SafeStr(printed)
			}
		}
	}
	switch {
	case !c.marking:
	case def.Choice:
		if python.Is(out, in) {
			argAuthor = author
		}
		author = argAuthor
	default:
		author = author && argAuthor
	}
	return out, author, lazy, nil
}

// renderMarked separates the author's text from data in the cases in which one expression
// prints both. done is false for other expressions.
func (e *Expression) renderMarked(c *Context) (done bool, err error) {
	v := e.base.variable
	if len(e.filters) == 0 {
		if v != nil && v.first == "block" && len(v.rest) == 1 && v.rest[0].name == "super" {
			if b, _, ok := c.get("block"); ok {
				if b, ok := b.(*blockValue); ok {
					length, marks := len(c.buf), len(c.marks)
					err := b.renderSuper(c)
					if isMissing(err) { // as if block.super did not exist
						c.buf, c.marks, err = c.buf[:length], c.marks[:min(marks, len(c.marks))], nil
					}
					return true, err
				}
			}
		}
		return false, nil
	}
	// {{ names|join:"', '" }}: the items are data, the separator is not.
	last := &e.filters[len(e.filters)-1]
	if last.filter.Name != "join" || !last.hasArg {
		return false, nil
	}
	list, listAuthor, ok, err := e.resolve(c, emptyText, len(e.filters)-1)
	if err != nil || !ok || listAuthor {
		return false, err
	}
	sep, sepAuthor, ok, err := last.arg.resolve(c)
	if err != nil || !ok || !sepAuthor {
		return false, err
	}
	joined, _, _, err := last.apply(c, list, false, false)
	if err != nil {
		return false, err
	}
	flat, isText := python.AsStr(joined)
	if err := c.Step(len(flat) >> 6); err != nil {
		return false, err
	}
	items, err := python.Items(&c.meter, list)
	if isFatalLimit(err) {
		return false, err
	}
	if err != nil || !isText {
		return false, nil //nolint:nilerr // printed as one piece
	}
	toText := func(v python.Value) string {
		if c.autoescape {
			return string(ConditionalEscape(v))
		}
		return python.StrOf(v)
	}
	if err := c.Step(2 * len(items)); err != nil {
		return false, err
	}
	separator := toText(sep)
	pieces := make([]string, len(items))
	for i, it := range items {
		pieces[i] = toText(it)
	}
	if _, safe := joined.(python.SafeStr); !safe || strings.Join(pieces, separator) != flat {
		return false, nil
	}
	for i, p := range pieces {
		if i > 0 {
			if err := c.WriteText(separator); err != nil {
				return true, err
			}
		}
		if err := c.WriteData(p); err != nil {
			return true, err
		}
	}
	return true, nil
}

// Literal returns the expression's value if it is a single literal without filters.
func (e *Expression) Literal() (python.Value, bool) {
	return e.base.literal, e.base.variable == nil && len(e.filters) == 0
}

// String returns the expression as the template has it.
func (e *Expression) String() string { return e.text }

// isMissing reports whether err means that a variable does not exist.
func isMissing(err error) bool {
	var e *python.Error
	return errors.As(err, &e) && e.Type == variableDoesNotExist
}
