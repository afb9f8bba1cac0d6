// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package smtptest is an SMTP server that keeps what it gets, for tests, the
// demo and the benchmarks.
package smtptest
