// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// Progress is how far a delivery has come, for statistics.
type Progress struct {
	ID int64
	// Company and RuleName are the delivery's; see [Delivery].
	Company, RuleName string
	State             DeliveryState
	Reason            string
	// UpdatedAt is when the state last changed.
	UpdatedAt time.Time
}

// MaxProgress is how many deliveries one call of [Activity] reads.
const MaxProgress = 5000
