// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package flow controls how much work is done at a time and for whom.
//
// A [Budget] and [Share] divide scarce capacity (memory, processors, worker slots) fairly
// between parties, usually companies, so that none of them can keep it from the others. A [Gate] limits incoming calls of many callers, those of the least demanding
// callers first. A [Guard] limits outgoing calls to one counterpart, such as a mail server
// or the platform, and spares it while it keeps failing.
package flow
