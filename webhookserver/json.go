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
// begins and return the index after it, or invalid; they don't say why.
type scanner struct {
	body     []byte
	maxDepth int
}

const invalid = -1

// object returns the members with the given names. The body must be a single object.
func (s *scanner) object(names []string) (map[string]json.RawMessage, bool) {
	members := make(map[string]json.RawMessage, len(names))
	i := s.space(0)
	if s.at(i) != '{' {
		return nil, false
	}
	i = s.inside(i, '}', 1, func(i int) int {
		start := i
		i = s.string(i)
		if i == invalid {
			return invalid
		}
		key := s.body[start:i]
		i = s.colon(i)
		value := i
		if i = s.value(i, 1); i == invalid {
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
	if i < 0 || i >= len(s.body) {
		return 0
	}
	return s.body[i]
}

func (s *scanner) space(i int) int {
	for i >= 0 && i < len(s.body) {
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
			return invalid
		}
	}
}

// colon reads the colon between a member's name and its value.
func (s *scanner) colon(i int) int {
	if i = s.space(i); s.at(i) != ':' {
		return invalid
	}
	return s.space(i + 1)
}

// value reads a value inside depth nested arrays and objects.
func (s *scanner) value(i, depth int) int {
	switch c := s.at(i); {
	case c == '"':
		return s.string(i)
	case c == '{':
		return s.inside(i, '}', depth+1, func(i int) int {
			if i = s.string(i); i == invalid {
				return invalid
			}
			return s.value(s.colon(i), depth+1)
		})
	case c == '[':
		return s.inside(i, ']', depth+1, func(i int) int { return s.value(i, depth+1) })
	case c == '-' || '0' <= c && c <= '9':
		return s.number(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	}
	return invalid
}

func (s *scanner) literal(i int, word string) int {
	end := i + len(word)
	if end > len(s.body) || string(s.body[i:end]) != word {
		return invalid
	}
	return end
}

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
		if i = s.digits(i + 1); i == invalid {
			return invalid
		}
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		return s.digits(i)
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

func (s *scanner) string(i int) int {
	if s.at(i) != '"' {
		return invalid
	}
	for i = s.plain(i + 1); i < len(s.body); i = s.plain(i) {
		switch s.body[i] {
		case '"':
			return i + 1
		case '\\':
			if i = s.escape(i + 1); i == invalid {
				return invalid
			}
		default: // a control character
			return invalid
		}
	}
	return invalid
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
