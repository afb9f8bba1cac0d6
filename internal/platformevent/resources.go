// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

import "slices"

// Values of the status of a resource that an admin verifies, of a transaction, and of
// the ways in which money leaves or enters an account.
var (
	verificationStatuses = []string{"obsolete", "declined", "pending", "paused", "incomplete", "verified"}
	transactionStatuses  = []string{"Initiating", "Quoted", "Pending", "Complete", "Failed"}
	accountActions       = []string{"withdraw", "deposit", "origin"}
	transitionStatuses   = []string{"queued", "pending", "approved", "declined"}
)

// stamps end most resources.
func stamps() []Field { return []Field{boolean("archived"), moment("created"), moment("updated")} }

func groups() Field {
	return list("groups", text("name"), text("label").orNull(), text("section").oneOf("system", "admin", "user").newer()).
		note("A user is in at most one group: groups.0.name is its name.")
}

func currency(name string) Field { return object(name, currencyFields()...).shape("currency") }

func currencyFields() []Field {
	return []Field{
		text("code"), text("display_code").orNull(), text("description").orNull(), text("symbol").orNull(), text("unit").orNull(),
		integer("divisibility").note("The number of decimals of the currency; print amounts with |money:currency.divisibility."),
		text("icon").orNull(),
	}
}

// reducedUser is the user in a resource that belongs to one.
func reducedUser(name string) Field {
	return object(name,
		text("id"), text("username").orNull(), text("email").orNull(), text("mobile").orNull(),
		text("first_name").orNull(), text("middle_name").orNull().newer(), text("last_name").orNull(),
		text("profile").orNull().note("The URL of a picture."), groups(), boolean("temporary"),
	).shape("owner")
}

// userFields are those of the user resource.
func userFields() []Field {
	return join(
		[]Field{
			text("id"), text("username").orNull(), text("email").orNull(), text("mobile").orNull(),
			text("first_name").orNull(), text("middle_name").orNull().newer(), text("last_name").orNull(),
			text("status").oneOf(verificationStatuses...), text("company").note("The identifier of the company."), groups(),
			text("language").orNull(), text("timezone").orNull(), text("nationality").orNull(), text("residency").orNull().newer(),
			text("account").note("The reference of the primary account."), amount("balance"), amount("available_balance"), currency("currency"),
			boolean("verified"), object("verification", boolean("email"), boolean("mobile")),
		},
		optional("birth_date", "profile", "website", "business_name", "id_number"),
		[]Field{
			text("gender").orNull().oneOf("male", "female", "other", "not_specified"),
			text("title").orNull().oneOf("mr", "mrs", "ms", "mx"),
			text("marital_status").orNull().oneOf("single", "married", "divorced", "widowed"),
		},
		optional("fathers_name", "mothers_name", "grandfathers_name", "grandmothers_name", "central_bank_number"),
		optionalNewer("alias_name", "legal_name", "birth_place", "birth_country", "tax_number", "tax_residency"),
		[]Field{
			free("metadata").orNull(),
			object("settings", boolean("allow_transactions"), boolean("allow_debit_transactions"), boolean("allow_credit_transactions"), list("disallowed_transaction_subtypes")),
			boolean("temporary"), boolean("owner").newer(), boolean("deactivated"),
			text("retention_state").oneOf("retaining", "delete_requested", "deleted").newer(), moment("last_login").orNull(),
		},
		stamps(),
	)
}

func fullUser() Field { return object("user", userFields()...).shape("user") }

// signingIn is the user in mfa.sms.verify, which was seen without some fields.
func signingIn() Field {
	user := fullUser()
	for i := range user.Fields {
		switch f := &user.Fields[i]; f.Name {
		case "deactivated", "last_login", "archived":
			f.Newer = true
		}
	}
	return user
}

func emailFields() []Field {
	return join([]Field{integer("id"), text("email"), reducedUser("user"), boolean("primary"), boolean("verified"), boolean("temporary")}, newerArchived())
}

// newerArchived are the stamps of a resource whose observed events had no archived.
func newerArchived() []Field {
	return []Field{boolean("archived").newer(), moment("created"), moment("updated")}
}

func mobileFields() []Field {
	return join([]Field{
		integer("id"), text("number").note("The phone number. It isn't called mobile here."), reducedUser("user"),
		boolean("primary"), boolean("verified"), boolean("temporary"),
	}, stamps())
}

func addressFields() []Field {
	return join(
		[]Field{
			integer("id"), reducedUser("user"), text("type").oneOf("permanent", "contact", "shipping", "billing", "business"),
			text("status").oneOf(verificationStatuses...),
		},
		optional("line_1", "line_2", "city", "state_province", "country", "postal_code"),
		stamps(),
	)
}

