// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/internal/python"
	"github.com/rehive/extension-operator/internal/spelling"
)

// field returns what is known of the variable of a side; nil if nothing is.
func (l *linter) field(s *expression.Side) *platformevent.Field {
	if s.Filtered {
		return nil
	}
	return l.variableOf(s)
}

// variableOf returns what is known of the variable of a side before its filters; nil if nothing
// is.
func (l *linter) variableOf(s *expression.Side) *platformevent.Field {
	if l.event == nil || s.Path == "" {
		return nil
	}
	found, _ := l.event.Find(s.Path)
	return found
}

func (l *linter) at(s *expression.Side, format string, args ...any) {
	l.warn("spec.expression", s.Line, s.Column, format, args...)
}

// comparison warns of a comparison that has the same result for every event.
func (l *linter) comparison(c *expression.StaticComparison) {
	for _, pair := range [][2]*expression.Side{{&c.Left, &c.Right}, {&c.Right, &c.Left}} {
		side, other := pair[0], pair[1]
		if side.Path == "" {
			continue
		}
		if other.Literal == nil {
			l.unquoted(side)
			continue
		}
		if list, is := other.Literal.(*python.List); is {
			if write, is := map[string]string{"==": "in", "!=": "not in"}[c.Operator]; is {
				if l.neverList(side) {
					l.at(other, "%s never equals a list: write '%s' instead of %s", side.Path, write, c.Operator)
				}
				continue
			}
			for _, item := range list.Items {
				l.pair(c.Operator, side, other, item)
			}
			continue
		}
		l.pair(c.Operator, side, other, other.Literal)
	}
}

// neverList reports whether a variable never has a list as its value.
func (l *linter) neverList(side *expression.Side) bool {
	field := l.field(side)
	return side.Quoted || field != nil && field.Kind != platformevent.List && field.Kind != platformevent.Free
}

// pair warns of a variable that is compared with a value of another type, or with one
// that it never has.
func (l *linter) pair(operator string, side, other *expression.Side, literal python.Value) {
	field := l.field(side)
	without := "leave out the quotes"
	if !side.Filtered {
		without = "write {{ " + side.Path + " }} without quotes"
	}
	switch value := literal.(type) {
	case python.Bool:
		if side.Quoted {
			l.at(side, "%s in quotes is text, and never equal to %s: %s", side.Path, python.Repr(value), without)
		}
	case python.NoneType:
		switch {
		case side.Quoted:
			l.at(side, "%s in quotes is text, and never None: a null prints as text, so write 'None' in quotes", side.Path)
		case field != nil && field.Kind == platformevent.Text:
			l.at(side, "%[1]s is text, which needs quotes: compare '{{ %[1]s }}' with 'None'", side.Path)
		}
	case python.Int, python.Float, *python.Big:
		if side.Quoted {
			l.at(side, "%s in quotes is text, and is compared with a number: %s", side.Path, without)
		}
	case python.Str:
		if side.Quoted {
			if value == "null" || value == "undefined" {
				l.at(other, "a null prints as 'None', and a missing field as ''")
				return
			}
			if field != nil {
				l.value(operator, side, other, field, string(value))
			}
			return
		}
		switch {
		case side.Filtered && !side.IsText:
		case field == nil || field.Kind == platformevent.Text || field.Kind == platformevent.Free:
			l.quotes(side)
		default:
			l.otherKind(side, other, field, string(value))
		}
	}
}

// otherKind warns of a variable of another kind that is compared with a text.
func (l *linter) otherKind(side, other *expression.Side, field *platformevent.Field, text string) {
	number := func() bool { _, err := strconv.ParseFloat(text, 64); return err == nil }
	member := memberOf(side.Path, field)
	switch kind := article(field.Kind); {
	case member != "":
		l.at(side, "%s is %s, and never equal to a text: compare a member, such as '{{ %s }}'", side.Path, kind, member)
	case field.Kind == platformevent.Time && !number():
		l.at(side, `%[1]s counts milliseconds: compare '{{ %[1]s|timestamp|date:"Y-m-d" }}' with a day such as '2026-12-31'`, side.Path)
	case field.Kind.IsNumber() && !number():
		l.at(other, "%s is a number, and never %s", side.Path, python.Repr(python.Str(text)))
	default:
		l.at(side, "%s is %s, and never equal to a text: write the value without quotes", side.Path, kind)
	}
}

// attribute warns of what texts and lists don't have, and of attributes of texts without quotes.
func (l *linter) attribute(a *expression.StaticAttribute) {
	field := l.variableOf(&a.Side)
	if field == nil || a.Side.Filtered && !a.Side.IsText {
		return
	}
	switch field.Kind {
	case platformevent.Text:
		l.quotes(&a.Side)
	case platformevent.List:
		switch a.Name {
		case "length", "size", "len", "count":
			l.at(&a.Side, "lists have no '%s' in Python: write {{ %s|length }}", a.Name, a.Side.Path)
		case "includes", "contains", "has", "some":
			l.at(&a.Side, "lists have no '%s' in Python: write 'value' in {{ %s }}", a.Name, a.Side.Path)
		}
	case platformevent.Integer, platformevent.Amount, platformevent.Boolean, platformevent.Time, platformevent.Object, platformevent.Free:
	}
}

