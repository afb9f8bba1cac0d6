// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

// The scopes of a [Quota].
const (
	ScopeCompany   = "company"
	ScopeRecipient = "recipient"
	ScopeCountry   = "country"
)

// Quota is how many messages a company may send on one channel in one day (UTC): in
// total, to one recipient or to one country.
type Quota struct {
	Channel string
	// Scope is one of the Scope constants. Key is the recipient or the country; empty for
	// ScopeCompany.
	Scope, Key string
	Limit      int64
}

// Charge is what was charged to a company's quotas, so that it can be given back.
type Charge struct {
	Company string
	// Messages is how many messages were charged to each of the Quotas.
	Messages int64
	// Day is the number of days since 1970-01-01 (UTC).
	Day int64
	// Quotas are as the ledger stores them: their recipients are keyed hashes.
	Quotas []Quota
}
