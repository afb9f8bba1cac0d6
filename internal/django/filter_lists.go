// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "dictsort", Func: sortBy(false), Arg: RequiredArg, Strict: StrictArg, Reads: ReadsItems},
		&Filter{Name: "dictsortreversed", Func: sortBy(true), Arg: RequiredArg, Strict: StrictArg, Reads: ReadsItems},
		&Filter{Name: "first", Func: itemAt(0), Reads: ReadsValue, Nanos: 2},
		&Filter{Name: "join", Func: join, Arg: RequiredArg, IsSafe: true, NeedsAutoescape: true, Nanos: 12},
		&Filter{Name: "last", Func: itemAt(-1), IsSafe: true, Reads: ReadsValue, Nanos: 3},
		&Filter{Name: "length", Func: length, Reads: ReadsValue, Nanos: 2},
		&Filter{Name: "length_is", Func: lengthIs, Arg: RequiredArg, Strict: StrictArg, Reads: ReadsValue, Nanos: 2},
		&Filter{Name: "random", Func: random, IsSafe: true, Reads: ReadsValue, Nanos: 6},
		&Filter{Name: "slice", Func: slice, Arg: RequiredArg, Strict: StrictInput, IsSafe: true, Reads: ReadsItems},
		&Filter{Name: "unordered_list", Func: unorderedList, IsSafe: true, NeedsAutoescape: true, Nanos: 20},
	)
}

// sortBy sorts stably by a property of the items. A value that can't be sorted becomes "".
func sortBy(reversed bool) FilterFunc {
	return func(c *Context, in, arg python.Value) (python.Value, error) {
		held := c.meter.Held()
		defer c.meter.Release(held) // apply counts what is made
		sorted, err := sortItems(c, in, arg, reversed)
		if python.IsError(err, "AttributeError", "TypeError") {
			return python.Str(""), nil
		}
		return sorted, err
	}
}

func sortItems(c *Context, in, arg python.Value, reversed bool) (python.Value, error) {
	property, parts, err := propertyOf(arg)
	if err != nil {
		return nil, err
	}
	items, err := python.Items(&c.meter, in)
	if err != nil {
		return nil, err
	}
	if err := c.meter.Hold(len(items) * 2 * python.ItemBytes); err != nil {
		return nil, err
	}
	type keyed struct{ item, key python.Value }
	rows := make([]keyed, len(items))
	for i, item := range items {
		if err := c.Step(parts); err != nil {
			return nil, err
		}
		key, err := property(item)
		if err != nil {
			return nil, err
		}
		rows[i] = keyed{item, key}
	}
	var failed error
	slices.SortStableFunc(rows, func(a, b keyed) int {
		if failed != nil {
			return 0
		}
		if reversed {
			a, b = b, a
		}
		less, err := python.Compare(&c.meter, python.LT, a.key, b.key)
		if err == nil && less {
			return -1
		}
		if err == nil {
			if less, err = python.Compare(&c.meter, python.LT, b.key, a.key); err == nil && less {
				return 1
			}
		}
		failed = err
		return 0
	})
	if failed != nil {
		return nil, failed
	}
	out := make([]python.Value, len(rows))
	for i, row := range rows {
		out[i] = row.item
	}
	return python.NewList(out...), nil
}

// propertyOf returns the lookup for a sort's argument: an index if it is a number, or else
// a dotted path of keys and attributes.
func propertyOf(arg python.Value) (property func(python.Value) (python.Value, error), cost int, err error) {
	_, err = python.ToFloat(arg)
	if err == nil {
		return func(v python.Value) (python.Value, error) { return python.GetItem(v, arg) }, 2, nil
	}
	if !python.IsError(err, "ValueError") {
		return nil, 0, err
	}
	path, _ := python.AsStr(arg)
	if path == "" {
		return nil, 0, python.Errorf("IndexError", "string index out of range")
	}
	if path[0] == '_' || strings.Contains(path, "._") {
		return nil, 0, python.Errorf("AttributeError", "Access to private variables is forbidden.")
	}
	parts := strings.Split(path, ".")
	return func(v python.Value) (python.Value, error) {
		for _, part := range parts {
			next, err := python.GetItem(v, python.Str(part))
			if err != nil {
				var ok bool
				if next, ok = python.Attr(v, part); !ok {
					return nil, python.Errorf("AttributeError", "'%s' object lacks the attribute to sort by", v.TypeName())
				}
			}
			v = next
		}
		return v, nil
	}, 2 + len(parts), nil
}

func itemAt(index python.Int) FilterFunc {
	return func(_ *Context, in, _ python.Value) (python.Value, error) {
		v, err := python.GetItem(in, index)
		if python.IsError(err, "IndexError") {
			return python.Str(""), nil
		}
		return v, err
	}
}

