// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"encoding/json"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/ledger"
)

// mentions finds a user's identifier and addresses in the data of events, in any case and
// however JSON writes them.
type mentions struct {
	// texts are in lower case, the user's identifier first.
	texts []string
	// hints are ASCII parts of the texts: data that holds none of them names nobody, unless
	// something in it is escaped.
	hints []string
}

func newMentions(u *ledger.Subject) *mentions {
	m := &mentions{}
	for _, text := range append([]string{u.UserID}, u.Addresses...) {
		if text = strings.ToLower(strings.TrimSpace(text)); text != "" {
			m.texts = append(m.texts, text)
			m.hints = append(m.hints, longestASCII(text))
		}
	}
	return m
}

// longestASCII returns the longest part of a text that has only ASCII characters.
func longestASCII(text string) string {
	longest := ""
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// lowerASCII lowers the capitals of ASCII only, as SQLite does.
func lowerASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
}

// maxNesting is how deep JSON texts in JSON texts are searched.
const maxNesting = 3

// in reports whether an event's data names the user.
func (m *mentions) in(data []byte) bool { return m.inText(string(data), maxNesting) }

func (m *mentions) inText(text string, nesting int) bool {
	if m.named(text) {
		return true
	}
	if nesting == 0 || strings.IndexByte(text, '\\') < 0 {
		return false
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return false // the end, or no JSON, which was searched as a text
		}
		if value, ok := token.(string); ok && m.inText(value, nesting-1) {
			return true
		}
	}
}

// named reports whether a text holds the identifier, or one of the addresses as a whole:
// not-zoe@example.com does not name zoe@example.com.
func (m *mentions) named(text string) bool {
	text = strings.ToLower(text)
	for i, name := range m.texts {
		for from := 0; ; {
			at := strings.Index(text[from:], name)
			if at < 0 {
				break
			}
			at += from
			if i == 0 || !precedes(text[:at]) && !continues(text[at+len(name):]) {
				return true
			}
			from = at + 1
		}
	}
	return false
}

// precedes reports whether a text before an address would be a part of it.
func precedes(text string) bool {
	r, _ := utf8.DecodeLastRuneInString(text)
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".+-_%", r))
}

// continues reports whether a text behind an address would be a part of it.
func continues(text string) bool {
	r, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return false
	}
	if r == '.' || r == '-' {
		r, _ = utf8.DecodeRuneInString(text[size:])
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

// maxErasing bounds how many interrupted erasures are remembered.
const maxErasing = 100

// erasing is an erasure of a user and what names the user.
type erasing struct{ digest, names string }

// erasingPlace is how far an erasure was: the events of the company are looked at in the order
// of their IDs on the platform, and in the end those with keys after begun.
type erasingPlace struct {
	event string
	begun int64
}

// erasingPlaces are those of interrupted erasures.
type erasingPlaces struct {
	mu     sync.Mutex
	places map[erasing]erasingPlace
}

func (p *erasingPlaces) resume(e erasing) (place erasingPlace, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	place, ok = p.places[e]
	delete(p.places, e)
	return place, ok
}

func (p *erasingPlaces) interrupt(e erasing, place erasingPlace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places == nil || len(p.places) >= maxErasing {
		p.places = map[erasing]erasingPlace{}
	}
	p.places[e] = place
}
