// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

func init() {
	builtins.AddTag("csrf_token", func(*Parser, *Token) (Node, error) { return csrfTokenNode{}, nil })
}

// csrfTokenNode is {% csrf_token %}: there is no request here, so it prints
// nothing unless the data brings a token.
type csrfTokenNode struct{}

func (csrfTokenNode) Render(c *Context) error {
	token, ok := c.Get("csrf_token")
	if !ok || !python.Truth(token) || python.StrOf(token) == "NOTPROVIDED" {
		return nil
	}
	return c.WriteData(`<input type="hidden" name="csrfmiddlewaretoken" value="` + string(ConditionalEscape(token)) + `">`)
}
