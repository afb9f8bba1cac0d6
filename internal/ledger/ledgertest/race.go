// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package ledgertest

// slowdown is how many times as long things may take under the race detector.
const slowdown = 5
