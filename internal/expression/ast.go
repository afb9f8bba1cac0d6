// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import "github.com/rehive/extension-operator/internal/python"

// node is a piece of a parsed expression. It is immutable and contains slots instead of
// data.
type node interface{ offset() int }

// at is the offset of a node in the shape.
type at int

func (p at) offset() int { return int(p) }

type (
	// constantNode is a literal without data.
	constantNode struct {
		at
		value python.Value
	}
	// textNode is a str literal (or several adjacent ones) that contains data.
	textNode struct {
		at
		parts []textPart
	}
	// bytesNode is a bytes literal that contains data.
	bytesNode struct {
		at
		parts []textPart
	}
	// joinedNode is an f-string, with or without adjacent literals.
	joinedNode struct {
		at
		parts []textPart
	}
	// slotNode is data outside literals, which is a literal itself.
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
		// whole is the list if all items are constants, for uses that don't keep or modify
		// it.
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
	// comprehensionNode is [… for …], or (… for …), which also returns a list.
	comprehensionNode struct {
		at
		element    node
		generators []generator
	}
	generator struct {
		target node // nameNode, tupleNode, listNode or an invalid target
		iter   node
		conds  []node
	}
	// assignNode is a statement `x = value` or `x += value`, whose value is used.
	assignNode struct {
		at
		value node
	}
	// unsupportedNode is Python that the evaluator rejects when it is evaluated.
	unsupportedNode struct {
		at
		what  string
		inner node // of a starred expression, for the parser's checks
	}
)

// textPart is a piece of a str, bytes or f-string literal.
type textPart struct {
	text  string
	slot  int  // the slot; -1 if none
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
