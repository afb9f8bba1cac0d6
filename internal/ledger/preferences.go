// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// Rule identifies a NotificationRule by its name: a rule that is replaced or restored has
// another UID, but is the same rule to its users.
type Rule struct {
	// Name is namespace/name. It is empty in preferences of earlier versions, which identified
	// rules by UID, until the next event of the rule.
	Name string
	// UID is metadata.uid, by which such preferences are found.
	UID string
}

// Preference is a user's choice about the messages of a rule. It doesn't expire:
// preferences for a deleted rule stay until the company is purged.
type Preference struct {
	// Company and UserID are the platform's identifiers.
	Company, UserID string
	Rule
	// Enabled reports whether the user receives the messages.
	Enabled bool
	// UpdatedAt is when the preference was last set; the ledger sets it.
	UpdatedAt time.Time
}
