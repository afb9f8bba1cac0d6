// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"slices"
	"sort"
	"strings"
)

// Any is one of the variables of a template that includes another one whose name depends on
// data, because it may read anything.
const Any = "*"

// reads records what a template reads from the data, for Template.Variables.
type reads struct {
	paths    []read // a path may come more than once
	draws    []draw
	remarks  []remark
	anything bool
}

// draw is another template that this one includes or extends.
type draw struct {
	template *Template
	bound    []string // names that are set where it is drawn in
	isolated bool     // {% include … only %}
}

// noteRead records a variable with the first filter that is applied to it, unless an
// enclosing tag has set the name.
func (p *Parser) noteRead(v *variable, filter string) {
	if v == nil || p.isBound[v.first] > 0 && p.inPartial == 0 {
		return
	}
	switch v.first {
	case "True", "False", "None":
		return
	}
	p.template.reads.paths = append(p.template.reads.paths, read{v, filter, p.at, p.inPartial > 0})
}

// bind declares that the names are set for the nodes parsed next, until the end of their
// list or until unbind.
func (p *Parser) bind(names ...string) (mark int) {
	if p.isBound == nil {
		p.isBound = map[string]int{}
	}
	for _, name := range names {
		p.isBound[name]++
	}
	mark = len(p.bound)
	p.bound = append(p.bound, names...)
	return mark
}

func (p *Parser) unbind(mark int) {
	for _, name := range p.bound[mark:] {
		if p.isBound[name]--; p.isBound[name] == 0 {
			delete(p.isBound, name)
		}
	}
	p.bound = p.bound[:mark]
}

// noteDraw records an included or extended template; nil if its name depends on data.
func (p *Parser) noteDraw(t *Template, isolated bool, extra ...string) {
	r := &p.template.reads
	if t == nil {
		r.anything = true
		return
	}
	r.draws = append(r.draws, draw{t, append(slices.Clone(p.bound), extra...), isolated})
}

// Variables returns the sorted dotted paths that the template reads from its data,
// including those of templates that it includes or extends by literal names. A path may be
// incomplete if the rest is unknown, and is included even if it is read only conditionally.
// Any means that everything may be read.
func (t *Template) Variables() []string {
	found := map[string]struct{}{}
	t.collect(nil, found, map[string]struct{}{})
	out := make([]string, 0, len(found))
	for path := range found {
		out = append(out, path)
	}
	sort.Strings(out)
	return out
}

func (t *Template) collect(bound []string, found, seen map[string]struct{}) {
	names := slices.Clone(bound)
	sort.Strings(names)
	names = slices.Compact(names)
	key := t.source.name + "\x00" + strings.Join(names, "\x00")
	if _, ok := seen[key]; ok {
		return
	}
	seen[key] = struct{}{}
	if t.reads.anything {
		found[Any] = struct{}{}
	}
	for _, r := range t.reads.paths {
		if !slices.Contains(names, r.variable.first) {
			found[r.variable.path] = struct{}{}
		}
	}
	for _, d := range t.reads.draws {
		if d.isolated {
			continue
		}
		d.template.collect(append(slices.Clone(names), d.bound...), found, seen)
	}
}
