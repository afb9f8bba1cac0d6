// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package flow shares scarce capacity (memory, processors, worker slots) fairly
// between parties, which are companies as a rule, so that none of them can keep it
// from the others.
package flow
