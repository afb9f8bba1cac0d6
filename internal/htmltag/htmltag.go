// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package htmltag reads the tags of HTML with the positions of their parts, which
// golang.org/x/net/html doesn't report.
package htmltag

import "strings"

// Space has the characters that separate the attributes of a tag.
const Space = " \t\n\r\f"

// Attribute is an attribute of a tag. Positions are in bytes from the beginning of the tag.
type Attribute struct {
	// Name is in lower case.
	Name string
	// Value is the value as written, without quotes and with entities.
	Value string
	// At is where the name begins, and ValueAt where the value begins.
	At, ValueAt int
	// End is after the closing quote of the value, or after the name if there is no value.
	End int
}

// Name returns the name of a tag such as <br/>, in lower case. The tag may be incomplete.
func Name(tag string) string {
	tag = tag[min(1, len(tag)):]
	if i := strings.IndexAny(tag, Space+"/>"); i >= 0 {
		tag = tag[:i]
	}
	return strings.ToLower(tag)
}

// Attributes returns the attributes of a start tag, in order. The tag may be incomplete.
func Attributes(tag string) (all []Attribute) {
	end := len(tag)
	until := func(from int, stop string) int {
		if i := strings.IndexAny(tag[from:], stop); i >= 0 {
			return from + i
		}
		return end
	}
	skip := func(from int, what string) int {
		for from < end && strings.IndexByte(what, tag[from]) >= 0 {
			from++
		}
		return from
	}
	for at := min(1+len(Name(tag)), end); ; {
		at = skip(at, Space+"/")
		if at >= end || tag[at] == '>' {
			return all
		}
		nameEnd := until(min(at+1, end), Space+"/>=")
		a := Attribute{Name: strings.ToLower(tag[at:nameEnd]), At: at, ValueAt: nameEnd, End: nameEnd}
		at = skip(nameEnd, Space)
		if at < end && tag[at] == '=' {
			at = skip(at+1, Space)
			var valueEnd int
			if at < end && (tag[at] == '"' || tag[at] == '\'') {
				a.ValueAt = at + 1
				valueEnd = until(at+1, tag[at:at+1])
				at = min(valueEnd+1, end)
			} else {
				a.ValueAt = at
				valueEnd = until(at, Space+">")
				at = valueEnd
			}
			a.Value, a.End = tag[a.ValueAt:valueEnd], at
		}
		all = append(all, a)
	}
}
