// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package platformevent is the catalogue of the events that trigger notifications: the
// platform's own, and those of other Rehive extensions. It says what is known of each
// event's data, and holds a sample of it.
//
// The catalogue advises; it never decides. The platform may add events and fields at any
// time, so nothing is refused because the catalogue doesn't have it.
package platformevent
