// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Causes of an erasure.
const (
	// ErasedByPlatform: the platform reported that the user was deleted.
	ErasedByPlatform = "platform"
	// ErasedByAdmin: an admin of the company asked for it.
	ErasedByAdmin = "admin"
)

// MaxSubjectAddresses is how many addresses one erasure may name.
const MaxSubjectAddresses = 20

// Subject is a user whose data is erased.
type Subject struct {
	// Company and UserID are the platform's identifiers.
	Company, UserID string
	// Addresses are email addresses and phone numbers of the user, at most
	// [MaxSubjectAddresses]: messages to them are erased even if they name no user.
	Addresses []string
}

// Digest identifies the subject without naming it. The user's ID is random, so it can't be
// found from the digest by trying.
func (s *Subject) Digest() string {
	sum := sha256.Sum256([]byte(s.Company + "\x00" + s.UserID))
	return hex.EncodeToString(sum[:])
}

// Erasure records that a user's data was erased.
type Erasure struct {
	ID      int64
	Company string
	// Subject is the [Subject.Digest].
	Subject string
	// Cause is one of the Erased constants.
	Cause string
	// Deliveries, Events and Preferences are how many were erased.
	Deliveries, Events, Preferences int64
	ErasedAt                        time.Time
}
