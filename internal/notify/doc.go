// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notify decides what a rule sends: an event, a company and a compiled rule in;
// messages, or the reasons why there are none, out. It reads no clock, network or store
// except through functions that the caller passes, so that the same input always gives the
// same messages.
//
// A rule is compiled by [CompileRule] and evaluated by [Compiled.Decide]. Whether it may send,
// apart from its expression, is decided by the policies in policy.go.
package notify
