// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("spaceless", parseSpaceless) }

// spacelessNode is {% spaceless %}…{% endspaceless %}.
type spacelessNode struct{ body NodeList }

func parseSpaceless(p *Parser, _ *Token) (Node, error) {
	body, err := p.parseBody("endspaceless")
	return &spacelessNode{body}, err
}

func (n *spacelessNode) Render(c *Context) error {
	body, err := c.Capture(n.body)
	if err != nil {
		return err
	}
	// Characters are only dropped, so each that stays is still the author's or
	// data: go through the output once for the pieces that stay.
	text := body.Text
	start := len(text) - len(strings.TrimLeftFunc(text, python.IsSpace))
	end := max(len(python.Strip(text))+start, start)
	at := 0 // the first mark that may matter to the next piece
	keep := func(from, to int) error {
		for at+1 < len(body.marks) && body.marks[at+1].start <= from {
			at++
		}
		return c.WriteCaptured(body.slice(at, from, to))
	}
	if err := c.meter.SpendBytes(len(text), spacelessNanos); err != nil {
		return err
	}
	for i := start; i < end; {
		gt := strings.IndexByte(text[i:end], '>')
		if gt < 0 {
			break
		}
		i += gt + 1
		next := end - len(strings.TrimLeftFunc(text[i:end], python.IsSpace))
		if next > i && next < end && text[next] == '<' {
			if err := keep(start, i); err != nil {
				return err
			}
			start = next
		}
		i = next
	}
	return keep(start, end)
}

// spacelessNanos is the time of going through the output, in nanoseconds per byte.
const spacelessNanos = 30

// slice returns a part of the output with its marks, ignoring those before first.
func (o *Captured) slice(first, from, to int) *Captured {
	part := &Captured{Text: o.Text[from:to]}
	for _, m := range o.marks[min(first, len(o.marks)):] {
		switch {
		case m.start >= to:
			return part
		case m.start <= from:
			part.marks = append(part.marks[:0], mark{0, m.data})
		default:
			part.marks = append(part.marks, mark{m.start - from, m.data})
		}
	}
	return part
}