// article is a kind with an article.
func article(k platformevent.Kind) string {
	switch k {
	case platformevent.Boolean:
		return "true or false"
	case platformevent.Amount, platformevent.Integer, platformevent.Time:
		return "a number"
	case platformevent.Object:
		return "an object"
	case platformevent.Text, platformevent.List, platformevent.Free:
	}
	return "a " + string(k)
}

func (l *linter) quotes(side *expression.Side) {
	l.at(side, "%[1]s is text, which needs quotes: write '{{ %[1]s }}'", side.Source)
}

// unquoted warns of a text that isn't in quotes.
func (l *linter) unquoted(side *expression.Side) {
	if field := l.variableOf(side); field != nil && field.Kind == platformevent.Text && !side.Quoted && (side.IsText || !side.Filtered) {
		l.quotes(side)
	}
}

// memberOf returns the path of the text that identifies an object, or the first one of a list;
// empty if there is none.
func memberOf(path string, field *platformevent.Field) string {
	if field.Kind == platformevent.List {
		path += ".0"
	}
	for _, name := range []string{"code", "name", "id"} {
		if slices.ContainsFunc(field.Fields, func(f platformevent.Field) bool { return f.Name == name && f.Kind == platformevent.Text }) {
			return path + "." + name
		}
	}
	return ""
}

// value warns of a text that a field, in quotes, never prints.
func (l *linter) value(operator string, side, other *expression.Side, field *platformevent.Field, value string) {
	ordered := strings.ContainsAny(operator, "<>")
	switch {
	case field.Kind.IsNumber() && ordered:
		l.at(side, "%[1]s in quotes is compared letter by letter, so that '9' > '10': write {{ %[1]s }} and the number without quotes", side.Path)
		return
	case ordered || operator != "==" && operator != "!=" && operator != "in" && operator != "not in":
		return
	case (operator == "in" || operator == "not in") && !isList(other):
		return // a part of a text
	case value == "" || value == "None" && field.Nullable:
		return
	}
	written := python.Repr(python.Str(value))
	switch field.Kind {
	case platformevent.Boolean:
		if value != "True" && value != "False" {
			l.at(other, "%s prints True or False, and never %s: write {{ %[1]s }} and True or False, both without quotes", side.Path, written)
		}
	case platformevent.Amount, platformevent.Integer, platformevent.Time:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			l.at(other, "%s is a number, and never %s", side.Path, written)
		}
	case platformevent.Object, platformevent.List:
		if member := memberOf(side.Path, field); member != "" && !strings.ContainsAny(value, "[]{}") {
			l.at(side, "%s is %s, and never %s: compare a member, such as {{ %s }}", side.Path, article(field.Kind), written, member)
		}
	case platformevent.Text:
		if len(field.Values) > 0 && !slices.Contains(field.Values, value) {
			l.at(other, "%s is never %s: %s", side.Path, written, instead(field.Values, value))
		} else if common := spelling.Nearest(value, field.Common); common != "" && !slices.Contains(field.Common, value) {
			l.at(other, "%s is usually not called %s: did you mean '%s'?", side.Path, written, common)
		}
	case platformevent.Free:
	}
}

func isList(s *expression.Side) bool {
	_, is := s.Literal.(*python.List)
	return is
}

// instead says which of the values was meant, or lists them.
func instead(values []string, wrong string) string {
	if nearest := spelling.Nearest(wrong, values); nearest != "" {
		return fmt.Sprintf("write '%s'", nearest)
	}
	return "write one of '" + strings.Join(values, "', '") + "'"
}

// condition warns of a variable by itself that is always true.
func (l *linter) condition(side *expression.Side) {
	l.unquoted(side)
	field := l.field(side)
	if field == nil {
		return
	}
	switch {
	case side.Quoted && (field.Kind == platformevent.Boolean || field.Kind.IsNumber()):
		l.at(side, "%[1]s in quotes is text, which is true also for False and 0: write {{ %[1]s }} without quotes", side.Path)
	case side.Quoted && field.Kind == platformevent.Text && field.Nullable:
		l.at(side, `%[1]s may be null, which prints None and counts as true: write '{{ %[1]s|default_if_none:"" }}'`, side.Path)
	}
}

// subtypes warns of a subtype of credits that is looked for among debits, or the other
// way round.
func (l *linter) subtypes(comparisons []expression.StaticComparison) {
	types := map[int]string{} // by group
	equals := func(c *expression.StaticComparison, path string) (string, bool) {
		text, is := c.Right.Literal.(python.Str)
		return string(text), is && c.And && c.Operator == "==" && c.Left.Path == path
	}
	for i := range comparisons {
		if value, is := equals(&comparisons[i], "tx_type"); is {
			types[comparisons[i].Group] = value
		}
	}
	for i := range comparisons {
		c := &comparisons[i]
		value, is := equals(c, "subtype")
		if !is {
			continue
		}
		for prefix, right := range map[string]string{"deposit_": "credit", "withdraw_": "debit"} {
			if wrong := types[c.Group]; strings.HasPrefix(value, prefix) && wrong != "" && wrong != right {
				l.at(&c.Right, "transactions of the subtype '%s' are %ss: with tx_type == '%s', none matches", value, right, wrong)
			}
		}
	}
}
