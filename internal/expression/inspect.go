// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"regexp"
	"strings"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/python"
)

// Inspection describes an expression without evaluating it.
type Inspection struct {
	// Remarks are about valid code that is probably not what the author meant.
	Remarks []Remark
	// Comparisons are those with a variable on at least one side.
	Comparisons []StaticComparison
	// Conditions are variables whose truth value is used.
	Conditions []Side
	// Attributes are those that are read of variables without quotes.
	Attributes []StaticAttribute
	// Uses are the places in the template that read variables.
	Uses []django.Use
}

// Remark is a remark about a position in the source.
type Remark struct {
	Message string
	// Line and Column are counted in characters from 1.
	Line, Column int
}

// StaticComparison is a comparison in the source.
type StaticComparison struct {
	Left     Side
	Operator string // such as == or not in
	Right    Side
	// Group numbers the comparisons that are joined by one "and" or "or"; 0 is none.
	Group int
	// And reports that they are joined by "and".
	And bool
}

// StaticAttribute is an attribute in the source, such as length in {{ groups }}.length.
type StaticAttribute struct {
	Side Side
	Name string
}

// Side is one side of a comparison in the source.
type Side struct {
	// Path is the path of the variable if the side is one variable; empty otherwise.
	Path string
	// Filtered reports that the variable has filters, or is within text.
	Filtered bool
	// Source is the variable with its filters. IsText reports that it has filters which print
	// text regardless of the variable.
	Source string
	IsText bool
	// Quoted reports that the variable is in quotes, so that its value is text.
	Quoted bool
	// Literal is the value of a side without variables, nil otherwise. It contains only the
	// first hundred items of a list.
	Literal python.Value
	// Line and Column are where the side begins, in characters from 1.
	Line, Column int
}

// maxRemarks limits how many items of each kind Inspect returns.
const maxRemarks = 100

// Inspect analyses the source of the expression. It finds comparisons only if all tags are
// variables.
func (x *Expression) Inspect() Inspection {
	if x.empty {
		return Inspection{}
	}
	in := inspector{result: Inspection{Uses: x.template.Uses()}}
	for _, r := range x.template.Remarks() {
		in.result.Remarks = append(in.result.Remarks, Remark(r))
	}
	if x.static == nil || x.static.fault != nil {
		return in.result
	}
	in.shape, in.tags = x.static, tagsOf(x.static)
	tree, _ := x.static.plausible()
	if tree == nil {
		return in.result
	}
	in.statements(x.static.tokens)
	in.adjacentTexts(x.static.tokens)
	in.literalTags()
	in.root(tree)
	for _, f := range possibleFaults(tree) {
		in.remark(at(f.pos), f.Msg)
	}
	return in.result
}

type inspector struct {
	shape  *shape
	tags   []string // of each slot
	groups int
	result Inspection
}

// tagsOf returns the sources of the tags in a shape's slots.
func tagsOf(s *shape) []string {
	tags, at := make([]string, len(s.widths)), 0
	for i, width := range s.widths {
		at += len(s.authors[i])
		if s.source != "" {
			tags[i] = s.source[at : at+width]
		}
		at += width
	}
	return tags
}

// place returns where a node is. It takes time in proportion to the source, so it is only for
// the items that Inspect returns.
func (in *inspector) place(n node) (line, column int) {
	f := in.shape.locate(&Fault{pos: n.offset()})
	return f.Line, f.Column
}

func (in *inspector) remark(n node, message string) {
	if len(in.result.Remarks) < maxRemarks {
		line, column := in.place(n)
		in.result.Remarks = append(in.result.Remarks, Remark{message, line, column})
	}
}

// statements adds remarks about lines after the first, which Python parses and simpleeval
// ignores.
func (in *inspector) statements(tokens []token) {
	for i, t := range tokens {
		if t.kind != tokNewline && (t.kind != tokOp || t.text != ";") || i == 0 {
			continue
		}
		for _, next := range tokens[i+1:] {
			if next.kind == tokNewline || next.kind == tokOp && next.text == ";" {
				continue
			}
			if next.kind != tokEnd {
				in.remark(at(next.pos), "only the first statement counts: join them with 'and' or 'or'")
			}
			return
		}
	}
}

