// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// compiler parses a template and those that it names literally, each once.
type compiler struct {
	loader    Loader
	limits    Limits
	nodes     int  // nodes left
	words     int  // literals, names in paths and filters so far
	alters    bool // a template calls methods that change the data
	templates map[string]*loaded
}

// loaded is a template from the loader, or the error. The error is kept until rendering,
// because templates that are never reached may be missing.
type loaded struct {
	template *Template
	err      error
}

// maxTemplates limits the templates that one can include or extend.
const maxTemplates = 100

// load returns the template with a name.
func (p *compiler) load(name string) (*Template, error) {
	if l, ok := p.templates[name]; ok {
		return l.template, l.err
	}
	if len(p.templates) >= maxTemplates {
		return nil, limitErrorf("more than %d templates are included or extended", maxTemplates)
	}
	l := &loaded{}
	if p.templates == nil {
		p.templates = map[string]*loaded{}
	}
	p.templates[name] = l
	text, ok := "", false
	if p.loader != nil {
		text, ok = p.loader(name)
	}
	if !ok {
		l.err = python.Errorf(templateDoesNotExist, "there is no template %s", quoted(name))
		return nil, l.err
	}
	l.template = &Template{source: &source{name: name, text: text}}
	if l.err = p.parse(l.template); l.err != nil {
		l.template = nil
	}
	return l.template, l.err
}

func quoted(name string) string { return python.Repr(python.Str(name)) }

// parse parses a template that only has its source.
func (p *compiler) parse(t *Template) error {
	if n := len(t.source.text); n > p.limits.Source {
		if n = runeCount(t.source.text); n > p.limits.Source {
			msg := fmt.Sprintf("the template is %d characters long; at most %d are allowed", n, p.limits.Source)
			return &Error{Template: t.source.name, Phase: PhaseParse, Msg: msg, Err: limitErrorf("%s", msg)}
		}
	}
	t.compiler = p
	parser := &Parser{compiler: p, template: t, lexer: newLexer(t.source.text)}
	if len(t.source.text) > 1000 {
		parser.arena, parser.places, parser.open = make([]Node, 0, 64), make([]int32, 0, 64), make([]Token, 0, 8)
	}
	nodes, err := parser.parseAll()
	if err != nil {
		return err
	}
	t.nodes = nodes
	return nil
}

// Parser converts tokens to nodes.
type Parser struct {
	compiler *compiler
	template *Template
	lexer    lexer
	peeked   Token          // the tag that ParseUntil stopped at
	hasPeek  bool           // peeked is to be read next
	open     []Token        // the tags that are being parsed
	loaded   *Library       // what {% load %} brought in; nil before the first
	bound    []string       // names that tags have set here, so they are not data
	isBound  map[string]int // how often each is in bound
	arena    []Node         // nodes of the lists that are not finished yet
	places   []int32
	at       int32 // where the tag that is being parsed begins
	blocks   map[string]*blockNode

	partials  map[string]*partialDefNode
	inPartial int // how many partials are being parsed

	cycles    map[string]*cycleNode // by name
	lastCycle *cycleNode

	texts       slab[textNode]
	outputs     slab[variableNode]
	expressions slab[Expression]
	variables   slab[variable]
	ifWords     []ifWord // of the last condition, for reuse
}

// slab allocates values in chunks, which is faster than one by one.
type slab[T any] struct {
	free []T
	size int
}

func (s *slab[T]) next() *T {
	if len(s.free) == 0 {
		s.size = min(2*s.size+4, 64)
		s.free = make([]T, s.size)
	}
	v := &s.free[0]
	s.free = s.free[1:]
	return v
}

func (p *Parser) next() (Token, bool) {
	if p.hasPeek {
		p.hasPeek = false
		return p.peeked, true
	}
	return p.lexer.next()
}

// NextToken consumes the tag that ParseUntil stopped at.
func (p *Parser) NextToken() *Token {
	p.hasPeek = false
	return &p.peeked
}

// parseAll parses to the end.
func (p *Parser) parseAll() (NodeList, error) { return p.ParseUntil() }

// ParseUntil parses up to a tag of one of the names and stops before it. If
// the template ends first, the error says which tag is unclosed.
func (p *Parser) ParseUntil(names ...string) (NodeList, error) {
	if len(p.open) > p.compiler.limits.Nesting {
		return NodeList{}, limitErrorf("tags are nested more than %d deep", p.compiler.limits.Nesting)
	}
	scope := len(p.bound)
	nodes, err := p.parseUntil(names)
	p.unbind(scope)
	return nodes, err
}

