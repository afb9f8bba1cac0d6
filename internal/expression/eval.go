// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// evaluator is an evaluation in progress.
type evaluator struct {
	meter meter.Meter
	slots []slotData

	frames  int
	turns   int // of all comprehensions
	changes int // of lists, dicts and sets, which may refer to created values
	scope   *scope
	trace   *Trace // of comparisons; nil for none
}

// scope holds the names of one comprehension.
type scope struct {
	outer *scope
	names map[string]python.Value
}

// eval returns the value of a node, like simpleeval's _eval, which uses two Python frames.
func (e *evaluator) eval(n node) (python.Value, error) {
	switch n := n.(type) { // what needs no checks
	case *constantNode:
		return e.constant(n)
	case *groupNode:
		return e.eval(n.inner)
	}
	if e.frames += 2; e.frames > maxFrames {
		return nil, faultf(RecursionError, n.offset(), "the expression is nested too deeply")
	}
	held, changes := e.meter.Held(), e.changes
	v, err := e.visit(n)
	e.frames -= 2
	if err == nil {
		err = e.charge(1)
	}
	if err == nil {
		err = e.checkResult(v)
	}
	if err != nil {
		return nil, faultAt(err, n.offset())
	}
	switch v.(type) {
	case python.Bool, python.Int, python.Float, python.NoneType:
		if e.changes == changes { // nothing refers to intermediate values
			e.meter.Release(held)
		}
	}
	return v, nil
}

func (e *evaluator) constant(n *constantNode) (python.Value, error) {
	if e.frames+2 > maxFrames {
		return nil, faultf(RecursionError, n.offset(), "the expression is nested too deeply")
	}
	if err := checkLiteral(n.value); err != nil {
		return nil, faultAt(err, n.offset())
	}
	if err := e.charge(1); err != nil {
		return nil, err
	}
	return n.value, nil
}

// checkLiteral rejects literals that are too long for simpleeval.
func checkLiteral(v python.Value) error {
	switch v := v.(type) {
	case python.Str:
		if len(v) > maxString && utf8.RuneCountInString(string(v)) > maxString {
			return faultf(IterableTooLong, -1, "a text in the expression is longer than %d characters", maxString)
		}
	case Bytes:
		if len(v) > maxString {
			return faultf(IterableTooLong, -1, "a text in the expression is longer than %d characters", maxString)
		}
	}
	return nil
}

// checkResult mimics a side effect of simpleeval's search for forbidden functions: it
// hashes every tuple, so a tuple that contains a list is a fault.
func (e *evaluator) checkResult(v python.Value) error {
	switch v.(type) {
	case *python.Tuple, *python.List, *python.Dict:
		return e.checkItems(v, 0)
	}
	return nil
}

func (e *evaluator) checkItems(v python.Value, depth int) error {
	if depth > maxValueDepth {
		return errTooDeep
	}
	var items []python.Value
	switch v := v.(type) {
	case *python.Tuple:
		if err := checkHashable(v, depth); err != nil {
			return err
		}
		items = v.Items
	case *python.List:
		items = v.Items
	case *python.Dict:
		for i := range v.Len() {
			_, val := v.At(i)
			if err := e.checkItems(val, depth+1); err != nil {
				return err
			}
		}
		return e.charge(v.Len())
	default:
		return nil
	}
	for _, it := range items {
		if err := e.checkItems(it, depth+1); err != nil {
			return err
		}
	}
	return e.charge(len(items))
}

