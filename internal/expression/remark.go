// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// root visits the whole expression.
func (in *inspector) root(n node) {
	if value, is := fixed(n); is {
		if python.Truth(value) {
			in.remark(n, "this is always true: leave the expression empty to send for every event")
		} else {
			in.remark(n, "this is always false: the rule never sends")
		}
		return
	}
	in.condition(n)
}

// constant adds a remark about a condition that is part of others and doesn't depend on data.
func (in *inspector) constant(n node) {
	value, is := fixed(n)
	if !is {
		return
	}
	always := "false"
	if python.Truth(value) {
		always = "true"
	}
	in.remark(n, python.Repr(value)+" by itself is always "+always+": write a comparison")
}

// fixed returns the value of a condition that is a number, True, False or None, also after
// "not".
func fixed(n node) (python.Value, bool) {
	switch n := ungroup(n).(type) {
	case *unaryNode:
		if value, is := fixed(n.operand); is && n.op == "not" {
			return python.Bool(!python.Truth(value)), true
		}
	case *constantNode:
		switch n.value.(type) {
		case python.Bool, python.NoneType, python.Int, python.Float:
			return n.value, true
		}
	}
	return nil, false
}

// adjacentTexts adds remarks about 'a' 'b' on one line, which is one text.
func (in *inspector) adjacentTexts(tokens []token) {
	for i := 1; i < len(tokens); i++ {
		a, b := &tokens[i-1], &tokens[i]
		if a.kind == tokString && b.kind == tokString && strings.IndexByte(in.shape.src[a.pos:b.pos], '\n') < 0 {
			in.remark(at(b.pos), "two texts side by side are one: write 'and' or 'or' between comparisons")
		}
	}
}

var literalTag = regexp.MustCompile(`^\{\{\s*("[^"]*"|'[^']*')\s*\}\}$`)

// literalTags adds remarks about {{ 'a' }}, which prints the text without its quotes.
func (in *inspector) literalTags() {
	pos := -1
	for i, tag := range in.tags {
		pos += 1 + strings.IndexByte(in.shape.src[pos+1:], slotByte)
		if in.shape.outside[i] == nil {
			continue
		}
		if m := literalTag.FindStringSubmatch(tag); m != nil {
			in.remark(at(pos), "a text needs quotes and no braces: write "+m[1])
		}
	}
}

// literals are the values of nodes that are texts or numbers; nil if others are among them.
func literals(nodes []node) []python.Value {
	var values []python.Value
	for _, n := range nodes {
		c, is := ungroup(n).(*constantNode)
		if !is {
			return nil
		}
		values = append(values, c.value)
	}
	return values
}

func listOf(values []python.Value) string {
	return python.Repr(&python.List{Items: values})
}

// insteadOfTuple returns what to write instead of a condition with commas, such as x > 1,500
// or x in 'a', 'b': the values after its operator are then those that the commas separate.
func insteadOfTuple(items []node) string {
	const otherwise = "'and' or 'or'"
	first, is := ungroup(items[0]).(*compareNode)
	if !is || len(items) > maxRemarks {
		return otherwise
	}
	last := len(first.rest) - 1
	values := literals(append([]node{first.rest[last]}, items[1:]...))
	if number := thousands(values); number != "" {
		return number + " without the comma"
	}
	switch {
	case hasFraction(values):
		return "a number with a point and without separators"
	case values != nil && last == 0 && (first.ops[0] == opIn || first.ops[0] == opNotIn):
		return listOf(values) + " in brackets"
	}
	return otherwise
}

// thousands returns the number of which values such as 1 and 500 are the parts between
// separators; "" if they aren't. Python accepts 000, but not 050.
func thousands(values []python.Value) string {
	if len(values) < 2 {
		return ""
	}
	number := ""
	for i, value := range values {
		digits, is := value.(python.Int)
		switch {
		case !is || digits > 999 || i > 0 && digits != 0 && digits < 100 || i == 0 && digits == 0:
			return ""
		case i > 0:
			number += fmt.Sprintf("%03d", int64(digits))
		default:
			number = strconv.FormatInt(int64(digits), 10)
		}
	}
	return number
}

// hasFraction reports whether values are the parts of a number such as 1,500.50 or 1.500,50.
func hasFraction(values []python.Value) bool {
	if len(values) > 4 {
		return false
	}
	found := false
	for _, value := range values {
		switch value.(type) {
		case python.Float:
			found = true
		case python.Int:
		default:
			return false
		}
	}
	return found
}

// chain adds a remark about x == 'a' == 'b', which no value fulfils, and reports whether it did.
func (in *inspector) chain(n *compareNode) bool {
	if len(n.rest) < 2 || len(n.rest) > maxRemarks || n.ops[0] != opEq && n.ops[0] != opNotEq || slices.ContainsFunc(n.ops, func(op compareOp) bool { return op != n.ops[0] }) {
		return false
	}
	values := literals(n.rest)
	if values == nil || in.side(n.first).Path == "" {
		return false
	}
	write := "'in'"
	if n.ops[0] == opNotEq {
		write = "'not in'"
	}
	in.remark(n, "a chain of "+comparisonSigns[n.ops[0]]+" compares neighbors: write "+write+" and "+listOf(values))
	return true
}

// alternatives adds a remark about x == ('a' or 'b'), which compares with the first only.
func (in *inspector) alternatives(op compareOp, right node) {
	b, is := ungroup(right).(*boolNode)
	if !is || len(b.values) > maxRemarks {
		return
	}
	values := literals(b.values)
	if values == nil {
		return
	}
	var write string
	switch op {
	case opEq, opIn:
		write = "'in' and "
	case opNotEq, opNotIn:
		write = "'not in' and "
	default:
		return
	}
	value := values[0] // as Python evaluates it
	if python.Truth(value) == b.and {
		value = values[len(values)-1]
	}
	in.remark(right, "this is just "+python.Repr(value)+": write "+write+listOf(values))
}

// partOf adds a remark about x in 'word', which is true for every part of the word.
func (in *inspector) partOf(op compareOp, left Side, right node, side Side) {
	text, _ := side.Literal.(python.Str)
	if left.Path == "" || !left.Quoted || text == "" || strings.ContainsAny(string(text), ",;|/ \t\n") {
		return
	}
	write := "=="
	if op == opNotIn {
		write = "!="
	}
	in.remark(right, comparisonSigns[op]+" compares with every part of a text: write "+write+" for the whole")
}

// textFilters print text that isn't a literal of Python.
var textFilters = map[string]bool{
	"upper": true, "lower": true, "title": true, "capfirst": true, "cut": true, "slugify": true, "truncatechars": true, "truncatewords": true,
	"default": true, "default_if_none": true, "striptags": true, "escape": true, "force_escape": true, "safe": true,
}

var (
	filterArgument = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	filterName     = regexp.MustCompile(`\|\s*([a-z_]+)`)
)

// printText reports whether filters print text that isn't a literal of Python.
func printText(filters string) bool {
	names := filterName.FindAllStringSubmatch(filterArgument.ReplaceAllStringFunc(filters, func(argument string) string {
		if strings.ContainsAny(argument[1:len(argument)-1], `"'`) {
			return "|repr" // may be a literal
		}
		return ""
	}), -1)
	for _, name := range names {
		if !textFilters[name[1]] {
			return false
		}
	}
	return len(names) > 0
}
