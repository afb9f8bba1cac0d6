// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check says everything that can be said about a rule, a layout or a template
// without sending anything: what keeps it from working, and what is probably a mistake.
// The admission webhook, the reconcilers and kubectl rehive use it, so that all of them
// say the same about the same text.
package check
