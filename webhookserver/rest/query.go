// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

const (
	defaultPageSize = 15
	maxPageSize     = 250
	// maxFilterLength is the maximum length of a filter's value, in characters.
	maxFilterLength = 255
)

// Filter is a query parameter that narrows a list. Create it with [TextFilter] and so on.
// As with django-filter, an empty value does not filter, the last of several values counts,
// and a text is matched without surrounding white space.
type Filter struct {
	name    string
	kind    filterKind
	choices []string
}

type filterKind int

const (
	textFilter filterKind = iota
	booleanFilter
	timeFilter
	choiceFilter
	choicesFilter
)

// TextFilter matches a text exactly.
func TextFilter(name string) Filter { return Filter{name: name} }

// BooleanFilter matches a boolean. A value that is not one does not filter, as with
// django-filter.
func BooleanFilter(name string) Filter { return Filter{name: name, kind: booleanFilter} }

// TimeFilter compares a time in milliseconds. A value that is not a time matches
// nothing, as on Rehive.
func TimeFilter(name string) Filter { return Filter{name: name, kind: timeFilter} }

// ChoiceFilter matches one of the given values.
func ChoiceFilter(name string, choices ...string) Filter {
	return Filter{name: name, kind: choiceFilter, choices: choices}
}

// ChoicesFilter matches any of several comma-separated values; its name usually ends in
// __in.
func ChoicesFilter(name string, choices ...string) Filter {
	return Filter{name: name, kind: choicesFilter, choices: choices}
}

func (f *Filter) parameter() *openapi3.Parameter {
	s := openapi3.NewStringSchema()
	switch f.kind {
	case booleanFilter:
		s = openapi3.NewBoolSchema()
	case choiceFilter:
		for _, choice := range f.choices {
			s.Enum = append(s.Enum, choice)
		}
	case textFilter, timeFilter, choicesFilter:
	}
	return openapi3.NewQueryParameter(f.name).WithSchema(s)
}

// Query is the parsed query string of a list.
type Query struct {
	// Page is the requested part of the list.
	Page Page
	// OrderBy is one of the resource's orderings, such as "name" or "-created", or
	// empty.
	OrderBy string
	// Nothing reports that a filter can't match anything, so the list is empty.
	Nothing bool

	texts    map[string]string
	booleans map[string]bool
	times    map[string]time.Time
	choices  map[string][]string
}

// Page is a part of a list: by number, or by cursor when ByCursor is set.
type Page struct {
	// Number counts from 1.
	Number, Size int
	// Last asks for the last page, whatever its number is.
	Last bool

	// NewestFirst reverses the default order of [Slice].
	NewestFirst bool

	// ByCursor means that the list is read by cursor: newest first, or oldest first with
	// Ascending.
	ByCursor, Ascending bool
	// Cursor is the position after which the page begins; empty for the first page.
	// With Backward it is the position before which the page ends.
	Cursor   string
	Backward bool
}

// Offset returns how many items come before the page.
func (p Page) Offset() int { return (p.Number - 1) * p.Size }

// Window is a page of a list whose items have numbers in the order of their creation, see
// [NumberPosition].
type Window struct {
	// OldestFirst is the order in which to read the items. If the page is read Backward,
	// the caller must reverse them.
	OldestFirst bool
	// After is the number of the item before the page, in that order; 0 for the first page.
	After int64
	// Offset is how many items to skip.
	Offset int
}

// Window returns the requested page of a list whose items have numbers. The error is
// [InvalidPage] if more than maxOffset items come before it.
func (q *Query) Window(maxOffset int) (Window, error) {
	p := q.Page
	if p.ByCursor {
		after, _ := strconv.ParseInt(p.Cursor, 10, 64)
		return Window{OldestFirst: p.Ascending != p.Backward, After: after}, nil
	}
	if p.Offset() > maxOffset {
		return Window{}, InvalidPage()
	}
	return Window{OldestFirst: q.OrderBy == "created", Offset: p.Offset()}, nil
}

