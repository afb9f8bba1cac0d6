// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import "strings"

// otherLanguages are words of JavaScript, JSON and SQL, with their Python equivalents.
var otherLanguages = map[string]string{
	"true": "True", "TRUE": "True", "false": "False", "FALSE": "False",
	"null": "None", "NULL": "None", "Null": "None", "nil": "None", "none": "None", "NONE": "None", "undefined": "None",
}

// spelledOperators are operators that are written in lower case only.
var spelledOperators = map[string]bool{"and": true, "or": true, "not": true, "in": true, "is": true, "if": true, "else": true}

// isSpelledOperator reports whether a word is an operator except for its case.
func isSpelledOperator(word string) bool {
	return spelledOperators[strings.ToLower(word)] && !spelledOperators[word]
}

// certainFault returns a fault that occurs regardless of the data: an undefined name in a
// part that is always evaluated. It returns nil if there is none.
func certainFault(n node) *Fault {
	c := certainty{needed: true}
	c.visit(n, true)
	return c.fault
}

// possibleFaults returns the words of other languages in parts that are evaluated only for
// some data, so that the expression works with other data.
func possibleFaults(n node) []*Fault {
	c := certainty{needed: true}
	c.visit(n, true)
	return c.possible
}

type certainty struct {
	bound    map[string]int // names of the enclosing comprehensions
	fault    *Fault         // the first
	needed   bool           // the expression isn't true unless the part is evaluated
	possible []*Fault
}

func (c *certainty) found(f *Fault) {
	if c.fault == nil {
		c.fault = f
	}
}

func (c *certainty) name(n *nameNode, always bool) {
	if c.bound[n.name] > 0 || functions[n.name] != nil {
		return
	}
	switch n.name {
	case "True", "False", "None":
		return
	}
	if python, ok := otherLanguages[n.name]; ok {
		f := faultf(NameNotDefined, n.offset(), "write %s ('%s' is not Python)", python, n.name)
		if always || c.needed {
			c.found(f)
		} else {
			c.possible = append(c.possible, f)
		}
		return
	}
	if !always {
		return
	}
	if n.name == "of" {
		c.found(faultf(NameNotDefined, n.offset(), "write a percentage as a product, as in 0.1 * {{ amount }} ('%%' is the remainder)"))
		return
	}
	if isSpelledOperator(n.name) {
		c.found(faultf(NameNotDefined, n.offset(), "write '%s' in lower case", strings.ToLower(n.name)))
		return
	}
	c.found(faultf(NameNotDefined, n.offset(), "'%s' is not defined; text needs quotes, and data braces, as in '{{ %s }}'", n.name, n.name))
}

// add adds a fault of a part, of which always says whether it is evaluated regardless of the
// data.
func (c *certainty) add(f *Fault, always bool) {
	if always || c.needed {
		c.found(f)
	} else {
		c.possible = append(c.possible, f)
	}
}

// isTextNode reports whether a node is a text regardless of the data.
func isTextNode(n node) bool {
	switch n := ungroup(n).(type) {
	case *textNode, *joinedNode:
		return true
	case *constantNode:
		return n.value.TypeName() == "str"
	}
	return false
}

// foreignAttributes are what texts have in JavaScript and other languages, with their Python
// equivalents.
var foreignAttributes = map[string]string{
	"startsWith": "write .startswith(…)", "endsWith": "write .endswith(…)", "toLowerCase": "write .lower()", "toUpperCase": "write .upper()",
	"toString": "write the text alone", "trim": "write .strip()", "trimStart": "write .lstrip()", "trimEnd": "write .rstrip()", "indexOf": "write .find(…)", "lastIndexOf": "write .rfind(…)",
	"includes": "write 'part' in 'whole'", "contains": "write 'part' in 'whole'", "has": "write 'part' in 'whole'", "match": "write 'part' in 'whole'", "matches": "write 'part' in 'whole'",
	"isEmpty": "write == ''", "equals": "write == to compare", "equalsIgnoreCase": "write .lower() on both sides of ==", "length": "write {{ text|length }} without quotes, the filter of Django", "size": "write {{ text|length }} without quotes, the filter of Django",
	"len": "write {{ text|length }} without quotes, the filter of Django", "replaceAll": "write .replace(…)", "padStart": "write .rjust(…)", "padEnd": "write .ljust(…)", "substring": "write [from:to]", "slice": "write [from:to]", "substr": "write [from:to]",
}

