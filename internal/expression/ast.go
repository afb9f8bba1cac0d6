// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import "github.com/rehive/extension-operator/internal/python"

// node is a piece of a parsed expression. It never changes once parsed and
// holds nothing of the data: where data goes there is a slot.
type node interface{ offset() int }

// at is where in the shape a node begins.
type at int

func (p at) offset() int { return int(p) }

type (
	// constantNode is a literal without data.
	constantNode struct {
		at
		value python.Value
	}
	// textNode is a str literal (or several, side by side) with data in it.
	textNode struct {
		at
		parts []textPart
	}
	// bytesNode is a bytes literal with data in it.
	bytesNode struct {
		at
		parts []textPart
	}
	// joinedNode is an f-string, alone or beside other literals.
	joinedNode struct {
		at
		parts []textPart
	}
	// slotNode is data outside every literal, so it is a literal itself.
	slotNode struct {
		at
		slot int
	}
	nameNode struct {
		at
		name string
	}
	unaryNode struct {
		at
		op      string
		operand node
	}
	binaryNode struct {
		at
		op          string
		left, right node
	}
	boolNode struct {
		at
		and    bool
		values []node
	}
	compareNode struct {
		at
		first node
		ops   []compareOp
		rest  []node
	}
	ifNode struct {
		at
		test, body, orelse node
	}
	callNode struct {
		at
		fn       node
		args     []node
		keywords []keyword
	}
	keyword struct {
		name  string // "" is **value
		value node
		pos   int
	}
	subscriptNode struct {
		at
		value, index node
	}
	sliceNode struct {
		at
		lower, upper, step node // nil if left out
	}
	attributeNode struct {
		at
		value node
		name  string
	}
	listNode struct {
		at
		items []node
		// whole is the list if all items are constants, for those who don't
		// keep or change it.
		whole *python.List
	}
	tupleNode struct {
		at
		items []node
	}
	setNode struct {
		at
		items []node
	}
	dictNode struct {
		at
		keys, values []node // a nil key is **value
	}
	// comprehensionNode is [… for …], and (… for …), which gives a list too.
	comprehensionNode struct {
		at
		element    node
		generators []generator
	}
	generator struct {
		target node // nameNode, tupleNode, listNode or something to refuse
		iter   node
		conds  []node
	}
	// assignNode is a statement `x = value` or `x += value`: the value counts.
	assignNode struct {
		at
		value node
	}
	// unsupportedNode is Python that the evaluator refuses when it gets there.
	unsupportedNode struct {
		at
		what  string
		inner node // of a starred expression, for the parser's checks
	}
)

// textPart is a piece of a str, bytes or f-string literal.
type textPart struct {
	text  string
	slot  int  // the data that goes here; -1 if none
	whole bool // the slot's data is a literal itself, not the inside of one
	field *field
}

// field is {value:spec} in an f-string.
type field struct {
	pos   int
	value node
	spec  *joinedNode // nil if there is none
}

type compareOp uint8

const (
	opEq compareOp = iota
	opNotEq
	opLt
	opLtE
	opGt
	opGtE
	opIn
	opNotIn
	opIs
	opIsNot
)
