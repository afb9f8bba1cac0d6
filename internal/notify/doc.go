// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notify decides: an event, a company and a compiled rule in, messages
// or the reason for none out. It is pure. It reads no clock, no network and no
// store but what the caller hands it, so that the same input always gives the
// same messages.
package notify