func documentFields() []Field {
	return join([]Field{
		integer("id"), reducedUser("user"), text("status").oneOf(verificationStatuses...), text("file").note("The URL of the file."),
		text("note").orNull().note("The reviewer's comment."),
		object("type", integer("id"), text("name").orNull(), text("description").orNull()).newer().note("Replaces document_type and document_category."),
		text("document_type").orNull().note("Only in older events; see type."), text("document_category").orNull().note("Only in older events; see type."),
		list("files", text("file"), text("label").orNull(), text("description").orNull()).newer(),
		free("metadata").orNull(), moment("expires").orNull(),
	}, stamps())
}

// owner is the holder of an account elsewhere.
func owner() Field {
	return object("owner", optional("first_name", "middle_name", "last_name", "full_name", "phone_number", "email_address", "company_name")...).orNull().newer()
}

func bankAccountFields() []Field {
	return join(
		[]Field{
			integer("id"), reducedUser("user"), text("name").orNull(), text("number").orNull(), text("type").orNull(),
			text("status").oneOf(verificationStatuses...),
		},
		optional("bank_name", "bank_code", "branch_code", "branch_address", "routing_number", "swift", "iban", "bic", "code"),
		optionalNewer("payment_method", "beneficiary_type", "bank_currency", "branch_address_text", "clabe", "check_digit", "pix_key", "br_code", "sort_code"),
		[]Field{
			owner(), text("action").orNull().oneOf(accountActions...).newer(), list("currencies", currencyFields()...).shape("currency"),
			list("account_currencies").newer(), free("metadata").orNull(),
		},
		stamps(),
	)
}

func cryptoAccountFields() []Field {
	return join([]Field{
		integer("id"), reducedUser("user"), text("name").orNull(), text("address"), text("crypto_type"), text("network").oneOf("testnet", "mainnet"),
		text("status").oneOf(verificationStatuses...), text("code").orNull(), text("wallet_type").orNull().newer(), owner(),
		text("action").orNull().oneOf(accountActions...).newer(), list("currencies", currencyFields()...).shape("currency"), list("account_currencies").newer(),
		free("metadata").orNull(),
	}, stamps())
}

func walletAccountFields() []Field {
	return join(
		[]Field{integer("id"), reducedUser("user")},
		optional("name", "username", "email", "mobile", "code", "type", "payment_method", "wallet_currency"),
		[]Field{
			text("status").oneOf(verificationStatuses...), owner(), text("action").orNull().oneOf(accountActions...),
			list("currencies", currencyFields()...).shape("currency"), free("metadata").orNull(),
		},
		stamps(),
	)
}

// reducedAccount is the account in a resource that belongs to one.
func reducedAccount() Field {
	return object("account", text("reference"), text("name"), text("label").orNull(), text("definition").orNull(), boolean("primary"))
}

func accountFields() []Field {
	return join([]Field{
		text("reference"), reducedUser("user"), text("name"), text("label").orNull(), text("definition").orNull(),
		boolean("primary"), boolean("recon"), boolean("hidden"),
		list("currencies", text("id"), amount("balance"), amount("available_balance"), currency("currency"), boolean("active"), boolean("archived")),
		free("metadata").orNull(),
	}, stamps())
}

// subtype is what a company calls a sort of transactions.
func subtype() Field {
	f := text("subtype").orNull().note("As configured by the company, such as deposit_manual.")
	f.Common = []string{"deposit_manual", "withdraw_manual"}
	return f
}

func transactionFields() []Field {
	return join([]Field{
		text("id"), reducedUser("user"), text("tx_type").oneOf("credit", "debit"),
		subtype(),
		text("status").oneOf(transactionStatuses...),
		amount("amount").note("Negative for a debit."), amount("fee"), amount("total_amount"), amount("balance"), currency("currency"),
		text("label").orNull(), text("note").orNull(), text("reference").orNull(), text("account").note("The reference of the account."),
		object("partner", text("id"), text("account"), object("user",
			text("id"), text("identifier"), text("username").orNull(), text("email").orNull(), text("mobile").orNull(), text("first_name").orNull(),
			text("middle_name").orNull(), text("last_name").orNull(), text("profile").orNull(), boolean("temporary"),
		)).orNull().note("The other side of a transfer; null otherwise."),
		text("collection").note("Identifies transactions that were created together."), text("parent").orNull().note("The transaction that this one is a fee of; null otherwise."),
		list("fees", text("description").orNull(), amount("amount")), free("metadata").orNull(),
		integer("index").newer(), boolean("inclusive").newer(), reducedUser("creator").orNull().newer(),
		object("account_currency", text("id"), reducedAccount(), currency("currency")).newer(),
		list("challenges").newer(), moment("executed").orNull(), moment("expires").orNull().newer(),
	}, stamps())
}

