// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"mime"
	"slices"
	"strings"
	"unicode"

	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/django"
)

// entry is one recipient or sender as an address field rendered it, with the text of
// the rule's author and data kept apart. Only the author's text has syntax: a comma or
// a bracket in a customer's name is a character of the name.
type entry []django.Segment

// authored returns an entry that consists of the author's text only.
func authored(text string) entry { return entry{{Text: text}} }

// splitField splits a rendered field at the commas, semicolons and line breaks that its
// author wrote outside quotes and angle brackets. If an entry consists of a single
// variable, such as {{ emails }}, its value may itself be a list. Entries without a value
// are left out.
func splitField(field []django.Segment) []entry {
	var entries []entry
	var current entry
	finish := func() {
		if value, ok := current.value(); ok {
			for _, part := range splitList(value) {
				if e := (entry{{Text: part, Data: true}}); !e.isNothing() {
					entries = append(entries, e)
				}
			}
		} else if !current.isNothing() {
			entries = append(entries, current)
		}
		current = nil
	}
	var syntax separators
	for _, segment := range field {
		if segment.Data {
			current = append(current, segment)
			continue
		}
		start := 0
		for i := 0; i < len(segment.Text); i++ {
			if syntax.separates(segment.Text[i]) {
				current = append(current, django.Segment{Text: segment.Text[start:i]})
				finish()
				start = i + 1
			}
		}
		current = append(current, django.Segment{Text: segment.Text[start:]})
	}
	finish()
	return entries
}

// splitList splits the value of one variable as its author would have written it.
func splitList(value string) []string {
	var parts []string
	var syntax separators
	start := 0
	for i := 0; i <= len(value); i++ {
		if i < len(value) && (!syntax.separates(value[i]) || value[i] == ';' && endsEntity(value[start:i])) {
			continue
		}
		if part := strings.TrimSpace(value[start:i]); part != "" {
			parts = append(parts, part)
		}
		start = i + 1
	}
	return parts
}