// attribute checks an attribute of a text, which no data can change.
func (c *certainty) attribute(n *attributeNode, always bool) {
	if typ := listType(n.value); typ != "" && !methodNames[typ][n.name] {
		switch n.name {
		case "includes", "contains", "has", "some", "indexOf":
			c.add(faultf(AttributeNotFound, n.offset(), "write 'value' in […], or not in (lists have no '%s' in Python)", n.name), always)
		}
		return
	}
	if !isTextNode(n.value) || methodNames["str"][n.name] || strings.HasPrefix(n.name, "_") || n.name == "format" || n.name == "format_map" {
		return // those that exist but are forbidden have their own message
	}
	if hint := foreignAttributes[n.name]; hint != "" {
		c.add(faultf(AttributeNotFound, n.offset(), "%s (texts have no '%s' in Python)", hint, n.name), always)
		return
	}
	c.add(faultf(AttributeNotFound, n.offset(), "texts have no '%s'", n.name), always)
}

// listType returns the type of a node that is a list or a tuple regardless of the data, or "".
func listType(n node) string {
	switch ungroup(n).(type) {
	case *listNode:
		return "list"
	case *tupleNode:
		return "tuple"
	}
	return ""
}

// operation checks an operator that no text has.
func (c *certainty) operation(n *binaryNode, always bool) {
	if !isTextNode(n.left) && !isTextNode(n.right) {
		return
	}
	switch n.op {
	case "&":
		c.add(faultf("TypeError", n.offset(), "write 'and' (& is for numbers)"), always)
	case "|":
		c.add(faultf("TypeError", n.offset(), "write 'or' (| is for numbers)"), always)
	case "^":
		c.add(faultf("TypeError", n.offset(), "write != between two conditions in parentheses (^ is for numbers)"), always)
	}
}

// unneeded visits parts without which the expression may be true.
func (c *certainty) unneeded(visit func()) {
	before := c.needed
	c.needed = false
	visit()
	c.needed = before
}

func (c *certainty) all(nodes []node, always bool) {
	for _, n := range nodes {
		c.visit(n, always)
	}
}

// visit checks a node. always means that it is evaluated regardless of the data.
func (c *certainty) visit(n node, always bool) {
	switch n := n.(type) {
	case *groupNode:
		c.visit(n.inner, always)
	case *nameNode:
		c.name(n, always)
	case *textNode:
		c.parts(n.parts, always)
	case *joinedNode:
		c.parts(n.parts, always)
	case *unaryNode:
		if n.op == "not" {
			c.unneeded(func() { c.visit(n.operand, always) })
		} else {
			c.visit(n.operand, always)
		}
	case *binaryNode:
		if filter, is := ungroup(n.right).(*nameNode); is && n.op == "|" && isTextNode(n.left) && functions[filter.name] == nil {
			c.add(faultf(NameNotDefined, n.offset(), "write a filter within the braces, as in '{{ name|%s }}'", filter.name), always)
			return
		}
		c.visit(n.left, always)
		c.visit(n.right, always)
		c.operation(n, always)
	case *boolNode:
		for i, v := range n.values {
			if n.and {
				c.visit(v, always && i == 0)
			} else {
				c.unneeded(func() { c.visit(v, always && i == 0) })
			}
		}
	case *compareNode:
		c.visit(n.first, always)
		if f := emptiness(n); f != nil {
			c.add(f, always)
		}
		if f := inNumber(n); f != nil {
			c.add(f, always)
		}
		for i, v := range n.rest {
			c.visit(v, always && i == 0)
		}
	case *ifNode:
		c.visit(n.test, always)
		c.unneeded(func() {
			c.visit(n.body, false)
			c.visit(n.orelse, false)
		})
	case *callNode:
		c.call(n, always)
	case *subscriptNode:
		c.visit(n.value, always)
		c.visit(n.index, always)
	case *sliceNode:
		for _, bound := range []node{n.lower, n.upper, n.step} {
			if bound != nil {
				c.visit(bound, always)
			}
		}
	case *attributeNode:
		c.visit(n.value, always)
		c.attribute(n, always)
	case *listNode:
		c.all(n.items, always)
	case *tupleNode:
		c.all(n.items, always)
	case *setNode:
		c.all(n.items, always)
	case *dictNode:
		for i, k := range n.keys {
			if k != nil {
				c.visit(k, always)
			}
			c.visit(n.values[i], always)
		}
	case *assignNode:
		c.visit(n.value, always)
	case *unsupportedNode:
		c.unsupported(n, always)
	case *comprehensionNode:
		c.comprehension(n, always)
	}
}

