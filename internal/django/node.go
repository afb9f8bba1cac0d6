// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

// Node is a piece of a parsed template. It must not change while rendering.
type Node interface {
	// Render prints the node with c.WriteText, c.WriteData or c.WriteValue.
	Render(c *Context) error
}

// NodeList is a run of nodes.
type NodeList []Node