// condition visits a node whose truth value is used.
func (in *inspector) condition(n node) {
	switch n := ungroup(n).(type) {
	case *boolNode:
		in.groups++
		group, first := in.groups, len(in.result.Comparisons)
		var compared *compareNode // the last of the values so far
		for _, v := range n.values {
			in.constant(v)
			if list := in.missingList(compared, v); list != "" && !n.and {
				in.remark(ungroup(v), "a text by itself is always true: write "+list)
				continue
			}
			before := len(in.result.Comparisons)
			in.condition(v)
			c, is := ungroup(v).(*compareNode)
			if is && len(c.rest) == 1 && len(in.result.Comparisons) > before {
				in.result.Comparisons[before].Group, in.result.Comparisons[before].And = group, n.and
			}
			if is {
				compared = c
			}
		}
		in.contradictions(n, in.result.Comparisons[first:], group)
	case *unaryNode:
		if n.op == "not" {
			in.condition(n.operand)
		} else {
			in.value(n)
		}
	case *ifNode:
		in.constant(n.test)
		in.condition(n.test)
		in.condition(n.body)
		in.condition(n.orelse)
	case *constantNode:
		if text, is := n.value.(python.Str); is && text != "" {
			in.remark(n, "a text by itself is always true: compare it with something")
		}
	case *textNode, *slotNode:
		if side := in.side(n); side.Path != "" && len(in.result.Conditions) < maxRemarks {
			in.result.Conditions = append(in.result.Conditions, in.placed(side, n))
		}
	case *tupleNode:
		if len(n.items) > 0 {
			in.remark(n, "a comma makes a tuple, which is always true: write "+insteadOfTuple(n.items))
		}
		in.values(n.items)
	case *assignNode:
		in.remark(n, "a single = assigns: write == to compare")
	default:
		in.value(n)
	}
}

// missingList returns the comparison with a list that 'x' == 'a' or 'b' stands for, whose
// second part is always true; "" if a value after a comparison isn't such a text.
func (in *inspector) missingList(compared *compareNode, value node) string {
	text, is := ungroup(value).(*constantNode)
	if !is || compared == nil || len(compared.rest) != 1 || compared.ops[0] != opEq {
		return ""
	}
	other, isText := text.value.(python.Str)
	left, right := in.side(compared.first), in.side(compared.rest[0])
	if other == "" || !isText || left.Path == "" || right.Literal == nil {
		return ""
	}
	return "'{{ " + left.Path + " }}' in " + listOf([]python.Value{right.Literal, other})
}

// contradictions adds remarks about comparisons of one variable with two texts that can't
// both be true, or of which one is always true.
func (in *inspector) contradictions(n *boolNode, comparisons []StaticComparison, group int) {
	operator, verdict := "==", "false: the value can't be both. Write 'or', or 'in' and a list"
	if !n.and {
		operator, verdict = "!=", "true: the value always differs from one of them. Write 'and', or 'not in' and a list"
	}
	seen := map[string]python.Value{}
	for i := range comparisons {
		c := &comparisons[i]
		if c.Group != group || c.Operator != operator || c.Left.Path == "" || c.Left.Filtered || c.Right.Literal == nil {
			continue
		}
		key := c.Left.Path
		if before, there := seen[key]; there && python.Repr(before) != python.Repr(c.Right.Literal) {
			in.result.Remarks = append(in.result.Remarks, Remark{
				"comparing " + key + " with both " + python.Repr(before) + " and " + python.Repr(c.Right.Literal) + " is always " + verdict, c.Left.Line, c.Left.Column,
			})
			return
		}
		seen[key] = c.Right.Literal
	}
}

func (in *inspector) values(nodes []node) {
	for _, n := range nodes {
		in.value(n)
	}
}

// value visits a node whose truth value is not used: only comparisons in it matter.
func (in *inspector) value(n node) {
	switch n := ungroup(n).(type) {
	case *compareNode:
		in.comparison(n)
	case *boolNode:
		in.values(n.values)
	case *unaryNode:
		in.value(n.operand)
	case *binaryNode:
		in.value(n.left)
		in.value(n.right)
	case *ifNode:
		in.condition(n.test)
		in.value(n.body)
		in.value(n.orelse)
	case *callNode:
		in.value(n.fn)
		in.values(n.args)
	case *listNode:
		in.values(n.items)
	case *tupleNode:
		in.values(n.items)
	case *setNode:
		in.values(n.items)
	case *subscriptNode:
		in.value(n.value)
	case *attributeNode:
		in.value(n.value)
		if _, is := ungroup(n.value).(*slotNode); !is || len(in.result.Attributes) >= maxRemarks {
			return
		}
		if side := in.side(n.value); side.Path != "" {
			in.result.Attributes = append(in.result.Attributes, StaticAttribute{in.placed(side, n.value), n.name})
		}
	}
}