func (e *evaluator) visit(n node) (python.Value, error) {
	switch n := n.(type) {
	case *textNode:
		text, err := e.text(n.parts)
		return python.Str(text), err
	case *bytesNode:
		text, err := e.text(n.parts)
		return Bytes(text), err
	case *joinedNode:
		text, err := e.joined(n.parts)
		return python.Str(text), err
	case *slotNode:
		return e.slot(n.slot)
	case *nameNode:
		return e.name(n)
	case *unaryNode:
		return e.unary(n)
	case *binaryNode:
		return e.binary(n)
	case *boolNode:
		return e.boolean(n)
	case *compareNode:
		return e.compare(n)
	case *ifNode:
		test, err := e.eval(n.test)
		if err != nil {
			return nil, err
		}
		if truth(test) {
			return e.eval(n.body)
		}
		return e.eval(n.orelse)
	case *callNode:
		return e.call(n)
	case *subscriptNode:
		value, err := e.eval(n.value)
		if err != nil {
			return nil, err
		}
		index, err := e.eval(n.index)
		if err != nil {
			return nil, err
		}
		v, err := e.item(value, index)
		if _, ok := index.(*slice); ok {
			return e.made(v, err)
		}
		return v, err
	case *sliceNode:
		return e.sliceOf(n)
	case *attributeNode:
		return e.attribute(n)
	case *listNode:
		items, err := e.items(n.items)
		return &python.List{Items: items}, err
	case *tupleNode:
		items, err := e.items(n.items)
		return &python.Tuple{Items: items}, err
	case *setNode:
		items, err := e.items(n.items)
		if err != nil {
			return nil, err
		}
		return e.newSet(items)
	case *dictNode:
		return e.dict(n)
	case *comprehensionNode:
		return e.comprehension(n)
	case *assignNode:
		return e.eval(n.value)
	case *unsupportedNode:
		return nil, faultf(FeatureNotAvailable, n.offset(), "%s is not available", n.what)
	}
	return nil, faultf(FeatureNotAvailable, n.offset(), "this is not available")
}

// text joins the parts of a literal. Data in it is always text.
func (e *evaluator) text(parts []textPart) (string, error) {
	if len(parts) == 1 {
		s := e.part(parts[0])
		return s, checkLiteral(python.Str(s))
	}
	if err := e.charge(len(parts)); err != nil {
		return "", err
	}
	n := 0
	for _, p := range parts {
		n += len(e.part(p))
	}
	if n > utf8.UTFMax*maxString {
		return "", faultf(IterableTooLong, -1, "a text in the expression is longer than %d characters", maxString)
	}
	if err := e.grow(n); err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(n)
	for _, p := range parts {
		b.WriteString(e.part(p))
	}
	return b.String(), checkLiteral(python.Str(b.String()))
}

func (e *evaluator) part(p textPart) string {
	switch {
	case p.slot < 0:
		return p.text
	case p.whole:
		s, _ := python.AsStr(e.slots[p.slot].value)
		return s
	}
	return e.slots[p.slot].text
}

// slot returns data outside literals. A container is created each time, like the literal
// that it replaces.
func (e *evaluator) slot(i int) (python.Value, error) {
	return e.clone(e.slots[i].value)
}

