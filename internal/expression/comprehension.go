// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// comprehension returns a list, also for (… for …). As in simpleeval, its names have their
// own scope, which nested expressions can see.
func (e *evaluator) comprehension(n *comprehensionNode) (python.Value, error) {
	e.scope = &scope{outer: e.scope, names: map[string]python.Value{}}
	defer func() { e.scope = e.scope.outer }()
	out := &python.List{}
	return out, e.generate(n, 0, out)
}

func (e *evaluator) generate(n *comprehensionNode, depth int, out *python.List) error {
	e.frames++
	defer func() { e.frames-- }()
	g := &n.generators[depth]
	iter, err := e.eval(g.iter)
	if err != nil {
		return err
	}
	return e.each(iter, func(item python.Value) error {
		if e.turns++; e.turns > maxComprehension {
			return faultf(IterableTooLong, n.offset(), "the comprehensions take more than %d turns", maxComprehension)
		}
		if err := e.bind(g.target, item); err != nil {
			return faultAt(err, g.target.offset())
		}
		for _, c := range g.conds {
			e.frames++
			ok, err := e.eval(c)
			e.frames--
			if err != nil {
				return err
			}
			if !truth(ok) {
				return nil
			}
		}
		if depth+1 < len(n.generators) {
			return e.generate(n, depth+1, out)
		}
		v, err := e.eval(n.element)
		if err != nil {
			return err
		}
		out.Items = append(out.Items, v)
		return e.growItems(2)
	})
}

// each calls f for every item. Like Python, it sees changes that f makes to a list, and
// fails on changes to a dict.
func (e *evaluator) each(v python.Value, f func(python.Value) error) error {
	switch v := v.(type) {
	case *python.List:
		for i := 0; i < len(v.Items); i++ {
			if err := f(v.Items[i]); err != nil {
				return err
			}
		}
		return nil
	case *python.Dict:
		return e.eachUnchanged(v.Len, func(i int) python.Value { k, _ := v.At(i); return k }, f)
	case python.Str:
		for s := string(v); s != ""; {
			_, n := utf8.DecodeRuneInString(s)
			if err := f(python.Str(s[:n])); err != nil {
				return err
			}
			s = s[n:]
		}
		return nil
	case python.Sequence:
		return e.eachUnchanged(v.Len, v.At, f)
	}
	seq, err := python.Iterate(v)
	if err != nil {
		return err
	}
	for item := range seq {
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluator) eachUnchanged(size func() int, at func(int) python.Value, f func(python.Value) error) error {
	n := size()
	for i := range n {
		if size() != n {
			return faultf("RuntimeError", -1, "a dict or set changed its size while it was read")
		}
		if err := f(at(i)); err != nil {
			return err
		}
	}
	if size() != n {
		return faultf("RuntimeError", -1, "a dict or set changed its size while it was read")
	}
	return nil
}

// bind assigns the values to the names between for and in. Too few or too many values are
// not a fault in simpleeval.
func (e *evaluator) bind(target node, value python.Value) error {
	var targets []node
	switch t := ungroup(target).(type) {
	case *nameNode:
		e.scope.names[t.name] = value
		return nil
	case *tupleNode:
		targets = t.items
	case *listNode:
		targets = t.items
	default:
		return faultf(FeatureNotAvailable, target.offset(), "only names are allowed between 'for' and 'in'")
	}
	items, err := python.Items(&e.meter, value)
	if err != nil {
		return err
	}
	if err := e.charge(len(targets)); err != nil {
		return err
	}
	for i, t := range targets {
		if i >= len(items) {
			break
		}
		if err := e.bind(t, items[i]); err != nil {
			return err
		}
	}
	return nil
}
