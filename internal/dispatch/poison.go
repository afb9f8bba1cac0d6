// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !e2e_poison

package dispatch

// poison does nothing. Built for the end-to-end tests with the tag e2e_poison, it ends
// the process when it meets an event that they mark.
func poison([]byte) {}
