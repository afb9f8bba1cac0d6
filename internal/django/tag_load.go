// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
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

// parseLoad is {% load library … %} and {% load name … from library %}.
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
		p.loaded = append(p.loaded, part)
		return nothing{}, nil
	}
	for _, name := range words[1:] {
		lib, err := findLibrary(name)
		if err != nil {
			return nil, err
		}
		p.loaded = append(p.loaded, lib)
	}
	return nothing{}, nil
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