func (e *evaluator) clone(v python.Value) (python.Value, error) {
	switch v := v.(type) {
	case *python.List:
		items, err := e.cloneAll(v.Items)
		return &python.List{Items: items}, err
	case *python.Tuple:
		items, err := e.cloneAll(v.Items)
		return &python.Tuple{Items: items}, err
	case *python.Dict:
		if err := e.growItems(2 * v.Len()); err != nil {
			return nil, err
		}
		if err := e.holdEntries(v.Len()); err != nil {
			return nil, err
		}
		d := python.NewDict(v.Len())
		for i := range v.Len() {
			key, val := v.At(i)
			val, err := e.clone(val)
			if err != nil {
				return nil, err
			}
			if err := e.chargeKey(key); err != nil {
				return nil, err
			}
			if err := d.Set(key, val); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	return v, nil
}

func (e *evaluator) cloneAll(items []python.Value) ([]python.Value, error) {
	if err := e.growItems(len(items)); err != nil {
		return nil, err
	}
	out := make([]python.Value, len(items))
	for i, it := range items {
		var err error
		if out[i], err = e.clone(it); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *evaluator) name(n *nameNode) (python.Value, error) {
	for s := e.scope; s != nil; s = s.outer {
		if v, ok := s.names[n.name]; ok {
			return v, nil
		}
	}
	switch n.name { // reached by other spellings of the letters only
	case "True":
		return python.True, nil
	case "False":
		return python.False, nil
	case "None":
		return python.None, nil
	}
	if f, ok := functions[n.name]; ok {
		return f, nil
	}
	return nil, faultf(NameNotDefined, n.offset(), "'%s' is not defined", n.name)
}

func (e *evaluator) boolean(n *boolNode) (python.Value, error) {
	var v python.Value
	for _, operand := range n.values {
		var err error
		if v, err = e.eval(operand); err != nil {
			return nil, err
		}
		if truth(v) != n.and {
			break
		}
	}
	return v, nil
}

func (e *evaluator) items(nodes []node) ([]python.Value, error) {
	e.frames++ // the generator that simpleeval feeds list() with
	defer func() { e.frames-- }()
	if err := e.growItems(len(nodes)); err != nil {
		return nil, err
	}
	items := make([]python.Value, 0, len(nodes))
	for _, n := range nodes {
		v, err := e.eval(n)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, nil
}

func (e *evaluator) dict(n *dictNode) (python.Value, error) {
	e.frames++
	defer func() { e.frames-- }()
	if err := e.holdEntries(len(n.keys)); err != nil {
		return nil, err
	}
	d := python.NewDict(len(n.keys))
	for i, k := range n.keys {
		if k == nil {
			return nil, faultf(FeatureNotAvailable, n.values[i].offset(), "'**' in a dict is not available")
		}
		key, err := e.eval(k)
		if err != nil {
			return nil, err
		}
		val, err := e.eval(n.values[i])
		if err != nil {
			return nil, err
		}
		if err = e.chargeKey(key); err == nil {
			err = d.Set(key, val)
		}
		if err != nil {
			return nil, faultAt(err, k.offset())
		}
	}
	return d, nil
}

func (e *evaluator) sliceOf(n *sliceNode) (python.Value, error) {
	s := &slice{}
	for _, b := range [...]struct {
		from node
		to   *python.Value
	}{{n.lower, &s.start}, {n.upper, &s.stop}, {n.step, &s.step}} {
		*b.to = python.None
		if b.from == nil {
			continue
		}
		v, err := e.eval(b.from)
		if err != nil {
			return nil, err
		}
		*b.to = v
	}
	return s, nil
}

// sliceNanos is the time of indexing and slicing per byte of a text.
const sliceNanos = 12

// item returns value[index].
func (e *evaluator) item(value, index python.Value) (python.Value, error) {
	switch value.(type) {
	case python.Str, Bytes: // characters have to be counted
		if err := e.meter.SpendBytes(python.Size(value), sliceNanos); err != nil {
			return nil, err
		}
		if _, ok := index.(*slice); ok {
			if err := e.grow(python.Size(value)); err != nil {
				return nil, err
			}
		}
	case *python.Dict:
		if err := e.chargeKey(index); err != nil {
			return nil, err
		}
	default:
		if _, ok := index.(*slice); ok {
			if err := e.charge(python.Size(value) / 8); err != nil {
				return nil, err
			}
		}
	}
	if s, ok := index.(*slice); ok {
		if b, ok := value.(Bytes); ok {
			return sliceBytes(b, s)
		}
		return python.Slice(value, s.start, s.stop, s.step)
	}
	if b, ok := value.(Bytes); ok {
		n, ok := python.AsInt(index)
		if !ok {
			return python.GetItem(&python.List{}, index) // for the error
		}
		if n < 0 {
			n += int64(len(b))
		}
		if n < 0 || n >= int64(len(b)) {
			return nil, faultf("IndexError", -1, "index out of range")
		}
		return b.At(int(n)), nil
	}
	return python.GetItem(value, index)
}

func sliceBytes(b Bytes, s *slice) (python.Value, error) {
	runes := make([]rune, len(b)) // one per byte, so that slicing counts bytes
	for i := range runes {
		runes[i] = rune(b[i])
	}
	v, err := python.Slice(python.Str(string(runes)), s.start, s.stop, s.step)
	if err != nil {
		return nil, err
	}
	text, _ := python.AsStr(v)
	out := make([]byte, 0, len(text))
	for _, r := range text {
		out = append(out, byte(r))
	}
	return Bytes(out), nil
}
