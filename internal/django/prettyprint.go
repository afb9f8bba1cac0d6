// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

const (
	prettyWidth = 80
	// maxPrettyDepth limits nesting, because each level prints the nested values again to
	// see whether they fit on a line.
	maxPrettyDepth = 100
)

// prettyPrint implements Python's pprint.pformat: a value that doesn't fit on a line of 80
// characters is printed with one item per line, and dict keys are sorted.
func prettyPrint(c *Context, v python.Value) (string, error) {
	p := prettyPrinter{c: c}
	if err := p.format(v, 0, 0, 0); err != nil {
		return "", err
	}
	return p.out.String(), nil
}

// check enforces the limit on texts.
func (p *prettyPrinter) check() error {
	if n := p.out.Len(); n > p.c.limits.String {
		return p.c.Grow(n)
	}
	return nil
}

// Cost of examining a value, in nanoseconds per printed byte.
const prettyNanos = 60

type prettyPrinter struct {
	c   *Context
	out strings.Builder
}

// format prints v from column indent on, leaving room for allowance characters after it.
func (p *prettyPrinter) format(v python.Value, indent, allowance, level int) error {
	if level > maxPrettyDepth {
		return python.Errorf("RecursionError", "maximum recursion depth exceeded")
	}
	size, err := python.Weigh(&p.c.meter, v)
	if err == nil {
		err = p.c.Grow(size)
	}
	if err == nil {
		err = p.c.meter.SpendBytes(size+100, prettyNanos)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return err
	}
	repr := ""
	if width := prettyWidth - indent - allowance; fits(v, width) {
		if repr = python.Repr(p.sortedKeys(v, 0)); runeCount(repr) <= width {
			p.out.WriteString(repr)
			return nil
		}
	}
	level++
	switch v := v.(type) {
	case python.Str:
		return p.formatText(string(v), indent, allowance, level)
	case python.SafeStr:
		return p.formatText(string(v), indent, allowance, level)
	case *python.List:
		return p.formatItems("[", v.Items, "]", indent, allowance, level)
	case *python.Tuple:
		closing := ")"
		if len(v.Items) == 1 {
			closing = ",)"
		}
		return p.formatItems("(", v.Items, closing, indent, allowance, level)
	case *python.Set:
		items := make([]python.Value, v.Len())
		for i := range items {
			items[i] = v.At(i)
		}
		slices.SortStableFunc(items, p.compareKeys)
		return p.formatItems("{", items, "}", indent, allowance, level)
	case *python.Dict:
		return p.formatDict(v, indent, allowance, level)
	}
	if repr == "" {
		repr = python.Repr(v)
	}
	p.out.WriteString(repr)
	return nil
}

// fits reports whether a value may fit into a width. That it cannot is determined without
// printing it.
func fits(v python.Value, width int) bool {
	if s, ok := python.AsStr(v); ok {
		return runeCount(s)+2 <= width
	}
	return 2*python.Size(v) <= width+2
}

func (p *prettyPrinter) formatItems(opening string, items []python.Value, closing string, indent, allowance, level int) error {
	p.out.WriteString(opening)
	indent++
	allowance += len(closing)
	for i, item := range items {
		room := 1
		if i > 0 {
			if err := p.newLine(",", indent); err != nil {
				return err
			}
		}
		if i == len(items)-1 {
			room = allowance
		}
		if err := p.format(item, indent, room, level); err != nil {
			return err
		}
	}
	p.out.WriteString(closing)
	return nil
}

func (p *prettyPrinter) formatDict(d *python.Dict, indent, allowance, level int) error {
	p.out.WriteByte('{')
	indent++
	allowance++
	for i, at := range p.keyOrder(d) {
		key, val := d.At(at)
		room := 1
		if i > 0 {
			if err := p.newLine(",", indent); err != nil {
				return err
			}
		}
		if i == d.Len()-1 {
			room = allowance
		}
		repr := python.Repr(p.sortedKeys(key, 0))
		p.out.WriteString(repr + ": ")
		if err := p.format(val, indent+runeCount(repr)+2, room, level); err != nil {
			return err
		}
	}
	p.out.WriteByte('}')
	return nil
}

