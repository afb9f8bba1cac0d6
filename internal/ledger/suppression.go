// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxSuppressions is how many suppressions of a company and channel the ledger keeps.
// Beyond it, new ones are not stored: each one is checked again when its address is used
// again.
const MaxSuppressions = 10_000

// SuppressionReason is why an address receives no messages.
type SuppressionReason string

// The reasons of suppressions.
const (
	// SuppressedHardBounce: the address does not exist.
	SuppressedHardBounce SuppressionReason = "HardBounce"
	// SuppressedDeadToken: the app that had the push token was removed.
	SuppressedDeadToken SuppressionReason = "DeadToken"
	// SuppressedSpamComplaint: the recipient reported a message as spam.
	SuppressedSpamComplaint SuppressionReason = "SpamComplaint"
	// SuppressedStop: the recipient asked the provider for no more messages, for example by
	// answering STOP.
	SuppressedStop SuppressionReason = "Stop"
	// SuppressedManual: a person added the address.
	SuppressedManual SuppressionReason = "Manual"
)

// SuppressionReasons are all reasons, the ones that nothing overrides first.
var SuppressionReasons = []SuppressionReason{SuppressedHardBounce, SuppressedDeadToken, SuppressedSpamComplaint, SuppressedStop, SuppressedManual}

// Hard reports whether a message can't arrive. The other reasons are wishes, which rules for
// security messages may override.
func (r SuppressionReason) Hard() bool { return r == SuppressedHardBounce || r == SuppressedDeadToken }

// KeepFor returns how long a suppression lasts; 0 if it doesn't end by itself. One that a
// provider reported ends, so that one wrong answer doesn't silence anybody forever: if the
// address is still dead, the next message renews it.
func (r SuppressionReason) KeepFor() time.Duration {
	if r.Hard() {
		return 30 * 24 * time.Hour
	}
	return 0
}

// Sources of suppressions.
const (
	// SourceProvider: the provider refused a message.
	SourceProvider = "Provider"
	// SourceFeedback: the provider reported it after it had accepted a message.
	SourceFeedback = "Feedback"
	// SourceAdmin: an admin of the company added it.
	SourceAdmin = "Admin"
)

// Suppression is an address that no longer receives a company's messages on a channel.
type Suppression struct {
	ID int64
	// Company is the platform's identifier.
	Company string
	Channel string
	// Recipient is empty if Address is a recipient of messages. Otherwise the address is one
	// of several of this recipient, such as one of a user's push tokens, and only that one
	// is suppressed.
	Recipient string
	// Address is the recipient in the form of [RecipientKey], or identifies one of its
	// addresses, for example by its hash.
	Address string
	Reason  SuppressionReason
	// Source is one of the Source constants.
	Source string
	// Note is a person's remark.
	Note string
	// Since is when the address was suppressed last; the ledger sets it.
	Since time.Time
	// Until is when the suppression ends; zero if it doesn't end by itself. The ledger sets
	// it.
	Until time.Time
}

// Hidden reports whether the address was replaced by its keyed hash, because its owner was
// erased.
func (s *Suppression) Hidden() bool { return strings.HasPrefix(s.Address, HiddenAddress) }

// Owner returns the recipient of messages and, if only one of the recipient's addresses is
// suppressed, that address.
func (s *Suppression) Owner() (recipient, device string) {
	if s.Recipient == "" {
		return s.Address, ""
	}
	return s.Recipient, s.Address
}

// MaxNote is the longest note of a suppression, in characters.
const MaxNote = 250

// HiddenAddress begins the Address of a suppression whose owner was erased.
const HiddenAddress = "hmac-sha256:"

// SuppressionFilter selects suppressions of one company. Zero fields match everything,
// except Company.
type SuppressionFilter struct {
	Company, Channel string
	Reason           SuppressionReason
	// Address matches a recipient, in any form, including one that was erased.
	Address string
	// OldestFirst reverses the order. After, if not 0, is an ID: the page begins with the
	// next one in that order.
	OldestFirst bool
	After       int64
}

// SuppressionPage is a page of suppressions.
type SuppressionPage struct {
	// Suppressions are newest first unless the filter says otherwise.
	Suppressions []Suppression
	// Count is how many there are on all pages.
	Count int
	// More reports whether there are suppressions after these.
	More bool
}

// RecipientKey returns the normal form of a recipient, by which quotas and suppressions know
// it. Mail servers ignore the case of addresses, and most ignore how their characters are
// composed or how wide they are. Phone numbers have one form only.
func RecipientKey(channel, recipient string) string {
	switch channel {
	case ChannelEmail:
		return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.TrimSpace(recipient))))
	case ChannelPush, ChannelSystem:
		return strings.ToLower(recipient)
	}
	return recipient
}
