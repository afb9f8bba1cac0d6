// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ruletest runs the tests of a rule: example events with the messages that it must
// send for them. Nothing is sent, and nothing is read from the platform or the cluster.
package ruletest