// endsEntity reports whether a semicolon after the text is that of an HTML entity, such as
// &#x27;. Without this, an address whose data was escaped could become somebody else's.
func endsEntity(text string) bool {
	const longest = 32
	text = text[max(len(text)-longest, 0):]
	name := text[strings.LastIndexByte(text, '&')+1:]
	return len(name) < len(text) && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '#' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// separators reads a list byte by byte and recognizes what separates its entries.
type separators struct{ quoted, angled, escaped bool }

func (s *separators) separates(c byte) bool {
	switch {
	case s.escaped:
		s.escaped = false
	case s.quoted && c == '\\':
		s.escaped = true
	case c == '"':
		s.quoted = !s.quoted
	case s.quoted:
	case c == '<':
		s.angled = true
	case c == '>':
		s.angled = false
	case c == ',' || c == ';' || c == '\n':
		return !s.angled
	}
	return false
}

// String returns the text of the entry.
func (e entry) String() string {
	if len(e) == 1 {
		return e[0].Text
	}
	var text strings.Builder
	for _, segment := range e {
		text.WriteString(segment.Text)
	}
	return text.String()
}

// isNothing reports whether the entry has no value where its author wrote a variable, such
// as the mobile number of a user who has none.
func (e entry) isNothing() bool {
	if _, inside, ok := e.angled(); ok && !inside.isAuthored() {
		e = inside
	}
	if e.isAuthored() {
		return strings.TrimSpace(e.String()) == ""
	}
	return isNothing(e.String())
}

// isNothing reports whether rendered text stands for a missing value: Django prints null as
// None.
func isNothing(text string) bool {
	text = strings.TrimSpace(text)
	return text == "" || text == "None"
}

// value returns the value of the one variable that the entry consists of; false if it
// holds other text or several variables.
func (e entry) value() (value string, ok bool) {
	for _, segment := range e {
		switch {
		case strings.TrimSpace(segment.Text) == "":
		case !segment.Data || ok:
			return "", false
		default:
			value, ok = segment.Text, true
		}
	}
	return value, ok
}

// address returns the address that an entry such as joe@example.com,
// Joe <joe@example.com> or joe@example.com (Joe) holds. Its error is the end of a
// sentence and repeats no data.
func (e entry) address() (address.Address, error) {
	name, bare := e.mailbox()
	a, err := address.ParseBare(bare)
	if err != nil {
		return address.Address{}, err
	}
	return a.WithName(name), nil
}

// mailbox splits an entry into its display name and its address, neither of which is
// checked.
func (e entry) mailbox() (name, bare string) {
	if before, inside, ok := e.angled(); ok {
		return before.displayName(), tidyAddress(inside.String())
	}
	text := strings.TrimSpace(e.String())
	if open := strings.LastIndexByte(text, '<'); open >= 0 && strings.HasSuffix(text, ">") {
		// The brackets come from the data. The address is at the end, and everything before
		// it is the name.
		return entry{{Text: text[:open], Data: !e.isAuthored()}}.displayName(), tidyAddress(text[open+1 : len(text)-1])
	}
	if open := strings.IndexByte(text, '('); open > 0 && strings.HasSuffix(text, ")") {
		return text[open+1 : len(text)-1], tidyAddress(text[:open])
	}
	return "", tidyAddress(text)
}

// angled returns the parts before and inside the angle brackets that the author wrote at
// the end of the entry.
func (e entry) angled() (before, inside entry, ok bool) {
	last := len(e) - 1
	for last >= 0 && strings.TrimSpace(e[last].Text) == "" {
		last--
	}
	if last < 0 || e[last].Data {
		return nil, nil, false
	}
	text, ok := strings.CutSuffix(strings.TrimRightFunc(e[last].Text, unicode.IsSpace), ">")
	for i := last; ok && i >= 0; i-- {
		if i < last {
			text = e[i].Text
		}
		open := -1
		if !e[i].Data {
			open = strings.LastIndexByte(text, '<')
		}
		if open >= 0 {
			before = append(slices.Clone(e[:i]), django.Segment{Text: text[:open]})
			return before, slices.Insert(inside, 0, django.Segment{Text: text[open+1:]}), true
		}
		inside = slices.Insert(inside, 0, django.Segment{Text: text, Data: e[i].Data})
	}
	return nil, nil, false
}

func (e entry) isAuthored() bool {
	for _, segment := range e {
		if segment.Data {
			return false
		}
	}
	return true
}

// displayName returns the text of the entry as a name. Quotes around it and
// backslashes count as syntax if the author wrote them.
func (e entry) displayName() string {
	first, last := 0, len(e)-1
	for first < len(e) && strings.TrimSpace(e[first].Text) == "" {
		first++
	}
	for last >= first && strings.TrimSpace(e[last].Text) == "" {
		last--
	}
	if first > last {
		return ""
	}
	e = e[first : last+1]
	left, right := strings.TrimLeftFunc(e[0].Text, unicode.IsSpace), strings.TrimRightFunc(e[len(e)-1].Text, unicode.IsSpace)
	quoted := strings.HasPrefix(left, `"`) && strings.HasSuffix(right, `"`) &&
		e[0].Data == e[len(e)-1].Data && (len(e) > 1 || len(strings.TrimSpace(e[0].Text)) > 1)
	var name strings.Builder
	for _, segment := range e {
		if quoted && !segment.Data {
			name.WriteString(unescape(segment.Text))
		} else {
			name.WriteString(segment.Text)
		}
	}
	text := strings.TrimSpace(name.String())
	switch {
	case quoted:
		text = strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`)
	case e.isAuthored():
		if decoded, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
			text = decoded
		}
	}
	return text
}

// unescape removes the backslashes of a quoted string.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}

// tidyAddress removes invisible characters from the ends of an address: copied text often
// has zero-width spaces and direction marks.
func tidyAddress(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
}
