// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"slices"

	"github.com/rehive/extension-operator/internal/python"
)

// Python's lists and dicts have methods that modify them, which Django calls like any
// other: {{ names.pop }} prints the last name and removes it from the list. A template that
// uses such a method gets its own copy of the data, which is otherwise shared.

// alters reports whether lists or dicts have a method with a name that modifies them and
// takes no arguments.
func alters(name string) bool {
	switch name {
	case "clear", "pop", "popitem", "reverse", "sort", "update":
		return true
	}
	return false
}

// alter calls such a method. ok is false if the value has none with the name.
func (c *Context) alter(v python.Value, name string) (result python.Value, ok bool, err error) {
	switch v := v.(type) {
	case *python.List:
		switch name {
		case "clear":
			v.Items = nil
		case "pop":
			n := len(v.Items)
			if n == 0 {
				return nil, true, python.Errorf("IndexError", "pop from empty list")
			}
			last := v.Items[n-1]
			v.Items = v.Items[:n-1]
			return last, true, nil
		case "reverse":
			err = c.rearrange(v, func(items []python.Value) error {
				slices.Reverse(items)
				return nil
			})
		case "sort":
			err = c.rearrange(v, c.sortValues)
		default:
			return nil, false, nil
		}
	case *python.Dict:
		switch name {
		case "clear":
			v.Truncate(0)
		case "popitem":
			n := v.Len()
			if n == 0 {
				return nil, true, python.Errorf("KeyError", "popitem(): dictionary is empty")
			}
			key, val := v.At(n - 1)
			v.Truncate(n - 1)
			return python.NewTuple(key, val), true, nil
		case "update":
		default:
			return nil, false, nil
		}
	default:
		return nil, false, nil
	}
	return python.None, true, err
}

// rearrange reorders a list's items in a new array, so that they stay as they are if that
// fails.
func (c *Context) rearrange(l *python.List, order func([]python.Value) error) error {
	if err := c.meter.Spend(1 + len(l.Items)/4); err != nil {
		return err
	}
	if err := c.meter.Keep(len(l.Items) * python.ItemBytes); err != nil {
		return err
	}
	items := slices.Clone(l.Items)
	if err := order(items); err != nil {
		return err
	}
	l.Items = items
	return nil
}

func (c *Context) sortValues(items []python.Value) error {
	var failed error
	less := func(a, b python.Value) bool {
		if failed != nil {
			return false
		}
		var ok bool
		ok, failed = python.Compare(&c.meter, python.LT, a, b)
		return ok
	}
	slices.SortStableFunc(items, func(a, b python.Value) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
	return failed
}

// copyData returns a copy of the lists and dicts of the data.
func (c *Context) copyData(data *python.Dict) (*python.Dict, error) {
	if data == nil {
		return nil, nil //nolint:nilnil // no data
	}
	if _, err := python.Weigh(&c.meter, data); err != nil { // bounds the depth, too
		return nil, err
	}
	done := map[python.Value]python.Value{}
	var clone func(v python.Value) (python.Value, error)
	clone = func(v python.Value) (python.Value, error) {
		switch v := v.(type) {
		case *python.List:
			if made, ok := done[v]; ok {
				return made, nil
			}
			if err := c.meter.Keep((1 + len(v.Items)) * python.ItemBytes); err != nil {
				return nil, err
			}
			if err := c.meter.Spend(1 + len(v.Items)); err != nil {
				return nil, err
			}
			out := python.NewList(make([]python.Value, len(v.Items))...)
			done[v] = out
			for i, item := range v.Items {
				var err error
				if out.Items[i], err = clone(item); err != nil {
					return nil, err
				}
			}
			return out, nil
		case *python.Dict:
			if made, ok := done[v]; ok {
				return made, nil
			}
			if err := c.meter.Keep((1 + v.Len()) * python.EntryBytes); err != nil {
				return nil, err
			}
			if err := c.meter.Spend(1 + 2*v.Len()); err != nil {
				return nil, err
			}
			out := python.NewDict(v.Len())
			done[v] = out
			for i := range v.Len() {
				key, val := v.At(i)
				val, err := clone(val)
				if err == nil {
					err = out.Set(key, val)
				}
				if err != nil {
					return nil, err
				}
			}
			return out, nil
		}
		return v, nil
	}
	out, err := clone(data)
	if err != nil {
		return nil, err
	}
	return out.(*python.Dict), nil
}