func (c *certainty) parts(parts []textPart, always bool) {
	for _, p := range parts {
		if p.field == nil {
			continue
		}
		c.visit(p.field.value, always)
		if p.field.spec != nil {
			c.parts(p.field.spec.parts, always)
		}
	}
}

func (c *certainty) call(n *callNode, always bool) {
	if f, ok := ungroup(n.fn).(*nameNode); ok {
		if functions[f.name] == nil && always {
			switch lower := strings.ToLower(f.name); {
			case lower == "and" || lower == "or":
				c.found(faultf(FunctionNotDefined, f.offset(), "write '%s' between the conditions ('%s' is not a function)", lower, f.name))
			case lower == "if":
				c.found(faultf(FunctionNotDefined, f.offset(), "write 'a if condition else b' ('%s' is not a function)", f.name))
			case isSpelledOperator(f.name):
				c.found(faultf(FunctionNotDefined, f.offset(), "write '%s' in lower case", strings.ToLower(f.name)))
			default:
				c.found(unknownFunction(f))
			}
		}
	} else {
		c.visit(n.fn, always)
	}
	c.all(n.args, always)
	for _, k := range n.keywords {
		c.visit(k.value, always)
	}
}

// unsupported checks what no data makes available.
func (c *certainty) unsupported(n *unsupportedNode, always bool) {
	switch {
	case !always || n.inner != nil: // a starred value, which a list may have
	case n.what == "'return'" || n.what == "'assert'":
		c.found(faultf(FeatureNotAvailable, n.offset(), "write the condition alone (%s is not available)", n.what))
	default:
		c.found(faultf(FeatureNotAvailable, n.offset(), "%s is not available", n.what))
	}
}

func unknownFunction(f *nameNode) *Fault {
	hint := foreignFunctions[f.name]
	if hint == "" {
		hint = foreignFunctions[strings.ToLower(f.name)]
	}
	if hint != "" {
		return faultf(FunctionNotDefined, f.offset(), "%s (the function '%s' is not defined)", hint, f.name)
	}
	return faultf(FunctionNotDefined, f.offset(), "the function '%s' is not defined", f.name)
}

func (c *certainty) comprehension(n *comprehensionNode, always bool) {
	if c.bound == nil {
		c.bound = map[string]int{}
	}
	var names []string
	var bind func(n node)
	bind = func(n node) {
		switch n := ungroup(n).(type) {
		case *nameNode:
			names = append(names, n.name)
			c.bound[n.name]++
		case *tupleNode:
			for _, it := range n.items {
				bind(it)
			}
		case *listNode:
			for _, it := range n.items {
				bind(it)
			}
		}
	}
	c.unneeded(func() {
		for i := range n.generators {
			g := &n.generators[i]
			c.visit(g.iter, always && i == 0)
			bind(g.target)
			c.all(g.conds, false)
		}
		c.visit(n.element, false)
	})
	for _, name := range names {
		c.bound[name]--
	}
}