func (in *inspector) comparison(n *compareNode) {
	left := n.first
	chained := in.chain(n)
	for i, right := range n.rest {
		op := n.ops[i]
		a, b := in.side(left), in.side(right)
		in.alternatives(op, right)
		in.uncalled(left)
		in.uncalled(right)
		switch {
		case chained:
		case a.Literal != nil && b.Literal != nil:
			in.remark(n, "both sides are fixed, so that this is the same for every event: a variable needs braces, as in '{{ status }}'")
		case op == opIs || op == opIsNot:
			in.identity(n, op, a, b)
		case (op == opIn || op == opNotIn) && isText(b.Literal):
			if _, grouped := right.(*groupNode); grouped {
				in.remark(right, "("+python.Repr(b.Literal)+") is a text, not a list: write ["+python.Repr(b.Literal)+"]")
			} else {
				in.partOf(op, a, right, b)
			}
		}
		if (a.Path != "" || b.Path != "") && len(in.result.Comparisons) < maxRemarks {
			in.result.Comparisons = append(in.result.Comparisons, StaticComparison{
				Left: in.placed(a, left), Operator: comparisonSigns[op], Right: in.placed(b, right),
			})
		}
		in.padding(a, b, left)
		in.padding(b, a, right)
		left = right
	}
	in.value(n.first)
	in.values(n.rest)
}

// uncalled adds a remark about a method of a text that is compared instead of its result.
func (in *inspector) uncalled(n node) {
	if method, is := ungroup(n).(*attributeNode); is && isTextNode(method.value) && methodNames["str"][method.name] {
		in.remark(n, "write ."+method.name+"() with parentheses: without them, it never equals anything")
	}
}

// identity adds remarks about "is" between texts or numbers.
func (in *inspector) identity(n *compareNode, op compareOp, sides ...Side) {
	for _, s := range sides {
		switch s.Literal.(type) {
		case python.Str, python.Int, python.Float, *python.Big:
			write := "=="
			if op == opIsNot {
				write = "!="
			}
			in.remark(n, "'"+comparisonSigns[op]+"' asks for the same object: write "+write+" to compare")
			return
		}
	}
}

// padding adds remarks about comparisons such as ' {{ city }} ' == 'Lisbon'.
func (in *inspector) padding(side, other Side, n node) {
	text, is := ungroup(n).(*textNode)
	fixed, isFixed := other.Literal.(python.Str)
	if !is || !isFixed || !side.Quoted || !side.Filtered || len(text.parts) < 2 {
		return
	}
	first, last := text.parts[0].text, text.parts[len(text.parts)-1].text
	if first != "" && strings.TrimSpace(first) == "" && !strings.HasPrefix(string(fixed), " ") ||
		last != "" && strings.TrimSpace(last) == "" && !strings.HasSuffix(string(fixed), " ") {
		in.remark(n, "the spaces between the quotes and the braces count: write '{{ "+side.Path+" }}'")
	}
}

func isText(v python.Value) bool {
	_, is := v.(python.Str)
	return is
}

var singleVariable = regexp.MustCompile(`^\{\{\s*([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)\s*(\|.*)?\}\}$`)

// placed returns the side that a node is, with its line and column.
func (in *inspector) placed(s Side, n node) Side {
	s.Line, s.Column = in.place(ungroup(n))
	return s
}

// side describes one side of a comparison, without its line and column.
func (in *inspector) side(n node) Side {
	n = ungroup(n)
	var s Side
	variable := func(slot int) {
		if slot < 0 || slot >= len(in.tags) {
			return
		}
		if m := singleVariable.FindStringSubmatch(in.tags[slot]); m != nil {
			filters := strings.TrimSpace(m[2])
			s.Path, s.Filtered = m[1], s.Filtered || filters != ""
			s.Source, s.IsText = m[1]+filters, printText(filters)
		}
	}
	switch n := n.(type) {
	case *constantNode:
		s.Literal = n.value
	case *nameNode:
		switch n.name {
		case "True":
			s.Literal = python.True
		case "False":
			s.Literal = python.False
		case "None":
			s.Literal = python.None
		}
	case *slotNode:
		variable(n.slot)
	case *unaryNode:
		if c, is := ungroup(n.operand).(*constantNode); is && n.op == "-" {
			s.Literal = c.value // its sign doesn't matter here
		}
	case *textNode:
		s.Quoted = true
		slots := 0
		for _, p := range n.parts {
			switch {
			case p.slot >= 0 && p.field == nil && !p.whole && slots == 0 && p.text == "":
				slots++
				variable(p.slot)
			case p.text != "" && strings.TrimSpace(p.text) == "":
				s.Filtered = true
			default:
				return Side{Quoted: true}
			}
		}
	case *listNode:
		s.Literal = in.items(n.items)
	case *tupleNode:
		s.Literal = in.items(n.items)
	case *setNode:
		s.Literal = in.items(n.items)
	}
	return s
}

// items returns a list of literals; nil if anything else is among them.
func (in *inspector) items(nodes []node) python.Value {
	l := &python.List{}
	for _, n := range nodes[:min(len(nodes), 100)] {
		c := in.side(n)
		if c.Literal == nil {
			return nil
		}
		l.Items = append(l.Items, c.Literal)
	}
	return l
}
