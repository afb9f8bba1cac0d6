// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// variable is a dotted path, such as user.groups.0.name.
type variable struct {
	path  string
	first string
	rest  []lookup
}

// lookup is one step of a path after the first.
type lookup struct {
	name    string
	index   int64
	isIndex bool
}

// operand is a literal or a variable.
type operand struct {
	literal  python.Value
	variable *variable
	// lazy means that the literal is _("…"), which Django translates only when it becomes
	// text: until then it does not count as safe, and some functions reject it.
	lazy bool
}

// parseOperand parses an operand: a quoted text, _("…"), a number or a path.
func (p *Parser) parseOperand(word string) (operand, error) {
	p.compiler.words++
	if strings.HasPrefix(word, "_(") && strings.HasSuffix(word, ")") {
		// Without a catalog the message itself is printed, but Django has already doubled
		// its percent signs.
		text := unquote(word[2 : len(word)-1])
		return operand{literal: python.SafeStr(strings.ReplaceAll(text, "%", "%%")), lazy: true}, nil
	}
	if word[0] == '"' || word[0] == '\'' {
		return operand{literal: python.SafeStr(unquote(word))}, nil
	}
	if c := word[0]; c < 'A' || c >= 0x80 {
		if n, ok := parseNumber(word); ok {
			return operand{literal: n}, nil
		}
	}
	if word[0] == '_' || strings.Contains(word, "._") {
		return operand{}, syntaxErrorf("Variables and attributes may not begin with underscores: '%s'", word)
	}
	v := p.variables.next()
	v.path, v.first = word, word
	if i := strings.IndexByte(word, '.'); i >= 0 {
		v.first = word[:i]
		v.rest = make([]lookup, 0, 1+strings.Count(word[i+1:], "."))
		for rest := word[i+1:]; ; {
			name, more, found := strings.Cut(rest, ".")
			l := lookup{name: name}
			if name != "" && (name[0] <= '9' || name[0] >= 0x80) {
				if n, err := python.ParseInt(name); err == nil {
					l.index, l.isIndex = python.AsInt(n)
				}
			}
			v.rest = append(v.rest, l)
			p.compiler.alters = p.compiler.alters || alters(name)
			if !found {
				break
			}
			rest = more
		}
		p.compiler.words += len(v.rest)
	}
	return operand{variable: v}, nil
}

// parseNumber reads a number as Django does: with a point or an e it is a
// float, else an int.
func parseNumber(word string) (python.Value, bool) {
	if strings.ContainsAny(word, ".eE") {
		f, err := python.ParseFloat(word)
		return python.Float(f), err == nil && !strings.HasSuffix(word, ".")
	}
	n, err := python.ParseInt(word)
	return n, err == nil
}

// unquote removes the quotes, and the backslashes before quotes and backslashes.
func unquote(s string) string {
	quote := s[:1]
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`+quote, quote), `\\`, `\`)
}

// resolve returns the operand's value; ok is false if the variable does not exist.
// author is true if no data took part.
func (o *operand) resolve(c *Context) (v python.Value, author, ok bool, err error) {
	if o.variable == nil {
		return o.literal, true, true, nil
	}
	return o.variable.resolve(c)
}

func (v *variable) resolve(c *Context) (val python.Value, author, ok bool, err error) {
	val, author, ok = c.get(v.first)
	if !ok {
		return nil, false, false, nil
	}
	if n := len(v.rest); n > 3 {
		if err := c.meter.Spend(n / 4); err != nil {
			return nil, false, false, err
		}
	}
	for i := range v.rest {
		author = false
		if val, ok, err = c.lookUp(val, &v.rest[i]); !ok || err != nil {
			return nil, false, false, err
		}
	}
	if loop, isLoop := val.(*forLoop); isLoop && !c.rawLoops {
		val, err = c.loopDict(loop)
		return val, author, err == nil, err
	}
	return val, author, true, nil
}

// loopDict returns the current values of forloop.
func (c *Context) loopDict(loop *forLoop) (python.Value, error) {
	if err := c.meter.Spend(10); err != nil {
		return nil, err
	}
	d := loop.dict()
	return d, c.meter.Hold(d.Len() * python.EntryBytes)
}

// lookUp resolves one step of a path like Django: a key of a dict, or else an attribute or
// method, or else an index. A method that requires arguments returns "".
func (c *Context) lookUp(v python.Value, l *lookup) (python.Value, bool, error) {
	switch v := v.(type) {
	case *python.Dict:
		if val, ok := v.GetStr(l.name); ok {
			return val, true, nil
		}
	case *forLoop:
		val, ok := v.Attr(l.name)
		return val, ok, nil
	case *blockValue:
		if l.name == "super" {
			s, err := v.super(c)
			if isMissing(err) { // as if block.super did not exist
				return nil, false, nil
			}
			return s, err == nil, err
		}
	}
	if l.isIndex {
		if s, ok := python.AsStr(v); ok && len(s) > 64 { // its characters have to be counted
			if err := c.meter.SpendBytes(len(s), copyNanos); err != nil {
				return nil, false, err
			}
		}
		val, err := python.GetItem(v, python.Int(l.index))
		if err == nil {
			return val, true, nil
		}
		if err := c.meter.Spend(failureSteps); err != nil {
			return nil, false, err
		}
		if s, ok := v.(python.Sequence); ok && l.index >= 0 && l.index < int64(s.Len()) {
			if _, isObject := v.(python.Object); isObject {
				return s.At(int(l.index)), true, nil
			}
		}
		return nil, false, nil
	}
	if val, ok := python.Attr(v, l.name); ok {
		return val, true, nil
	}
	if c.owned && alters(l.name) {
		if val, ok, err := c.alter(v, l.name); ok || err != nil {
			return val, ok, err
		}
	}
	if err := c.meter.Spend(callSteps); err != nil {
		return nil, false, err
	}
	val, ok, err := python.CallMethod(&c.meter, v, l.name, nil)
	if err != nil {
		if isFatal(err) {
			return nil, false, err
		}
		if python.IsError(err, "TypeError") { // it needs arguments, which templates can't pass
			return emptyText, true, nil
		}
		return nil, false, err
	}
	if !ok {
		return c.attribute(v, l.name)
	}
	return val, true, nil
}
