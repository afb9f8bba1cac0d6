// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

import "strings"

// resource are the events of a resource that is created, updated and perhaps deleted.
type resource struct {
	name   string // as in the event's name
	noun   string
	field  string // as in original_…
	user   string
	fields func() []Field
	source Source
	alias  string // of the name
}

// Owner paths.
const (
	self   = "."
	nested = "user"
)

func (r *resource) event(action, summary string) *Event {
	e := &Event{Name: r.name + "." + action, Summary: summary, Fields: r.fields(), User: r.user, Source: r.source}
	if r.alias != "" {
		e.Alias = r.alias + "." + action
	}
	if action == "update" && r.field != "" {
		e.Original = "original_" + r.field
		e.Fields = append(e.Fields, object(e.Original, r.fields()...).note("The "+r.noun+" before the change."))
	}
	return e
}

func (r *resource) createAndUpdate() []*Event {
	article := "A "
	if strings.HasPrefix(r.noun, "a") {
		article = "An "
	}
	return []*Event{r.event("create", article+r.noun+" was created."), r.event("update", article+r.noun+" was changed.")}
}

// events returns the whole catalogue. The platform's names are those that it accepts for
// a webhook (package rehive 4.4.0 on npm); how observed events look is known from 2022.
func events() []*Event {
	var all []*Event
	resources := []resource{
		{name: "user", noun: "user", field: "user", user: self, fields: userFields, source: Observed},
		{name: "email", noun: "user's email address", field: "email", user: nested, fields: emailFields, source: Observed, alias: "user.email"},
		{name: "mobile", noun: "user's phone number", field: "mobile", user: nested, fields: mobileFields, source: Observed, alias: "user.mobile"},
		{name: "address", noun: "user's address", field: "address", user: nested, fields: addressFields, source: Observed},
		{name: "document", noun: "user's document", field: "document", user: nested, fields: documentFields, source: Observed},
		{name: "bank_account", noun: "user's bank account", field: "bank_account", user: nested, fields: bankAccountFields, source: Observed},
		{name: "crypto_account", noun: "user's crypto account", field: "crypto_account", user: nested, fields: cryptoAccountFields, source: Observed},
		{name: "wallet_account", noun: "user's wallet account", field: "wallet_account", user: nested, fields: walletAccountFields, source: Published},
		{name: "account", noun: "user's account", field: "account", user: nested, fields: accountFields, source: Published},
		{name: "transaction", noun: "transaction", field: "transaction", user: nested, fields: transactionFields, source: Observed},
		{name: "transaction.transition", noun: "transition of a transaction", user: "transaction.user", fields: transitionFields, source: Published},
		{name: "currency", noun: "currency", field: "currency", fields: func() []Field {
			return join(currencyFields(), []Field{free("manager").orNull(), list("manager_conditions"), free("metadata").orNull()}, stamps())
		}, source: Published},
		{name: "company.link", noun: "link between two companies", fields: companyLinkFields, source: Published},
		{name: "alert", noun: "alert", field: "alert", user: nested, fields: alertFields, source: Published},
	}
	for i := range resources {
		all = append(all, resources[i].createAndUpdate()...)
	}

	one := func(name, user string, source Source, summary string, fields ...Field) {
		all = append(all, &Event{Name: name, Summary: summary, Fields: fields, User: user, Source: source})
	}
	company := resource{name: "company", noun: "company", field: "company", fields: companyFields, source: Published}
	all = append(all, company.event("update", "The company's profile or settings were changed."))
	one("bank_account.delete", nested, Published, "A user's bank account was deleted.", bankAccountFields()...)
	one("wallet_account.delete", nested, Published, "A user's wallet account was deleted.", walletAccountFields()...)
	one("device.create", nested, Published, "A user's device was registered.", deviceFields()...)
	one("account.currency.create", nested, Published, "A currency was added to a user's account.", join(
		[]Field{text("id"), reducedUser("user"), reducedAccount(), currency("currency"), amount("balance"), amount("available_balance"), boolean("active"), free("metadata").orNull()},
		stamps())...)
	one("transaction.initiate", nested, Published, "A transaction became Pending.", transactionFields()...)
	one("transaction.execute", nested, Published, "A transaction became Complete or Failed.", transactionFields()...)

	link := func() []Field {
		return []Field{text("uid"), text("token"), text("url").note("The link to send."), fullUser()}
	}
	force := func() []Field { return append(link(), boolean("force")) }
	one("user.password.reset", nested, Observed, "A user asked for a new password.", force()...)
	one("user.password.set", nested, Observed, "A user must choose a first password.", force()...)
	one("user.deactivate.verify", nested, Published, "A user asked to deactivate the account and must confirm it.", link()...)
	one("user.request_delete.verify", nested, Published, "A user asked to delete the account and must confirm it.", link()...)
	one("user.email.verify", nested, Observed, "An email address must be verified.", text("email"), text("key"), text("url").note("The link to send."), fullUser())
	one("user.mobile.verify", nested, Observed, "A phone number must be verified.", text("mobile"), text("key").note("The code to send. There is no url."), fullUser())
	one("mfa.sms.verify", nested, Observed, "A user must authenticate with a code by SMS.", text("mobile"), text("token").note("The code to send. It isn't called otp."), signingIn())
	all[len(all)-1].Alias = "user.mfa.sms.verify"

	return append(all, extensionEvents()...)
}

