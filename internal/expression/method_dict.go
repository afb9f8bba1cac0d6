// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"github.com/rehive/extension-operator/internal/python"
)

func (e *evaluator) dictMethod(d *python.Dict, name string, args arguments) (python.Value, error) {
	a := args.positional
	count := func(lo, hi int) error { return args.count("dict."+name, lo, hi) }
	switch name {
	case "fromkeys":
		return e.classMethod(name, a)
	case "clear":
		*d = *python.NewDict(0)
		return python.None, count(0, 0)
	case "pop":
		if err := count(1, 2); err != nil {
			return nil, err
		}
		v, ok, err := d.Get(a[0])
		switch {
		case err != nil:
			return nil, err
		case ok:
			return v, e.remove(d, a[0])
		case len(a) == 2:
			return a[1], nil
		}
		return nil, faultf("KeyError", -1, "the dict has no such key")
	case "popitem":
		if err := count(0, 0); err != nil {
			return nil, err
		}
		if d.Len() == 0 {
			return nil, faultf("KeyError", -1, "popitem(): dictionary is empty")
		}
		k, v := d.At(d.Len() - 1)
		return python.NewTuple(k, v), e.remove(d, k)
	case "setdefault":
		if err := count(1, 2); err != nil {
			return nil, err
		}
		v, ok, err := d.Get(a[0])
		if err != nil || ok {
			return v, err
		}
		val := python.None
		if len(a) == 2 {
			val = a[1]
		}
		if err := e.holdEntries(1); err != nil {
			return nil, err
		}
		if err := e.chargeKey(a[0]); err != nil {
			return nil, err
		}
		return val, d.Set(a[0], val)
	case "update":
		if len(a) > 1 {
			return nil, typeError("update expected at most 1 argument, got %d", len(a))
		}
		if len(a) == 1 {
			if err := e.update(d, a[0]); err != nil {
				return nil, err
			}
		}
		for i, name := range args.names {
			d.SetStr(name, args.named[i])
		}
		return python.None, nil
	}
	return e.plainMethod(d, name, a)
}

// remove removes a key, which package python doesn't support.
func (e *evaluator) remove(d *python.Dict, key python.Value) error {
	if err := e.charge(2 * d.Len()); err != nil {
		return err
	}
	keys, _ := python.Items(nil, d)
	if err := e.chargeKeys(keys); err != nil {
		return err
	}
	gone, err := python.HashKey(key)
	if err != nil {
		return err
	}
	out := python.NewDict(d.Len())
	for i := range d.Len() {
		k, v := d.At(i)
		if h, err := python.HashKey(k); err == nil && h == gone {
			continue
		}
		if err := out.Set(k, v); err != nil {
			return err
		}
	}
	*d = *out
	return nil
}
