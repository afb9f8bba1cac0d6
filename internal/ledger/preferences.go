// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// Rule identifies a NotificationRule. The name counts: a rule that is replaced or
// restored has another UID and is the same rule to its users.
type Rule struct {
	// Name is namespace/name. It is empty in a preference from the time when rules were
	// known by UID, if no event has met the rule since.
	Name string
	// UID is metadata.uid. It finds such preferences.
	UID string
}

// Preference is a user's choice about the messages of a rule. It doesn't expire:
// preferences for a deleted rule stay until the company is purged.
type Preference struct {
	// Company and UserID are the platform's identifiers.
	Company, UserID string
	Rule
	// Enabled is whether the user wants the messages.
	Enabled bool
	// UpdatedAt is when the preference was last set; the ledger sets it.
	UpdatedAt time.Time
}
