// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger is the operator's queue and log: the events that the platform sent, and
// the deliveries that were decided from them. A delivery is the job, the line of the log
// and the audit record in one row, so the three can't disagree.
//
// Work is claimed with a lease. A claim that is neither completed nor renewed before its
// lease ends can be claimed again, so a crash loses nothing. A worker whose lease was lost
// gets [ErrLeaseLost] and changes nothing.
//
// This package holds the types and the contract, as small interfaces; consumers accept
// those that they need. Packages sqlite and postgres open a ledger; both run the same
// store, sqlstore, on their own driver.
package ledger
