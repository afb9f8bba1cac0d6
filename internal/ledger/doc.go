// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger is the SQL store that is the operator's queue: the events the
// platform was told are accepted, and the deliveries that were decided from
// them. A delivery row is the job, the line of the log and the audit record, so
// the three can't disagree.
//
// Work is claimed with a lease. A claim that is neither completed nor renewed
// before its lease ends comes up again, so a crash loses nothing. A worker whose
// lease was lost gets [ErrLeaseLost] and changes nothing.
package ledger
