// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// Stats are counts for metrics.
type Stats struct {
	PendingEvents, PendingDeliveries int64
	// QuarantinedEvents and QuarantinedDeliveries wait to be released.
	QuarantinedEvents, QuarantinedDeliveries int64
	// EventOverdue and DeliveryOverdue are how long the longest waiting work has been
	// due; 0 if nothing is overdue.
	EventOverdue, DeliveryOverdue time.Duration
}
