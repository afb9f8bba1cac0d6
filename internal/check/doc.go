// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check checks a rule, a layout or a template without sending anything: it finds
// the mistakes that prevent it from working, and probable mistakes. The admission webhook,
// the reconcilers and kubectl rehive use it, so that all of them report the same for the
// same text.
package check