// Text returns the value of a [TextFilter], or "" if it isn't set.
func (q *Query) Text(name string) string { return q.texts[name] }

// Boolean returns the value of a [BooleanFilter], or nil if it isn't set.
func (q *Query) Boolean(name string) *bool {
	if v, ok := q.booleans[name]; ok {
		return &v
	}
	return nil
}

// Time returns the value of a [TimeFilter], or zero if it isn't set.
func (q *Query) Time(name string) time.Time { return q.times[name] }

// Choices returns the values allowed by the [ChoiceFilter] with a name and the
// [ChoicesFilter] with the name and __in; nil if neither is set.
func (q *Query) Choices(name string) []string {
	single, hasSingle := q.choices[name]
	several, hasSeveral := q.choices[name+"__in"]
	switch {
	case hasSingle && hasSeveral:
		return slices.DeleteFunc(slices.Clone(several), func(v string) bool { return v != single[0] })
	case hasSeveral:
		return several
	}
	return single
}

// IsSet reports whether any filter is set.
func (q *Query) IsSet() bool {
	return q.Nothing || len(q.texts)+len(q.booleans)+len(q.times)+len(q.choices) > 0
}

// parseQuery reads the filters of a request and, with paged, the ordering and the page.
// With strict, a parameter that is unknown, empty or ambiguous is an error: if filters select
// what to change, a mistyped one must not change more.
func parseQuery(r *http.Request, filters []Filter, orderings []string, paged, strict bool) (*Query, error) {
	values := queryOf(r)
	q := &Query{
		texts: map[string]string{}, booleans: map[string]bool{},
		times: map[string]time.Time{}, choices: map[string][]string{},
	}
	var invalid []FieldError
	for i := range filters {
		message := ""
		if strict {
			message = ambiguity(&filters[i], values)
		}
		if message == "" {
			message = q.filter(&filters[i], values, strict)
		}
		if message != "" {
			invalid = append(invalid, FieldError{Field: filters[i].name, Messages: []string{message}})
		}
	}
	if strict {
		for _, name := range sortedKeys(values) {
			if !slices.ContainsFunc(filters, func(f Filter) bool { return f.name == name }) {
				invalid = append(invalid, FieldError{Field: Truncate(name, 100), Messages: []string{"There is no such filter."}})
			}
		}
	}
	if len(invalid) > 0 {
		return nil, InvalidFields(invalid...)
	}
	// Both filters with a name apply.
	for name, chosen := range q.choices {
		if _, both := q.choices[name+"__in"]; both && len(chosen) > 0 && len(q.Choices(name)) == 0 {
			q.Nothing = true
		}
	}
	if paged {
		return q, q.paging(values, orderings)
	}
	return q, nil
}

// queryOf parses a request's query like Django: what is not an escape sequence stands for
// itself, and invalid UTF-8 for U+FFFD.
func queryOf(r *http.Request) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" {
			name = unescape(name)
			values[name] = append(values[name], unescape(value))
		}
	}
	return values
}

