// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// condition is a node of the tree that {% if %} evaluates.
type condition interface {
	eval(c *Context) (python.Value, error)
}

// eval implements condition.
func (e *Expression) eval(c *Context) (python.Value, error) {
	v, _, _, err := e.Resolve(c)
	return v, err
}

// operation is an operator with its operands; right is nil for not.
type operation struct {
	op          *operator
	left, right condition
}

// operator is one of Django's, with its binding power.
type operator struct {
	name  string
	power int
	apply comparison
}

// comparison compares two values and charges the meter for it.
type comparison func(m *meter.Meter, a, b python.Value) (bool, error)

func ordering(op python.Op) comparison {
	return func(m *meter.Meter, a, b python.Value) (bool, error) { return python.Compare(m, op, a, b) }
}

func not(f comparison) comparison {
	return func(m *meter.Meter, a, b python.Value) (bool, error) {
		ok, err := f(m, a, b)
		return !ok, err
	}
}

func contains(m *meter.Meter, a, b python.Value) (bool, error) { return python.Contains(m, b, a) }

var (
	opOr  = &operator{name: "or", power: 6}
	opAnd = &operator{name: "and", power: 7}
	opNot = &operator{name: "not", power: 8}

	opIs    = &operator{name: "is", power: 10}
	opIsNot = &operator{name: "is not", power: 10}

	// The others, weakest first. Comparisons don't chain: a < b < c is (a < b) < c.
	operators = []*operator{
		opOr, opAnd, opNot,
		{"in", 9, contains},
		{"not in", 9, not(contains)},
		opIs, opIsNot,
		{"==", 10, python.TryEqual},
		{"!=", 10, not(python.TryEqual)},
		{">", 10, ordering(python.GT)},
		{">=", 10, ordering(python.GE)},
		{"<", 10, ordering(python.LT)},
		{"<=", 10, ordering(python.LE)},
	}
)

func findOperator(word string) *operator {
	for _, op := range operators {
		if op.name == word {
			return op
		}
	}
	return nil
}

// eval returns False for an operation that fails, as Django's does.
func (o *operation) eval(c *Context) (python.Value, error) {
	v, err := o.try(c)
	if err != nil && !isFatal(err) {
		return python.False, c.meter.Spend(failureSteps)
	}
	return v, err
}

func (o *operation) try(c *Context) (python.Value, error) {
	a, err := o.left.eval(c)
	if err != nil {
		return nil, err
	}
	switch o.op {
	case opNot:
		return python.Bool(!python.Truth(a)), nil
	case opOr:
		if python.Truth(a) {
			return a, nil
		}
		return o.right.eval(c)
	case opAnd:
		if !python.Truth(a) {
			return a, nil
		}
		return o.right.eval(c)
	}
	b, err := o.right.eval(c)
	if err != nil {
		return nil, err
	}
	switch o.op {
	case opIs, opIsNot:
		if err := c.meter.Spend(min(python.Size(a), python.Size(b)) / 512); err != nil {
			return nil, err
		}
	}
	switch o.op {
	case opIs:
		return python.Bool(o.same(a, b)), nil
	case opIsNot:
		return python.Bool(!o.same(a, b)), nil
	}
	ok, err := o.op.apply(&c.meter, a, b)
	return python.Bool(ok), err
}

// same implements Python's is. Equal numbers and texts are one object if they come from one
// variable, else only if CPython keeps just one of them.
func (o *operation) same(a, b python.Value) bool {
	if !python.Is(a, b) {
		return false
	}
	switch v := a.(type) {
	case python.Int:
		if -5 <= v && v <= 256 {
			return true
		}
	case python.Str:
		if v == "" {
			return true
		}
	case python.Float, python.SafeStr, *python.Big:
	default:
		return true
	}
	left, leftMayChange := origin(o.left, a)
	right, rightMayChange := origin(o.right, b)
	return left != "" && left == right && (!leftMayChange || !rightMayChange)
}

// origin returns the path of the variable whose value a term is, or "". mayChange means that
// it is only if its filters have left that unchanged.
func origin(term condition, v python.Value) (path string, mayChange bool) {
	e, ok := term.(*Expression)
	if !ok || e.base.variable == nil {
		return "", false
	}
	plain, isPlain := v.(python.Str)
	for i := range e.filters {
		switch e.filters[i].filter.Name {
		case "default":
			if !python.Truth(v) {
				return "", false
			}
		case "default_if_none":
		case "addslashes", "apnumber", "center", "cut", "get_digit", "intcomma", "intword", "ljust", "localize", "naturalday", "naturaltime", "ordinal", "rjust",
			"slice", "stringformat", "striptags", "truncatechars", "unlocalize":
			mayChange = true // they return the same text if they don't change it
		case "truncatewords", "wordwrap": // they join the text's parts
			if strings.ContainsFunc(string(plain), python.IsSpace) {
				return "", false
			}
			mayChange = true
		default:
			return "", false
		}
	}
	if mayChange && !isPlain {
		return "", false
	}
	return e.base.variable.path, mayChange
}

// ifWord is an operator, or a term if op is nil; the zero value is the end.
type ifWord struct {
	text string
	op   *operator
	term condition
}

