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
		&Filter{Name: "dictsort", Func: sortBy(false), Arg: RequiredArg},
		&Filter{Name: "dictsortreversed", Func: sortBy(true), Arg: RequiredArg},
		&Filter{Name: "first", Func: itemAt(0)},
		&Filter{Name: "join", Func: join, Arg: RequiredArg, IsSafe: true, NeedsAutoescape: true},
		&Filter{Name: "last", Func: itemAt(-1), IsSafe: true},
		&Filter{Name: "length", Func: length},
		&Filter{Name: "length_is", Func: lengthIs, Arg: RequiredArg},
		&Filter{Name: "random", Func: random, IsSafe: true},
		&Filter{Name: "slice", Func: slice, Arg: RequiredArg, IsSafe: true},
		&Filter{Name: "unordered_list", Func: unorderedList, IsSafe: true, NeedsAutoescape: true},
	)
}

// sortBy sorts by a property of the items, stably. What can't be sorted is "".
func sortBy(reversed bool) FilterFunc {
	return func(c *Context, in, arg python.Value) (python.Value, error) {
		sorted, err := sortItems(c, in, arg, reversed)
		if python.IsError(err, "AttributeError", "TypeError") {
			return python.Str(""), nil
		}
		return sorted, err
	}
}

func sortItems(c *Context, in, arg python.Value, reversed bool) (python.Value, error) {
	property, err := propertyOf(arg)
	if err != nil {
		return nil, err
	}
	items, err := python.Items(in)
	if err != nil {
		return nil, err
	}
	if err := c.Step(len(items) * 4); err != nil {
		return nil, err
	}
	type keyed struct{ item, key python.Value }
	rows := make([]keyed, len(items))
	for i, item := range items {
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
		less, err := python.Compare(python.LT, a.key, b.key)
		if err == nil && less {
			return -1
		}
		if err == nil {
			if less, err = python.Compare(python.LT, b.key, a.key); err == nil && less {
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

// propertyOf gives the lookup for a sort's argument: an index if it reads as a
// number, else a dotted path of keys and attributes.
func propertyOf(arg python.Value) (func(python.Value) (python.Value, error), error) {
	_, err := python.ToFloat(arg)
	if err == nil {
		return func(v python.Value) (python.Value, error) { return python.GetItem(v, arg) }, nil
	}
	if !python.IsError(err, "ValueError") {
		return nil, err
	}
	path, _ := python.AsStr(arg)
	if path == "" {
		return nil, python.Errorf("IndexError", "string index out of range")
	}
	if path[0] == '_' || strings.Contains(path, "._") {
		return nil, python.Errorf("AttributeError", "Access to private variables is forbidden.")
	}
	parts := strings.Split(path, ".")
	return func(v python.Value) (python.Value, error) {
		for _, part := range parts {
			next, err := python.GetItem(v, python.Str(part))
			if err != nil {
				var ok bool
				if next, ok = python.Attr(v, part); !ok {
					return nil, python.Errorf("AttributeError", "'%s' object has no attribute '%s'", v.TypeName(), part)
				}
			}
			v = next
		}
		return v, nil
	}, nil
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
	items, err := python.Items(in)
	if err != nil {
		return in, nil //nolint:nilerr // as in Django, what can't be joined stays
	}
	if err := c.Step(len(items)); err != nil {
		return nil, err
	}
	texts := make([]string, len(items))
	size := 0
	for i, item := range items {
		if c.Autoescape() {
			texts[i] = string(ConditionalEscape(item))
		} else if s, ok := python.AsStr(item); ok {
			texts[i] = s
		} else {
			return in, nil // only text can be joined
		}
		size += len(texts[i])
	}
	separator := string(ConditionalEscape(arg))
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
		return nil, python.Errorf("IndexError", "Cannot choose from an empty sequence")
	}
	return python.GetItem(in, python.Int(rand.IntN(n)))
}

func slice(_ *Context, in, arg python.Value) (python.Value, error) {
	parts := strings.Split(python.StrOf(arg), ":")
	bounds := [3]python.Value{python.None, python.None, python.None}
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
	v, err := python.Slice(in, bounds[0], bounds[1], bounds[2])
	if python.IsError(err, "ValueError", "TypeError") {
		return in, nil
	}
	return v, err
}

// maxListDepth bounds the lists within lists that unordered_list follows.
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
	items, err := python.Items(list)
	if err != nil {
		return err
	}
	if err := c.Step(len(items)); err != nil {
		return err
	}
	indent := strings.Repeat("\t", depth)
	for i := 0; i < len(items); i++ {
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
		if err := c.Grow(len(s) + len(indent)); err != nil {
			return err
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
