// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

func init() { builtins.AddTag("templatetag", parseTemplateTag) }

// templateTags are what {% templatetag … %} prints.
var templateTags = map[string]string{
	"openblock":     "{%",
	"closeblock":    "%}",
	"openvariable":  "{{",
	"closevariable": "}}",
	"openbrace":     "{",
	"closebrace":    "}",
	"opencomment":   "{#",
	"closecomment":  "#}",
}

func parseTemplateTag(p *Parser, tok *Token) (Node, error) {
	words := python.Fields(tok.Contents)
	if len(words) != 2 {
		return nil, p.Errorf("'templatetag' statement takes one argument")
	}
	text, ok := templateTags[words[1]]
	if !ok {
		return nil, p.Errorf("Invalid templatetag argument: '%s'. Must be one of: openblock, closeblock, openvariable, "+
			"closevariable, openbrace, closebrace, opencomment, closecomment", words[1])
	}
	return &textNode{text}, nil
}