func join(c *Context, in, arg python.Value) (python.Value, error) {
	separator, isText := python.AsStr(arg)
	if !isText && !c.Autoescape() {
		return nil, noAttribute(arg, "join")
	}
	items, err := python.Items(&c.meter, in)
	if err != nil {
		return in, nil //nolint:nilerr // as in Django, what can't be joined stays
	}
	texts := make([]string, len(items))
	size := 0
	for i, item := range items {
		if err := c.Step(1); err != nil {
			return nil, err
		}
		if c.Autoescape() {
			texts[i] = string(ConditionalEscape(item))
		} else if s, ok := python.AsStr(item); ok {
			texts[i] = s
		} else {
			return in, nil // only text can be joined
		}
		size += len(texts[i])
	}
	if c.Autoescape() {
		separator = string(ConditionalEscape(arg))
	}
	if err := c.Grow(size + len(separator)*len(texts)); err != nil {
		return nil, err
	}
	return python.SafeStr(strings.Join(texts, separator)), nil
}

func length(_ *Context, in, _ python.Value) (python.Value, error) {
	n, err := python.Len(in)
	if err != nil {
		return python.Int(0), nil //nolint:nilerr // as in Django
	}
	return python.Int(n), nil
}

func lengthIs(_ *Context, in, arg python.Value) (python.Value, error) {
	n, err := python.Len(in)
	if err == nil {
		var want python.Value
		if want, err = python.ToInt(arg); err == nil {
			return python.Bool(python.Equal(python.Int(n), want)), nil
		}
	}
	if python.IsError(err, "ValueError", "TypeError") {
		return python.Str(""), nil
	}
	return nil, err
}

func random(_ *Context, in, _ python.Value) (python.Value, error) {
	n, err := python.Len(in)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return python.Str(""), nil
	}
	return python.GetItem(in, python.Int(rand.IntN(n)))
}

func slice(_ *Context, in, arg python.Value) (python.Value, error) {
	bounds := [3]python.Value{python.None, python.None, python.None}
	parts := strings.SplitN(python.StrOf(arg), ":", len(bounds)+1)
	if len(parts) > len(bounds) {
		return in, nil
	}
	for i, part := range parts {
		if part == "" {
			continue
		}
		n, err := python.ToInt(python.Str(part))
		if err != nil {
			return in, nil //nolint:nilerr // as in Django, a bad slice changes nothing
		}
		bounds[i] = n
	}
	if len(parts) == 1 { // slice(n) stops at n
		bounds[0], bounds[1] = python.None, bounds[0]
	}
	if _, isDict := in.(*python.Dict); isDict { // since Python 3.12, a slice can be a key
		return nil, python.Errorf("KeyError", "slice(%s, %s, %s)", python.Repr(bounds[0]), python.Repr(bounds[1]), python.Repr(bounds[2]))
	}
	v, err := python.Slice(unwrap(in), bounds[0], bounds[1], bounds[2])
	if python.IsError(err, "ValueError", "TypeError") {
		return in, nil
	}
	return v, err
}

// maxListDepth limits the nesting of lists in unordered_list.
const maxListDepth = 100

func unorderedList(c *Context, in, _ python.Value) (python.Value, error) {
	var b strings.Builder
	if err := appendUnorderedList(c, &b, in, 1); err != nil {
		return nil, err
	}
	return python.SafeStr(b.String()), nil
}

// appendUnorderedList writes the <li> elements of a list; a list or tuple that
// follows an item is the list below it.
func appendUnorderedList(c *Context, b *strings.Builder, list python.Value, depth int) error {
	if depth > maxListDepth {
		return python.Errorf("RecursionError", "maximum recursion depth exceeded")
	}
	if err := c.Grow(b.Len()); err != nil {
		return err
	}
	items, err := python.Items(&c.meter, list)
	if err != nil {
		return err
	}
	indent := strings.Repeat("\t", depth)
	for i := 0; i < len(items); i++ {
		if err := c.Step(2); err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		item := items[i]
		var s string
		if c.Autoescape() {
			s = string(ConditionalEscape(item))
		} else {
			s = python.StrOf(item)
		}
		if n := b.Len() + len(s) + len(indent); n > c.limits.String {
			return c.Grow(n)
		}
		b.WriteString(indent + "<li>" + s)
		if i+1 < len(items) && isListOrTuple(items[i+1]) {
			i++
			if python.Truth(items[i]) {
				b.WriteString("\n" + indent + "<ul>\n")
				if err := appendUnorderedList(c, b, items[i], depth+1); err != nil {
					return err
				}
				b.WriteString("\n" + indent + "</ul>\n" + indent)
			}
		}
		b.WriteString("</li>")
	}
	return nil
}

func isListOrTuple(v python.Value) bool {
	switch v.(type) {
	case *python.List, *python.Tuple:
		return true
	}
	return false
}
