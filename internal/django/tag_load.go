// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"maps"
	"sort"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddTag("load", parseLoad)
	// Django always knows these two. Their tags need a web project.
	library("static")
	library("cache")
}

// parseLoad parses {% load library … %} and {% load name … from library %}.
func parseLoad(p *Parser, tok *Token) (Node, error) {
	words := python.Fields(tok.Contents)
	if n := len(words); n >= 4 && words[n-2] == "from" {
		lib, err := findLibrary(words[n-1])
		if err != nil {
			return nil, err
		}
		part := newLibrary()
		for _, name := range words[1 : n-2] {
			tag, isTag := lib.tags[name]
			filter, isFilter := lib.filters[name]
			if isTag {
				part.tags[name] = tag
			}
			if isFilter {
				part.filters[name] = filter
			}
			if !isTag && !isFilter {
				return nil, p.Errorf("'%s' is not a valid tag or filter in tag library '%s'", name, words[n-1])
			}
		}
		p.load(part)
		return nothing{}, nil
	}
	for _, name := range words[1:] {
		lib, err := findLibrary(name)
		if err != nil {
			return nil, err
		}
		p.load(lib)
	}
	return nothing{}, nil
}

// load makes a library's tags and filters known. Those that are loaded later win, and
// looking one up takes the same time however many loads there were.
func (p *Parser) load(lib *Library) {
	if p.loaded == nil {
		p.loaded = newLibrary()
	}
	maps.Copy(p.loaded.tags, lib.tags)
	maps.Copy(p.loaded.filters, lib.filters)
}

func findLibrary(name string) (*Library, error) {
	if lib, ok := libraries[name]; ok {
		return lib, nil
	}
	names := make([]string, 0, len(libraries))
	for n := range libraries {
		names = append(names, n)
	}
	sort.Strings(names)
	return nil, syntaxErrorf("'%s' is not a registered tag library. Must be one of:\n%s", name, strings.Join(names, "\n"))
}
