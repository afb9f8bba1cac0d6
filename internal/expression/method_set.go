// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func (e *evaluator) setMethod(s *python.Set, name string, args arguments) (python.Value, error) {
	a := args.positional
	lo, hi := 0, math.MaxInt
	switch name {
	case "add", "discard", "remove", "issubset", "issuperset", "isdisjoint", "symmetric_difference", "symmetric_difference_update":
		lo, hi = 1, 1
	case "clear", "copy", "pop":
		hi = 0
	}
	if err := args.count("set."+name, lo, hi); err != nil {
		return nil, err
	}
	switch name {
	case "add":
		if err := e.holdEntries(1); err != nil {
			return nil, err
		}
	default:
		if err := e.holdEntries(s.Len()); err != nil {
			return nil, err
		}
		if err := e.chargeKeys(members(s)); err != nil {
			return nil, err
		}
	}
	others := make([]*python.Set, 0, len(a))
	switch name {
	case "add":
		if err := e.chargeKey(a[0]); err != nil {
			return nil, err
		}
		return python.None, s.Add(a[0])
	case "clear":
		*s = python.Set{}
		return python.None, nil
	case "copy":
		return e.plainMethod(s, name, nil)
	case "pop":
		if s.Len() == 0 {
			return nil, faultf("KeyError", -1, "pop from an empty set")
		}
		if s.Len() > 1 {
			return nil, faultf(FeatureNotAvailable, -1, "which member pop() takes of a set is not defined")
		}
		v := s.At(0)
		return v, filterSet(s, func(m python.Value) (bool, error) { eq, err := e.equal(m, v); return !eq, err })
	case "discard", "remove":
		has, err := s.Has(a[0])
		if err != nil {
			return nil, err
		}
		if !has && name == "remove" {
			return nil, faultf("KeyError", -1, "the set has no such member")
		}
		return python.None, filterSet(s, func(m python.Value) (bool, error) { eq, err := e.equal(m, a[0]); return !eq, err })
	}
	for _, v := range a {
		items, err := python.Items(&e.meter, v)
		if err != nil {
			return nil, err
		}
		o, err := e.newSet(items)
		if err != nil {
			return nil, err
		}
		others = append(others, o)
	}
	inAll := func(o []*python.Set, want bool) func(python.Value) (bool, error) {
		return func(m python.Value) (bool, error) {
			for _, other := range o {
				if has, err := other.Has(m); err != nil || has != want {
					return false, err
				}
			}
			return true, nil
		}
	}
	out, err := python.NewSet(members(s)...)
	if err != nil {
		return nil, err
	}
	base, update := strings.CutSuffix(name, "_update")
	if name == "update" {
		base, update = "union", true
	}
	switch base {
	case "union":
		for _, o := range others {
			for _, m := range members(o) {
				if err := out.Add(m); err != nil {
					return nil, err
				}
			}
		}
	case "intersection":
		err = filterSet(out, inAll(others, true))
	case "difference":
		err = filterSet(out, inAll(others, false))
	case "symmetric_difference":
		extra, _ := python.NewSet(members(others[0])...)
		if err = filterSet(extra, inAll([]*python.Set{s}, false)); err == nil {
			err = filterSet(out, inAll(others, false))
		}
		for _, m := range members(extra) {
			_ = out.Add(m)
		}
	case "issubset":
		ok, err := python.Compare(&e.meter, python.LE, s, others[0])
		return python.Bool(ok), err
	case "issuperset":
		ok, err := python.Compare(&e.meter, python.GE, s, others[0])
		return python.Bool(ok), err
	case "isdisjoint":
		err = filterSet(out, inAll(others, true))
		return python.Bool(out.Len() == 0), err
	}
	if err != nil {
		return nil, err
	}
	if update {
		*s = *out
		return python.None, nil
	}
	return out, nil
}

func members(s *python.Set) []python.Value {
	out := make([]python.Value, s.Len())
	for i := range out {
		out[i] = s.At(i)
	}
	return out
}

func filterSet(s *python.Set, keep func(python.Value) (bool, error)) error {
	out, _ := python.NewSet()
	for _, m := range members(s) {
		ok, err := keep(m)
		if err != nil {
			return err
		}
		if ok {
			if err := out.Add(m); err != nil {
				return err
			}
		}
	}
	*s = *out
	return nil
}
