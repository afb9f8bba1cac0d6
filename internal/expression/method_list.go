// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"slices"
	"sort"

	"github.com/rehive/extension-operator/internal/python"
)

func (e *evaluator) listMethod(l *python.List, name string, args arguments) (python.Value, error) {
	a := args.positional
	count := func(lo, hi int) error { return args.count("list."+name, lo, hi) }
	switch name {
	case "append":
		if err := count(1, 1); err != nil {
			return nil, err
		}
		if err := e.growItems(2); err != nil {
			return nil, err
		}
		l.Items = append(l.Items, a[0])
		return python.None, nil
	case "extend":
		if err := count(1, 1); err != nil {
			return nil, err
		}
		items, err := python.Items(&e.meter, a[0])
		if err != nil {
			return nil, err
		}
		if err := e.growList(l, len(items)); err != nil {
			return nil, err
		}
		l.Items = append(l.Items[:len(l.Items):len(l.Items)], items...)
		return python.None, nil
	case "insert", "pop":
		i := int64(len(l.Items) - 1)
		lo, hi := 2, 2
		if name == "pop" {
			lo, hi = 0, 1
		}
		if err := count(lo, hi); err != nil {
			return nil, err
		}
		if len(a) > 0 {
			var ok bool
			if i, ok = python.AsInt(a[0]); !ok {
				return nil, typeError("'%s' object cannot be interpreted as an integer", a[0].TypeName())
			}
			if i < 0 {
				i += int64(len(l.Items))
			}
		}
		if name == "insert" {
			i = max(min(i, int64(len(l.Items))), 0)
			if err := e.moveItems(len(l.Items)); err != nil {
				return nil, err
			}
			if err := e.growItems(2); err != nil {
				return nil, err
			}
			l.Items = slices.Insert(l.Items, int(i), a[1])
			return python.None, nil
		}
		if len(l.Items) == 0 {
			return nil, faultf("IndexError", -1, "pop from empty list")
		}
		if i < 0 || i >= int64(len(l.Items)) {
			return nil, faultf("IndexError", -1, "pop index out of range")
		}
		v := l.Items[i]
		l.Items = slices.Delete(l.Items, int(i), int(i)+1)
		return v, e.moveItems(len(l.Items))
	case "remove":
		if err := count(1, 1); err != nil {
			return nil, err
		}
		for i, it := range l.Items {
			eq, err := e.equal(it, a[0])
			if err != nil {
				return nil, err
			}
			if eq {
				l.Items = slices.Delete(l.Items, i, i+1)
				return python.None, e.moveItems(len(l.Items))
			}
		}
		return nil, valueError("list.remove(x): x not in list")
	case "clear":
		l.Items = nil
		return python.None, count(0, 0)
	case "reverse":
		if err := e.moveItems(len(l.Items)); err != nil {
			return nil, err
		}
		for i, j := 0, len(l.Items)-1; i < j; i, j = i+1, j-1 {
			l.Items[i], l.Items[j] = l.Items[j], l.Items[i]
		}
		return python.None, count(0, 0)
	case "sort":
		return e.sort(l, args)
	}
	if name == "index" && len(a) > 1 {
		return nil, faultf(FeatureNotAvailable, -1, "index() with a start is not available")
	}
	return e.plainMethod(l, name, a)
}

func (e *evaluator) growList(l *python.List, n int) error {
	if len(l.Items)+n > python.MaxLen {
		return faultf(LimitExceeded, -1, "the list would become too long")
	}
	return e.growItems(len(l.Items) + n)
}

func (e *evaluator) sort(l *python.List, args arguments) (python.Value, error) {
	if len(args.positional) > 0 {
		return nil, typeError("sort() takes no positional arguments")
	}
	a, err := args.spread("sort", "key", "reverse")
	if err != nil {
		return nil, err
	}
	if err := e.growItems(3 * len(l.Items)); err != nil {
		return nil, err
	}
	items := append([]python.Value(nil), l.Items...)
	keys := items
	if a[0] != nil && a[0] != python.None {
		keys = make([]python.Value, len(items))
		for i, it := range items {
			if keys[i], err = e.made(e.callValue(a[0], arguments{positional: []python.Value{it}})); err != nil {
				return nil, err
			}
		}
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	op := python.LT
	if a[1] != nil && truth(a[1]) {
		op = python.GT
	}
	var fault error
	sort.SliceStable(order, func(i, j int) bool {
		if fault != nil {
			return false
		}
		x, y := keys[order[i]], keys[order[j]]
		if fault = e.charge(1); fault != nil {
			return false
		}
		var less bool
		less, fault = python.Compare(&e.meter, op, x, y)
		return less
	})
	if fault != nil {
		return nil, fault
	}
	sorted := make([]python.Value, len(items))
	for i, j := range order {
		sorted[i] = items[j]
	}
	l.Items = sorted
	return python.None, nil
}
