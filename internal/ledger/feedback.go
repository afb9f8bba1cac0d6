// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// DeliveryOutcome is what a provider reported about a message after it had accepted it. It is apart
// from the delivery's state, which stays sent.
type DeliveryOutcome string

// The outcomes. A message has one of them at a time: the one that is furthest down this
// list. Reports may come late, repeatedly and in any order.
const (
	// OutcomeNone: nothing was reported.
	OutcomeNone DeliveryOutcome = ""
	// OutcomeDelivered: the recipient's server, carrier or device accepted it.
	OutcomeDelivered DeliveryOutcome = "delivered"
	// OutcomeOpened: the recipient opened it.
	OutcomeOpened DeliveryOutcome = "opened"
	// OutcomeBlocked: it was refused for a reason that isn't the address, such as its
	// content or the sender's reputation.
	OutcomeBlocked DeliveryOutcome = "blocked"
	// OutcomeBounced: it was refused because the address doesn't exist.
	OutcomeBounced DeliveryOutcome = "bounced"
	// OutcomeComplained: the recipient reported it as spam.
	OutcomeComplained DeliveryOutcome = "complained"
)

// DeliveryOutcomes are all outcomes that can be reported, in the order of their rank.
var DeliveryOutcomes = []DeliveryOutcome{OutcomeDelivered, OutcomeOpened, OutcomeBlocked, OutcomeBounced, OutcomeComplained}

// Rank is greater than that of the outcomes that this one replaces.
func (o DeliveryOutcome) Rank() int {
	for i, one := range DeliveryOutcomes {
		if one == o {
			return i + 1
		}
	}
	return 0
}

// Feedback is a provider's report about a delivery.
type Feedback struct {
	// Delivery and Company identify the delivery.
	Delivery int64
	Company  string
	Outcome  DeliveryOutcome
	// Detail is one sentence without addresses; it may be empty.
	Detail string
	// At is when it happened, according to the provider.
	At time.Time
	// Suppress, if not empty, suppresses the delivery's recipient, unless the same was
	// reported before.
	Suppress SuppressionReason
}
