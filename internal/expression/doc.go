// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expression decides whether a notification is sent. An expression is a Django
// template whose output is a Python expression; the notification is sent if its value is
// true. The language is that of simpleeval's EvalWithCompoundTypes.
//
// # Data cannot become code
//
// On Rehive, the template's output is one string, and data in it can be crafted to be
// read as Python. Here, rendering distinguishes the author's text from data, and only the
// author's text is read as Python: the lexer sees a shape, in which each piece of data is
// one opaque byte, a slot. See data.go for the data that is allowed in a slot.
//
// # Where things are
//
// shape.go creates shapes from rendered segments and caches their trees. lexer.go,
// literal.go and fstring.go split a shape into tokens, parser.go and statement.go create
// the tree (ast.go). eval.go walks it, with operator.go, comprehension.go, function.go,
// attribute.go, method.go and format.go; limits.go has the limits.
package expression
