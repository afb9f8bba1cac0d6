// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expression decides whether a notification is sent. An expression is
// a Django template whose output is a Python expression; it says yes if the
// value of that is true. The language is that of simpleeval's
// EvalWithCompoundTypes.
//
// # Data can't become code
//
// On Rehive the template's output is one flat text, and data in it can be
// crafted to be read as Python. Here rendering tells the author's text and data
// apart, and only the author's text is read as Python: the lexer sees a shape, in
// which each piece of data is one opaque byte, a slot. See data.go for what may
// stand in a slot.
//
// # Where things are
//
// shape.go makes shapes of rendered segments and keeps their trees. lexer.go,
// literal.go and fstring.go cut a shape into tokens, parser.go and statement.go
// make the tree (ast.go). eval.go walks it, with operator.go, comprehension.go,
// function.go, attribute.go, method.go and format.go; limits.go has the bounds.
package expression
