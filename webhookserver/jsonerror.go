// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"regexp"
)

// jsonFault says why a text is not JSON, and at which byte, in the words of Python 3.12, with
// which Rehive parses bodies. The message is empty for valid JSON, and at is negative if the
// message has no position. The text must be valid UTF-8 that isn't nested too deeply for
// recursion.
func jsonFault(body []byte) (message string, at int) {
	f := faultFinder{scanner: scanner{body: body}}
	i := f.anyValue(f.space(0))
	if i = f.space(i); i != invalid && i < len(body) {
		f.fail("Extra data", i)
	}
	return f.message, f.at
}

// faultFinder reads JSON up to the first fault. Its methods return like those of its scanner.
type faultFinder struct {
	scanner

	message string
	at      int
}

func (f *faultFinder) fail(message string, at int) int {
	f.message, f.at = message, at
	return invalid
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?`)

func (f *faultFinder) anyValue(i int) int {
	rest := f.body[min(i, len(f.body)):]
	switch f.scanner.at(i) {
	case '"':
		return f.text(i)
	case '{':
		return f.list(i, '}', f.member)
	case '[':
		return f.list(i, ']', f.anyValue)
	}
	for _, constant := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(rest, []byte(constant)) {
			return f.fail("Out of range float values are not JSON compliant: '"+constant+"'", -1)
		}
	}
	for _, literal := range []string{"null", "true", "false"} {
		if bytes.HasPrefix(rest, []byte(literal)) {
			return i + len(literal)
		}
	}
	if n := len(jsonNumber.Find(rest)); n > 0 {
		return i + n
	}
	return f.fail("Expecting value", i)
}

// list reads the items between brackets.
func (f *faultFinder) list(i int, end byte, item func(i int) int) int {
	if i = f.space(i + 1); f.scanner.at(i) == end {
		return i + 1
	}
	for {
		if i = item(i); i == invalid {
			return invalid
		}
		switch i = f.space(i); f.scanner.at(i) {
		case end:
			return i + 1
		case ',':
			i = f.space(i + 1)
		default:
			return f.fail("Expecting ',' delimiter", i)
		}
	}
}

// member reads the name and the value of an object's member.
func (f *faultFinder) member(i int) int {
	if f.scanner.at(i) != '"' {
		return f.fail("Expecting property name enclosed in double quotes", i)
	}
	if i = f.text(i); i == invalid {
		return invalid
	}
	if i = f.space(i); f.scanner.at(i) != ':' {
		return f.fail("Expecting ':' delimiter", i)
	}
	return f.anyValue(f.space(i + 1))
}

func (f *faultFinder) text(start int) int {
	for i := f.plain(start + 1); i < len(f.body); i = f.plain(i) {
		switch c := f.body[i]; {
		case c == '"':
			return i + 1
		case c != '\\':
			return f.fail("Invalid control character at", i)
		case i+1 == len(f.body):
			return f.fail("Unterminated string starting at", start)
		}
		next := f.escape(i + 1)
		switch {
		case f.body[i+1] == 'u' && (next == invalid || next == len(f.body)):
			return f.fail(`Invalid \uXXXX escape`, i+1)
		case next == invalid:
			return f.fail(`Invalid \escape`, i)
		default:
			i = next
		}
	}
	return f.fail("Unterminated string starting at", start)
}