func (p *Parser) parseUntil(names []string) (NodeList, error) {
	first := len(p.arena)
	for {
		tok, ok := p.next()
		if !ok {
			break
		}
		var node Node
		p.at = tok.pos
		switch tok.kind {
		case tokenText:
			text := p.texts.next()
			text.text = tok.Contents
			node = text
		case tokenComment:
			continue
		case tokenVariable:
			if tok.Contents == "" {
				return NodeList{}, p.fault(tok, syntaxErrorf("Empty variable tag on line %d", tok.Line))
			}
			expr, err := p.CompileFilter(tok.Contents)
			if err != nil {
				return NodeList{}, p.fault(tok, err)
			}
			output := p.outputs.next()
			output.expr = expr
			node = output
		case tokenBlock:
			name := tok.name()
			if name == "" {
				return NodeList{}, p.fault(tok, syntaxErrorf("Empty block tag on line %d", tok.Line))
			}
			for _, n := range names {
				if n == name {
					p.peeked, p.hasPeek = tok, true
					return p.list(first), nil
				}
			}
			parse := p.tag(name)
			if parse == nil {
				return NodeList{}, p.fault(tok, unknownTag(tok, name, names))
			}
			p.open = append(p.open, tok)
			var err error
			node, err = parse(p, &p.open[len(p.open)-1])
			if err == nil && len(p.arena) > first {
				if _, extends := node.(*extendsNode); extends && !onlyText(p.arena[first:]) {
					err = syntaxErrorf("{%% %s %%} must be the first tag in the template.", tok.Contents)
				}
			}
			if err != nil {
				return NodeList{}, p.fault(tok, err)
			}
			p.open = p.open[:len(p.open)-1]
		}
		if p.compiler.nodes--; p.compiler.nodes < 0 {
			return NodeList{}, p.fault(tok, limitErrorf("the template has more than %d pieces", p.compiler.limits.Nodes))
		}
		p.arena = append(p.arena, node)
		p.places = append(p.places, tok.pos)
	}
	if len(names) > 0 {
		return NodeList{}, p.unclosed(names)
	}
	return p.list(first), nil
}

// list removes the nodes since first from the arena.
func (p *Parser) list(first int) NodeList {
	l := NodeList{src: p.template.source}
	if n := len(p.arena) - first; n > 0 {
		l.nodes = make([]Node, n)
		l.pos = make([]int32, n)
		copy(l.nodes, p.arena[first:])
		copy(l.pos, p.places[first:])
		clear(p.arena[first:])
		p.arena = p.arena[:first]
		p.places = p.places[:first]
	}
	return l
}

func onlyText(nodes []Node) bool {
	for _, n := range nodes {
		if _, ok := n.(*textNode); !ok {
			return false
		}
	}
	return true
}

// parseBody is ParseUntil for a tag with one closing tag, which it consumes.
func (p *Parser) parseBody(end string) (NodeList, error) {
	nodes, err := p.ParseUntil(end)
	p.NextToken()
	return nodes, err
}

// parseNamedBody is parseBody for a tag with a name, which its closing tag may repeat.
func (p *Parser) parseNamedBody(end, name string) (NodeList, error) {
	nodes, err := p.ParseUntil(end)
	if err != nil {
		return NodeList{}, err
	}
	if tok := p.NextToken(); tok.Contents != end && tok.Contents != end+" "+name {
		return NodeList{}, p.fault(*tok, unknownTag(*tok, end, []string{end, end + " " + name}))
	}
	return nodes, nil
}

// skipPast drops everything up to a tag.
func (p *Parser) skipPast(end string) error {
	for {
		tok, ok := p.next()
		if !ok {
			return p.unclosed([]string{end})
		}
		if tok.kind == tokenBlock && tok.Contents == end {
			return nil
		}
	}
}

// fault sets the position of an error to the tag, unless it already has one.
func (p *Parser) fault(tok Token, err error) error {
	return p.template.source.at(err, tok.pos, PhaseParse)
}

func (p *Parser) unclosed(names []string) error {
	tok := p.open[len(p.open)-1]
	return p.fault(tok, syntaxErrorf("Unclosed tag on line %d: '%s'. Looking for one of: %s.",
		tok.Line, tok.name(), strings.Join(names, ", ")))
}

