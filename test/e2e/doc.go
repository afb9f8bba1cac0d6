// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the manager as users run it, as its own process against a real API
// server, a simulated platform and a real SMTP server, including the faults that it must
// survive. With CHAOS=1 in the environment, the tests of faults run longer,
// and with OUTAGE=10m, the API server is unavailable for ten minutes.
package e2e

// buildFlags are the flags with which the manager under test is built.
var buildFlags []string