// extensionEvents are those of other Rehive extensions. The platform registers no
// webhooks for them; what they carry is assumed from the extensions' published types.
func extensionEvents() []*Event {
	request := func() Field { return object("request", paymentRequestFields()...).shape("payment request") }
	const payments, requests = "Payment Requests", "service_payment_requests."
	return []*Event{
		{Name: requests + "request.create", Extension: payments, Summary: "A user requested a payment from somebody.", Fields: paymentRequestFields(), User: nested, Source: Assumed},
		{Name: requests + "request.update", Extension: payments, Summary: "A payment request was changed, for example paid.", Fields: paymentRequestFields(), User: nested, Source: Assumed},
		{Name: requests + "payer_requested", Extension: payments, Summary: "A payment request was sent to the payer.", Fields: paymentRequestFields(), User: "payer_user", Source: Assumed},
		{Name: requests + "payer_reminder", Extension: payments, Summary: "The payer should be reminded of a payment request.", Fields: paymentRequestFields(), User: "payer_user", Source: Assumed},
		{Name: requests + "quote.create", Extension: payments, Summary: "A payer chose a payment method.", User: "request.user", Source: Assumed, Fields: []Field{
			text("id"), request(), amount("amount"), amount("total_paid"), amount("total_pending"), paymentCurrency("currency"),
			text("status").oneOf("pending", "processing", "received", "overpaid", "paid", "failed", "expired", "late", "underpaid"),
			text("reference").orNull(), free("deposit_details").orNull(), text("account").orNull(), moment("expiration_date").orNull(), moment("created"), moment("updated"),
		}},
		{Name: requests + "otp.create", Extension: payments, Summary: "A payer must authenticate with a code.", User: "request.payer_user", Source: Assumed, Fields: []Field{
			text("otp").note("The code to send."), request(),
		}},
		{Name: "conversion.quote", Extension: "Conversion", Summary: "A user was quoted a conversion.", Fields: conversionFields(), Source: Assumed},
		{Name: "conversion.execute", Extension: "Conversion", Summary: "A conversion was executed.", Fields: conversionFields(), Source: Assumed},
		{Name: "order.item.purchase", Extension: "Products", Summary: "An item of an order was purchased.", Source: Assumed, Fields: []Field{
			text("id"), text("product").orNull(), text("code").orNull(), text("name"), text("description").orNull(), text("short_description").orNull(),
			integer("quantity").orNull(), amount("price"), amount("total_price"), text("status").orNull().oneOf("processing", "shipped", "fulfilled", "complete", "failed"),
			text("tracking_url").orNull(), text("image").orNull(), list("vouchers", text("code").orNull()), text("account").orNull(), free("metadata").orNull(), moment("created"), moment("updated"),
		}},
	}
}
