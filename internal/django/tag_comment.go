// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

func init() { builtins.AddTag("comment", parseComment) }

// parseComment drops everything up to {% endcomment %}.
func parseComment(p *Parser, _ *Token) (Node, error) {
	return nothing{}, p.skipPast("endcomment")
}
