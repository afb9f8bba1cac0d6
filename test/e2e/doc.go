// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the manager as users run it: its own process, against a real
// API server, a simulated platform and a real SMTP conversation; and the faults that
// it must survive. With CHAOS=1 in the environment those last longer.
package e2e

// buildFlags are how the manager under test is built.
var buildFlags []string