// formatText prints a long text as several literals, one per line.
func (p *prettyPrinter) formatText(s string, indent, allowance, level int) error {
	if s == "" {
		p.out.WriteString("''")
		return nil
	}
	if level == 1 {
		indent++
		allowance++
	}
	var chunks []string
	held := p.c.meter.Held()
	if err := p.c.meter.Hold(32 * strings.Count(s, "\n")); err != nil { // the lines, and what is printed of each
		return err
	}
	defer p.c.meter.Release(held)
	lines, err := python.SplitLines(&p.c.meter, s, true)
	if err != nil {
		return err
	}
	for i, line := range lines {
		if err := p.c.Step(3); err != nil {
			return err
		}
		last := i == len(lines)-1
		room := prettyWidth - indent
		lastRoom := room
		if last {
			lastRoom -= allowance
		}
		if fits(python.Str(line), lastRoom) {
			if repr := python.Repr(python.Str(line)); runeCount(repr) <= lastRoom {
				chunks = append(chunks, repr)
				continue
			}
		}
		current := ""
		for rest := line; rest != ""; {
			part := wordWithSpace(rest)
			rest = rest[len(part):]
			if rest == "" && last {
				room -= allowance
			}
			if err := p.c.meter.SpendBytes(len(current)+len(part)+100, reprNanos); err != nil {
				return err
			}
			if candidate := python.Str(current + part); !fits(candidate, room) || runeCount(python.Repr(candidate)) > room {
				if current != "" {
					chunks = append(chunks, python.Repr(python.Str(current)))
				}
				current = part
			} else {
				current += part
			}
		}
		if current != "" {
			chunks = append(chunks, python.Repr(python.Str(current)))
		}
	}
	if len(chunks) == 1 {
		p.out.WriteString(chunks[0])
		return nil
	}
	if level == 1 {
		p.out.WriteByte('(')
	}
	for i, chunk := range chunks {
		if i > 0 {
			if err := p.newLine("", indent); err != nil {
				return err
			}
		}
		p.out.WriteString(chunk)
	}
	if level == 1 {
		p.out.WriteByte(')')
	}
	return nil
}

func (p *prettyPrinter) newLine(before string, indent int) error {
	if n := p.out.Len() + indent; n > p.c.limits.String {
		return p.c.Grow(n)
	}
	// It is written twice, and copied when the output grows.
	if err := p.c.meter.SpendBytes(indent, 4*copyNanos); err != nil {
		return err
	}
	p.out.WriteString(before + "\n" + strings.Repeat(" ", indent))
	return nil
}

// wordWithSpace returns the word that s starts with and the white space behind it.
func wordWithSpace(s string) string {
	i := 0
	for i < len(s) && spaceAt(s, i) == 0 {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return s[:skipSpace(s, i)]
}

// sortedKeys copies dicts, also inside lists and tuples, with sorted keys.
func (p *prettyPrinter) sortedKeys(v python.Value, depth int) python.Value {
	if depth > maxPrettyDepth {
		return v
	}
	sortAll := func(items []python.Value) []python.Value {
		out := make([]python.Value, len(items))
		for i, item := range items {
			out[i] = p.sortedKeys(item, depth+1)
		}
		return out
	}
	switch v := v.(type) {
	case *python.List:
		return python.NewList(sortAll(v.Items)...)
	case *python.Tuple:
		return python.NewTuple(sortAll(v.Items)...)
	case *python.Dict:
		out := python.NewDict(v.Len())
		for _, i := range p.keyOrder(v) {
			key, val := v.At(i)
			_ = out.Set(key, p.sortedKeys(val, depth+1)) // it was a key before
		}
		return out
	}
	return v
}

func (p *prettyPrinter) keyOrder(d *python.Dict) []int {
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		keyA, _ := d.At(a)
		keyB, _ := d.At(b)
		return p.compareKeys(keyA, keyB)
	})
	return order
}

// compareKeys orders comparable keys, and others by type.
func (p *prettyPrinter) compareKeys(a, b python.Value) int {
	less, err := python.Compare(&p.c.meter, python.LT, a, b)
	if err != nil {
		return strings.Compare(a.TypeName(), b.TypeName())
	}
	if less {
		return -1
	}
	if greater, _ := python.Compare(&p.c.meter, python.LT, b, a); greater {
		return 1
	}
	return 0
}