func (w *ifWord) power() int {
	if w.op == nil || w.op == opNot {
		// Not is not an infix operator, but has its power, so that it is reported as
		// unexpected.
		if w.op == opNot {
			return opNot.power
		}
		return 0
	}
	return w.op.power
}

// foreignOperators are operators of other languages. None of them is a valid value in
// Django.
var foreignOperators = map[string]string{
	"=": "write == to compare", "===": "write == (=== and !== are JavaScript)", "!==": "write != (=== and !== are JavaScript)",
	"<>": "write != (<> is SQL)", "&&": "write 'and' (&& is JavaScript)", "||": "write 'or' (|| is JavaScript)", "!": "write 'not' (! is JavaScript)",
}

// foreignWords are operators of other languages that are spelled, with hints, and negatedWords
// those after "not".
var (
	foreignWords = map[string]string{
		"eq": "write ==", "equals": "write ==", "ne": "write !=", "neq": "write !=", "gt": "write >", "lt": "write <", "gte": "write >=", "ge": "write >=", "lte": "write <=", "le": "write <=",
		"contains": "write 'part' in whole", "includes": "write 'part' in whole", "has": "write 'part' in whole", "like": "write 'part' in whole", "matches": "write 'part' in whole",
		"between": "write value >= low and value <= high", "xor": "write one {% if %} into another", "then": "end the condition with %}",
	}
	negatedWords = map[string]string{
		"eq": "write !=", "equals": "write !=", "ne": "write ==", "neq": "write ==", "gt": "write <=", "lt": "write >=", "gte": "write <", "ge": "write <", "lte": "write >", "le": "write >",
		"contains": "write 'part' not in whole", "includes": "write 'part' not in whole", "has": "write 'part' not in whole", "like": "write 'part' not in whole", "matches": "write 'part' not in whole",
		"between": "write value < low or value > high",
	}
)

// maxIfWords limits the words of one condition, and thereby its depth.
const maxIfWords = 1000

// ifParser is a top-down operator precedence parser.
type ifParser struct {
	words []ifWord
	pos   int
}

// parseCondition parses the words of an {% if %} into a tree.
func (p *Parser) parseCondition(words []string) (condition, error) {
	if len(words) > maxIfWords {
		return nil, limitErrorf("the condition has more than %d words", maxIfWords)
	}
	ip := ifParser{words: p.ifWords[:0]}
	for i := 0; i < len(words); i++ {
		text := words[i]
		if hint, ok := foreignOperators[text]; ok {
			return nil, syntaxErrorf("%s", hint)
		}
		if i+1 < len(words) && (text == "is" && words[i+1] == "not" || text == "not" && words[i+1] == "in") {
			i++
			text += " " + words[i]
		}
		w := ifWord{text: text, op: findOperator(text)}
		if w.op == nil {
			expr, err := p.CompileFilter(text)
			if err != nil {
				return nil, err
			}
			w.term = expr
		}
		ip.words = append(ip.words, w)
	}
	ip.words = append(ip.words, ifWord{})
	p.ifWords = ip.words
	tree, err := ip.expression(0)
	if err != nil {
		return nil, err
	}
	if w := &ip.words[ip.pos]; w.text != "" {
		if op := findOperator(strings.ToLower(w.text)); w.op == nil && op != nil {
			return nil, syntaxErrorf("write '%s' in lower case", op.name)
		}
		if before := &ip.words[max(ip.pos-1, 0)]; before.op == nil && strings.EqualFold(before.text, "not") {
			return nil, syntaxErrorf("write 'not' in lower case")
		}
		if hint := foreignWords[strings.ToLower(w.text)]; hint != "" {
			return nil, syntaxErrorf("%s ('%s' is not an operator)", hint, w.text)
		}
		return nil, syntaxErrorf("Unused '%s' at end of if expression.", w.text)
	}
	return tree, nil
}

// advance returns the current word and moves to the next, but never past the end.
func (p *ifParser) advance() *ifWord {
	w := &p.words[p.pos]
	if p.pos < len(p.words)-1 {
		p.pos++
	}
	return w
}

func (p *ifParser) expression(power int) (condition, error) {
	var left condition
	switch w := p.advance(); {
	case w.text == "":
		return nil, syntaxErrorf("Unexpected end of expression in if tag.")
	case w.op == opNot:
		operand, err := p.expression(opNot.power)
		if err != nil {
			return nil, err
		}
		left = &operation{op: opNot, left: operand}
	case w.op != nil:
		return nil, syntaxErrorf("Not expecting '%s' in this position in if tag.", w.text)
	default:
		left = w.term
	}
	for power < p.words[p.pos].power() {
		w := p.advance()
		if w.op == opNot {
			if hint := negatedWords[strings.ToLower(p.words[p.pos].text)]; hint != "" {
				return nil, syntaxErrorf("%s ('not %s' is not an operator)", hint, p.words[p.pos].text)
			}
			return nil, syntaxErrorf("Not expecting 'not' as infix operator in if tag.")
		}
		right, err := p.expression(w.op.power)
		if err != nil {
			return nil, err
		}
		left = &operation{op: w.op, left: left, right: right}
	}
	return left, nil
}
