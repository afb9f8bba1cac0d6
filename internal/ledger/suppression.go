// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// MaxSuppressions is how many suppressions of a company the ledger keeps. Beyond it, new
// ones are not stored.
const MaxSuppressions = 10_000

// Suppression is an address that no longer receives a company's messages.
type Suppression struct {
	// Company is the platform's identifier.
	Company string
	Channel string
	// Recipient is whose address it is: the ID of the user, for a push token.
	Recipient string
	// Address identifies the address, for example by its hash.
	Address string
	// Reason is one CamelCase word such as DeviceNotRegistered.
	Reason string
	// Since is when the address was suppressed last; the ledger sets it.
	Since time.Time
}