func transitionFields() []Field {
	return join([]Field{
		text("id"), text("set"), object("transaction", transactionFields()...).shape("transaction"),
		text("status").oneOf(transitionStatuses...), text("from_status").oneOf(transactionStatuses...), text("to_status").oneOf(transactionStatuses...),
		integer("index"),
	}, stamps())
}

func companyFields() []Field {
	return join(
		[]Field{text("id"), text("name").orNull(), text("mode").oneOf("test", "production"), text("status").oneOf("pending", "active", "restricted", "suspended")},
		optional("legal_name", "description", "website", "support_website", "documentation_website", "support_email", "contact_email", "system_email", "country", "logo", "icon"),
		[]Field{
			object("address", optional("line_1", "line_2", "city", "state_province", "country", "postal_code")...),
			free("settings"), list("services", integer("id"), text("slug").orNull(), text("name"), text("url"), text("type").oneOf("system", "public", "private")),
			boolean("public"), free("metadata").orNull(), reducedUser("owner").orNull(), moment("created"), moment("updated"),
		},
	)
}

func companyLinkFields() []Field {
	return []Field{
		integer("id"), text("key").orNull(), text("status").oneOf("pending", "complete"),
		object("counterparty", object("company", text("id"), text("name").orNull(), text("icon").orNull(), text("mode").oneOf("test", "production")), text("status").oneOf("pending", "complete")),
		moment("created"), moment("updated"),
	}
}

func alertFields() []Field {
	return []Field{
		text("id"), reducedUser("user"), text("name"), text("description").orNull(), text("priority").oneOf("info", "low", "medium", "high", "critical"),
		text("status").oneOf("open", "assigned", "paused", "closed", "reopened"), text("transaction").orNull(), reducedUser("author").orNull(),
		object("policy", text("id"), text("name"), text("type"), text("label").orNull(), text("created"), text("updated")).orNull(),
		free("metadata").orNull(), boolean("external"), list("actions"), boolean("archived"),
		text("created").note("A date as text, not milliseconds."), text("updated").note("A date as text, not milliseconds."),
	}
}

func deviceFields() []Field {
	return join([]Field{
		integer("id"), reducedUser("user"), text("name").orNull(), text("imei").orNull(),
		list("apps", integer("id"), text("name").orNull(), text("type").oneOf("expo"), text("token").orNull()), free("metadata").orNull(),
	}, stamps())
}

// requester is a user of the payment request extension.
func requester(name string) Field {
	return object(name, join([]Field{text("id"), text("company")}, optional("base_currency", "mobile_number", "email", "first_name", "last_name", "profile"))...)
}

// paymentCurrency is a currency of the payment request extension, which has no icon.
func paymentCurrency(name string) Field {
	return object(name, slices.DeleteFunc(currencyFields(), func(f Field) bool { return f.Name == "icon" })...)
}

func paymentRequestFields() []Field {
	return []Field{
		text("id"), requester("user").note("The user who requests the money."), requester("payer_user").orNull().note("The payer, if it is a user."),
		text("payer_email").orNull(), text("payer_mobile_number").orNull(),
		text("status").oneOf("draft", "initiated", "processing", "received", "paid", "complete", "failed", "overpaid", "cancelled", "expired", "late", "underpaid"),
		amount("request_amount").orNull(), paymentCurrency("request_currency"), text("request_reference").orNull(), text("description").orNull(), text("note").orNull(),
		text("redirect_url").orNull().note("The page on which the payer pays."), text("return_url").orNull(), text("account"), boolean("refunded"), boolean("send_reminders"),
		list("reminder_intervals"), moment("send_request_on").orNull(), moment("due_date").orNull(), moment("expiration_date").orNull(),
		list("payment_processor_quotes"), list("refunds"), free("metadata").orNull(), moment("created"), moment("updated"),
	}
}

func conversionFields() []Field {
	return []Field{
		text("id"), text("user").note("The user's identifier, not an object."), text("key").note("The two currencies, such as EUR:USD."),
		amount("from_amount"), amount("from_fee"), amount("from_total_amount"), amount("to_amount"), amount("to_fee"), amount("to_total_amount"),
		text("rate").orNull(), text("debit_account").orNull(), text("credit_account").orNull(), text("collection").orNull(),
		text("status").oneOf("quoted", "pending", "complete", "failed"), free("metadata").orNull(), moment("expires"), moment("created"), moment("updated"),
	}
}
