// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// filters reads the query of a list as django-filter does, with the same messages,
// and gathers what is wrong with it. An empty value doesn't filter.
type filters struct {
	values url.Values
	wrong  []fieldError
	known  map[string]bool
	// nothing says that a filter lets nothing through, whatever the others do.
	nothing bool
}

func newFilters(r *http.Request) (*filters, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &apiError{status: http.StatusBadRequest, message: "The query can't be read."}
	}
	return &filters{values: values, known: make(map[string]bool)}, nil
}

func (f *filters) err() error {
	if len(f.wrong) == 0 {
		return nil
	}
	return invalidFields(f.wrong...)
}

func (f *filters) refuse(name, message string) {
	f.wrong = append(f.wrong, fieldError{field: name, messages: []string{message}})
}

// unknown refuses what nothing asked for: where a filter says what is to be changed,
// a mistyped one must not change more.
func (f *filters) refuseUnknown() {
	for _, name := range sortedKeys(f.values) {
		if !f.known[name] {
			f.refuse(truncate(name, 100), "There is no such filter.")
		}
	}
}

func sortedKeys(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// text returns the value of a filter; of several, the last.
func (f *filters) text(name string) string {
	f.known[name] = true
	values := f.values[name]
	if len(values) == 0 {
		return ""
	}
	text := values[len(values)-1]
	if utf8.RuneCountInString(text) > maxIDLength {
		f.refuse(name, fmt.Sprintf("Ensure this value has at most %d characters.", maxIDLength))
		return ""
	}
	return text
}

// boolean returns the value of a filter by a truth value, nil if it isn't set.
func (f *filters) boolean(name string) *bool {
	var value bool
	switch f.text(name) {
	case "":
		return nil
	case "true", "True", "1":
		value = true
	case "false", "False", "0":
	default:
		f.refuse(name, "Must be a valid boolean.")
		return nil
	}
	return &value
}

// time returns the value of a filter by a time in milliseconds, zero if it isn't
// set. What is no time lets nothing through, as on Rehive.
func (f *filters) time(name string) time.Time {
	text := f.text(name)
	if text == "" {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 {
		f.nothing = true
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// choices returns the values of a filter by one of several and of the filter by
// several of them.
func (f *filters) choices(name string, valid ...string) []string {
	var chosen []string
	choose := func(name, text string) {
		if !slices.Contains(valid, text) {
			f.refuse(name, fmt.Sprintf("Select a valid choice. %s is not one of the available choices.", truncate(text, 50)))
			return
		}
		chosen = append(chosen, text)
	}
	if text := f.text(name); text != "" {
		choose(name, text)
	}
	in := name + "__in"
	f.known[in] = true
	among := strings.Join(f.values[in], ",")
	if among == "" {
		return chosen
	}
	one := chosen
	chosen = nil
	for text := range strings.SplitSeq(among, ",") {
		choose(in, strings.TrimSpace(text))
		if len(f.wrong) > 0 {
			return nil
		}
	}
	if len(one) > 0 {
		// Both filters hold.
		chosen = slices.DeleteFunc(chosen, func(text string) bool { return !slices.Contains(one, text) })
		f.nothing = f.nothing || len(chosen) == 0
	}
	return chosen
}

const (
	defaultPageSize = 15
	maxPageSize     = 250
)

// paging is which page of a list is wanted. The number of the last one is not known
// before the list was counted.
type paging struct {
	number, size int
	last         bool
}

// counted returns the paging of a list of so many items.
func (p paging) counted(count int) paging {
	if p.last {
		p.number = max(1, (count+p.size-1)/p.size)
	}
	return p
}

func (p paging) offset() int { return (p.number - 1) * p.size }

func invalidPage() error { return &apiError{status: http.StatusNotFound, message: "Invalid page."} }

// paging reads the page and its size. A size that is none is the default, one that
// is too large the largest.
func (f *filters) paging(maxOffset int) (paging, error) {
	p := paging{number: 1, size: defaultPageSize}
	if size, err := strconv.Atoi(f.text("page_size")); err == nil && size > 0 {
		p.size = min(size, maxPageSize)
	}
	switch text := f.text("page"); text {
	case "":
	case "last": // last_page_strings of Django REST Framework
		p.last = true
	default:
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 || number > maxOffset/p.size+1 {
			return p, invalidPage()
		}
		p.number = number
	}
	return p, nil
}

// listPage is the data of a list.
type listPage struct {
	Count    int     `json:"count"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
	Results  any     `json:"results"`
}

// page makes the answer of a list. A page that is not the first must hold something.
func (s *Server) page(r *http.Request, p paging, count int, more bool, results any, found int) (answer, error) {
	if found == 0 && p.number > 1 {
		return answer{}, invalidPage()
	}
	data := listPage{Count: count, Results: results}
	if more {
		data.Next = s.pageURL(r, p.number+1)
	}
	if p.number > 1 {
		data.Previous = s.pageURL(r, p.number-1)
	}
	return answer{data: data}, nil
}

// pageURL is the URL of another page of a list.
func (s *Server) pageURL(r *http.Request, number int) *string {
	query := r.URL.Query()
	query.Del("page")
	if number > 1 {
		query.Set("page", strconv.Itoa(number))
	}
	base := s.publicURL
	if base == "" {
		base = "http://" + r.Host
	}
	link := base + r.URL.EscapedPath()
	if len(query) > 0 {
		link += "?" + query.Encode()
	}
	return &link
}