func unknownTag(tok Token, name string, expected []string) error {
	hint := ""
	if len(expected) > 0 {
		hint = ", expected '" + expected[len(expected)-1] + "'"
		if n := len(expected) - 1; n > 0 {
			hint = ", expected '" + strings.Join(expected[:n], "', '") + "' or '" + expected[n] + "'"
		}
	}
	return syntaxErrorf("Invalid block tag on line %d: '%s'%s. Did you forget to register or load this tag?", tok.Line, name, hint)
}

// Errorf returns an error for the tag that is being parsed.
func (p *Parser) Errorf(format string, args ...any) error { return syntaxErrorf(format, args...) }

func (p *Parser) tag(name string) TagParser {
	if p.loaded != nil {
		if t, ok := p.loaded.tags[name]; ok {
			return t
		}
	}
	return builtins.tags[name]
}

func (p *Parser) filter(name string) *Filter {
	if p.loaded != nil {
		if f, ok := p.loaded.filters[name]; ok {
			return f
		}
	}
	return builtins.filters[name]
}

// CompileFilter compiles the expression value|filter:arg and records the variables that it
// reads.
func (p *Parser) CompileFilter(word string) (*Expression, error) {
	if word == "" {
		return nil, syntaxErrorf("Could not find a value")
	}
	e, err := p.parseExpression(word)
	if err != nil {
		if strings.Contains(word, "{{") && !strings.Contains(err.Error(), nestedTag) {
			return nil, syntaxErrorf("%s; %s", sentence(err), nestedTag)
		}
		return nil, err
	}
	filter := ""
	if len(e.filters) > 0 {
		filter = e.filters[0].filter.Name
	}
	p.noteRead(e.base.variable, filter)
	p.checkText(e.base.literal)
	for i := range e.filters {
		p.noteRead(e.filters[i].arg.variable, "")
		p.checkText(e.filters[i].arg.literal)
	}
	return e, nil
}

// checkText adds a remark about a text in a tag that contains a tag, because Django doesn't
// render it.
func (p *Parser) checkText(v python.Value) {
	if text, ok := v.(python.SafeStr); ok && strings.Contains(string(text), "{{") {
		p.remark("the text " + python.Repr(v) + " is not rendered: within a tag, write the name of a variable without quotes and braces")
	}
}

// maxNames bounds the names that one tag sets.
const maxNames = 500

// Keyword is one name=value of a tag.
type Keyword struct {
	Name  string
	Value *Expression
}

// Keywords reads leading name=value words, and returns the remaining words. With
// legacy set it also understands "value as name" (with "and" between).
func (p *Parser) Keywords(words []string, legacy bool) (kw []Keyword, rest []string, err error) {
	if len(words) == 0 {
		return nil, words, nil
	}
	first, _ := cutKeyword(words[0])
	asForm := first == ""
	if asForm && (!legacy || len(words) < 3 || words[1] != "as") {
		return nil, words, nil
	}
	for len(words) > 0 {
		var name, value string
		if asForm {
			if len(words) < 3 || words[1] != "as" {
				return kw, words, nil
			}
			name, value, words = words[2], words[0], words[3:]
		} else {
			if name, value = cutKeyword(words[0]); name == "" {
				return kw, words, nil
			}
			words = words[1:]
		}
		expr, err := p.CompileFilter(value)
		if err != nil {
			return nil, nil, err
		}
		if kw = setKeyword(kw, Keyword{name, expr}); len(kw) > maxNames {
			return nil, nil, limitErrorf("a tag sets more than %d names", maxNames)
		}
		if asForm && len(words) > 0 {
			if words[0] != "and" {
				return kw, words, nil
			}
			words = words[1:]
		}
	}
	return kw, words, nil
}

// setKeyword replaces an earlier keyword of that name.
func setKeyword(kw []Keyword, k Keyword) []Keyword {
	for i := range kw {
		if kw[i].Name == k.Name {
			kw[i] = k
			return kw
		}
	}
	return append(kw, k)
}

// cutKeyword splits name=value. The name is empty if the word has a different form.
func cutKeyword(word string) (name, value string) {
	end := wordEnd(word, 0, false)
	if end == 0 || end+1 >= len(word) || word[end] != '=' {
		return "", word
	}
	return word[:end], word[end+1:]
}
