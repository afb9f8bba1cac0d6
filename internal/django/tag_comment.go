// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

func init() {
	builtins.AddTag("comment", parseComment)
	// {% debug %} prints nothing where Django's DEBUG is off.
	builtins.AddTag("debug", func(*Parser, *Token) (Node, error) { return nothing{}, nil })
}

// parseComment drops everything up to {% endcomment %}.
func parseComment(p *Parser, _ *Token) (Node, error) {
	return nothing{}, p.skipPast("endcomment")
}
