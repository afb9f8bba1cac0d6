// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

// Variables returns what templates and expressions read besides the event's data, as an
// event without a name. Callers must not change it.
func Variables() *Event { return variables }

var variables = &Event{Fields: []Field{
	object("context",
		object("company",
			text("id").note("The identifier of the company."),
			text("name"),
			text("system_email"),
			text("logo").note("The URL of a picture. Not on Rehive."),
			text("website").note("Not on Rehive."),
			text("support_email").note("Not on Rehive."),
		),
		text("unsubscribe_url").note("The link by which the user opts out of the rule's messages; empty if the rule doesn't permit that. Not on Rehive."),
	),
	object("computed",
		amount("fee").note("The signed sum of the transaction's fees."),
		amount("total_amount").note("The amount with the fees."),
	).note("Only in events about a transaction."),
}}