func unescape(text string) string {
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				b = append(b, c[0])
				i += 2
				continue
			}
		}
		if text[i] == '+' {
			b = append(b, ' ')
			continue
		}
		b = append(b, text[i])
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func sortedKeys(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func lastOf(values url.Values, name string) string {
	all := values[name]
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// ambiguity returns what makes a filter of a change unclear: a list ignores an empty value and
// all values but the last one.
func ambiguity(f *Filter, values url.Values) (message string) {
	given := values[f.name]
	switch {
	case slices.Contains(given, ""):
		return "Give the filter a value, or leave it out."
	case len(given) > 1 && f.kind != choicesFilter:
		return "Give the filter only once."
	}
	return ""
}

// filter applies a filter's value. With strict, an invalid value is always an error.
func (q *Query) filter(f *Filter, values url.Values, strict bool) (message string) {
	text := lastOf(values, f.name)
	if f.kind == choicesFilter {
		// Clients repeat the parameter or separate its values with commas.
		text = strings.Join(values[f.name], ",")
	}
	if text == "" {
		return ""
	}
	if utf8.RuneCountInString(text) > maxFilterLength {
		return fmt.Sprintf("Ensure this value has at most %d characters.", maxFilterLength)
	}
	switch f.kind {
	case textFilter:
		if strings.ContainsRune(text, 0) {
			return nullCharacters
		}
		if trimmed := strings.TrimSpace(text); trimmed != "" || strict {
			q.texts[f.name] = cmp.Or(trimmed, text)
		}
	case booleanFilter:
		switch strings.ToLower(text) {
		case "true", "1":
			q.booleans[f.name] = true
		case "false", "0":
			q.booleans[f.name] = false
		default: // does not filter
			if strict {
				return NotABooleanMessage
			}
		}
	case timeFilter:
		ms, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil || ms < minTime || ms > maxTime {
			if strict {
				return "Enter a number of milliseconds since the epoch."
			}
			q.Nothing = true
			return ""
		}
		q.times[f.name] = time.UnixMilli(ms)
	case choiceFilter:
		return q.choose(f, []string{text})
	case choicesFilter:
		return q.choose(f, strings.Split(text, ","))
	}
	return ""
}

func (q *Query) choose(f *Filter, texts []string) (message string) {
	chosen := make([]string, len(texts))
	for i, text := range texts {
		chosen[i] = strings.TrimSpace(text)
		if !slices.Contains(f.choices, chosen[i]) {
			return fmt.Sprintf("Select a valid choice. %s is not one of the available choices.", Truncate(chosen[i], 50))
		}
	}
	q.choices[f.name] = chosen
	return ""
}

// paging reads the requested page. As in Django REST Framework, an invalid size means the
// default, and a size above the maximum means the maximum.
func (q *Query) paging(values url.Values, orderings []string) error {
	p := Page{Number: 1, Size: defaultPageSize}
	// A number that is out of range has the nearest possible value.
	if size, err := strconv.Atoi(strings.TrimSpace(lastOf(values, "page_size"))); size > 0 && (err == nil || errors.Is(err, strconv.ErrRange)) {
		p.Size = min(size, maxPageSize)
	}
	for field := range strings.SplitSeq(lastOf(values, "orderby"), ",") {
		// Unknown orderings are ignored, as in Django REST Framework.
		if field = strings.TrimSpace(field); slices.Contains(orderings, strings.TrimPrefix(field, "-")) {
			q.OrderBy = field
			break
		}
	}
	p.NewestFirst = q.OrderBy == "-created"
	if lastOf(values, "pagination") == "cursor" {
		p.ByCursor, p.Ascending = true, q.OrderBy == "created"
		if err := p.readCursor(lastOf(values, "cursor")); err != nil {
			return err
		}
		q.Page = p
		return nil
	}
	switch text := lastOf(values, "page"); text {
	case "":
	case "last":
		p.Last = true
	default:
		number, err := strconv.Atoi(strings.TrimSpace(text)) // as Django does
		if err != nil || number < 1 || number > 1<<31/maxPageSize {
			return InvalidPage()
		}
		p.Number = number
	}
	q.Page = p
	return nil
}

func (p *Page) readCursor(text string) error {
	if text == "" {
		return nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	direction, position, ok := strings.Cut(string(decoded), ":")
	if err != nil || !ok || position == "" || len(text) > maxFilterLength || direction != "a" && direction != "b" {
		return &Error{Status: http.StatusNotFound, Message: "Invalid cursor"}
	}
	p.Cursor, p.Backward = position, direction == "b"
	return nil
}

func cursor(position string, backward bool) string {
	direction := "a:"
	if backward {
		direction = "b:"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(direction + position))
}
