// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// scanner validates JSON in one pass. That is most of the work on a webhook's body, and
// encoding/json calls a function for each byte. The methods take the index at which a token
// begins and return the index after it, or invalid, and then have set the fault, unless the
// body is nested too deeply.
type scanner struct {
	body     []byte
	maxDepth int

	fault fault
}

// fault says why a text is not JSON, in the words of Python 3.11, with which Rehive parses
// bodies, and at which byte; at is noPosition if Python names no position.
type fault struct {
	message string
	at      int
}

const (
	invalid    = -1
	noPosition = -1
)

func (s *scanner) fail(message string, at int) int {
	s.fault = fault{message, at}
	return invalid
}

// document reads a body that is a single value of any type, and reports whether it is valid.
func (s *scanner) document() bool {
	i := s.value(s.space(0), 0)
	if i == invalid {
		return false
	}
	if i = s.space(i); i < len(s.body) {
		s.fail("Extra data", i)
		return false
	}
	return true
}

// object returns the members with the given names. The body must be a single object.
func (s *scanner) object(names []string) (map[string]json.RawMessage, bool) {
	members := make(map[string]json.RawMessage, len(names))
	i := s.space(0)
	if s.at(i) != '{' {
		return nil, false
	}
	i = s.inside(i, '}', 1, func(i int) int {
		key, value := s.member(i)
		if value == invalid {
			return invalid
		}
		if i = s.value(value, 1); i == invalid {
			return invalid
		}
		for _, name := range names {
			if isQuoted(key, name) {
				members[name] = json.RawMessage(s.body[value:i])
			}
		}
		return i
	})
	return members, i != invalid && s.space(i) == len(s.body)
}

// isQuoted reports whether a valid JSON string decodes to text.
func isQuoted(quoted []byte, text string) bool {
	inner := quoted[1 : len(quoted)-1]
	for _, c := range inner {
		if c == '\\' {
			return rest.Unquote(quoted) == text
		}
	}
	return string(inner) == text
}

// at returns the byte at i, or 0, which never occurs in JSON, beyond the end.
func (s *scanner) at(i int) byte {
	if i >= len(s.body) {
		return 0
	}
	return s.body[i]
}

func (s *scanner) space(i int) int {
	for i < len(s.body) {
		switch s.body[i] {
		case ' ', '\t', '\r', '\n':
			i++
		default:
			return i
		}
	}
	return i
}

// inside reads comma-separated items up to the closing bracket.
func (s *scanner) inside(i int, end byte, depth int, item func(i int) int) int {
	if depth > s.maxDepth {
		return invalid
	}
	if i = s.space(i + 1); s.at(i) == end {
		return i + 1
	}
	for {
		if i = item(i); i == invalid {
			return invalid
		}
		switch i = s.space(i); s.at(i) {
		case end:
			return i + 1
		case ',':
			i = s.space(i + 1)
		default:
			return s.fail("Expecting ',' delimiter", i)
		}
	}
}

// member reads the name of an object's member and the colon. It returns the quoted name, and
// the index at which the value begins, or invalid.
func (s *scanner) member(i int) (name []byte, value int) {
	if s.at(i) != '"' {
		return nil, s.fail("Expecting property name enclosed in double quotes", i)
	}
	end := s.string(i)
	if end == invalid {
		return nil, invalid
	}
	colon := s.space(end)
	if s.at(colon) != ':' {
		return nil, s.fail("Expecting ':' delimiter", colon)
	}
	return s.body[i:end], s.space(colon + 1)
}

// value reads a value inside depth nested arrays and objects.
func (s *scanner) value(i, depth int) int {
	end := invalid
	switch c := s.at(i); {
	case c == '"':
		return s.string(i)
	case c == '{':
		return s.inside(i, '}', depth+1, func(i int) int {
			_, value := s.member(i)
			if value == invalid {
				return invalid
			}
			return s.value(value, depth+1)
		})
	case c == '[':
		return s.inside(i, ']', depth+1, func(i int) int { return s.value(i, depth+1) })
	case c == '-' || '0' <= c && c <= '9':
		end = s.number(i)
	case c == 't':
		end = s.literal(i, "true")
	case c == 'f':
		end = s.literal(i, "false")
	case c == 'n':
		end = s.literal(i, "null")
	}
	if end == invalid {
		return s.noValue(i)
	}
	return end
}

// noValue sets the fault where a value is expected. Rehive refuses Python's constants in words
// of their own.
func (s *scanner) noValue(i int) int {
	for _, constant := range []string{"NaN", "Infinity", "-Infinity"} {
		if s.literal(i, constant) != invalid {
			return s.fail("Out of range float values are not JSON compliant: '"+constant+"'", noPosition)
		}
	}
	return s.fail("Expecting value", i)
}

// literal and number leave it to value to set the fault.
func (s *scanner) literal(i int, word string) int {
	end := i + len(word)
	if end > len(s.body) || string(s.body[i:end]) != word {
		return invalid
	}
	return end
}

// number reads as much as is a number: of "1." or "1e", which are faults, the first digit.
func (s *scanner) number(i int) int {
	if s.at(i) == '-' {
		i++
	}
	if s.at(i) == '0' {
		i++
	} else if i = s.digits(i); i == invalid {
		return invalid
	}
	if s.at(i) == '.' {
		end := s.digits(i + 1)
		if end == invalid {
			return i
		}
		i = end
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		exponent := i + 1
		if c := s.at(exponent); c == '+' || c == '-' {
			exponent++
		}
		if end := s.digits(exponent); end != invalid {
			return end
		}
	}
	return i
}

// digits reads at least one digit.
func (s *scanner) digits(i int) int {
	from := i
	for c := s.at(i); '0' <= c && c <= '9'; c = s.at(i) {
		i++
	}
	if i == from {
		return invalid
	}
	return i
}

func (s *scanner) string(start int) int {
	for i := s.plain(start + 1); i < len(s.body); i = s.plain(i) {
		switch s.body[i] {
		case '"':
			return i + 1
		case '\\':
			end := s.escape(i + 1)
			if end == invalid || end == len(s.body) {
				return s.failEscape(start, i, end)
			}
			i = end
		default:
			return s.fail("Invalid control character at", i)
		}
	}
	return s.fail("Unterminated string starting at", start)
}

// failEscape sets the fault of a string whose escape sequence at i is invalid, or the last of
// the body.
func (s *scanner) failEscape(start, i, end int) int {
	switch {
	case s.at(i+1) == 'u':
		return s.fail(`Invalid \uXXXX escape`, i+1)
	case end == invalid && i+1 < len(s.body):
		return s.fail(`Invalid \escape`, i)
	}
	return s.fail("Unterminated string starting at", start)
}

// escape reads an escape sequence after its backslash.
func (s *scanner) escape(i int) int {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for n := 1; n <= 4; n++ {
			switch c := s.at(i + n); {
			case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
			default:
				return invalid
			}
		}
		return i + 5
	}
	return invalid
}

// plain skips the ordinary bytes of a string, eight at a time: all except quotes,
// backslashes and control characters.
func (s *scanner) plain(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s.body); i += 8 {
		b := binary.LittleEndian.Uint64(s.body[i:])
		quote, backslash := b^(ones*'"'), b^(ones*'\\')
		// A borrow can set the high bit of a byte above a match, so only the lowest set bit
		// is reliable.
		found := ((b - ones*0x20) &^ b) | ((quote - ones) &^ quote) | ((backslash - ones) &^ backslash)
		if found &= highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s.body); i++ {
		if c := s.body[i]; c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return i
}
