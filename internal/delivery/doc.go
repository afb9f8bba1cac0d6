// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package delivery sends what the ledger holds: workers claim deliveries, a
// provider sends each, and the outcome goes back to the ledger. A delivery is
// sent once; only a crash in the instant between a provider's acceptance and its
// record in the ledger sends it again.
package delivery
