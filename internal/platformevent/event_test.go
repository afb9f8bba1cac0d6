// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

import (
	"slices"
	"strings"
	"testing"
)

// platformNames are the events that the platform accepts for a webhook, as the package
// rehive 4.4.0 on npm lists them.
const platformNames = `company.link.create company.link.update company.update currency.create currency.update
user.create user.update user.password.reset user.password.set user.deactivate.verify user.request_delete.verify user.email.verify user.mobile.verify
email.create email.update mobile.create mobile.update device.create address.create address.update document.create document.update
bank_account.create bank_account.update bank_account.delete crypto_account.create crypto_account.update
wallet_account.create wallet_account.update wallet_account.delete account.create account.update account.currency.create
transaction.create transaction.update transaction.initiate transaction.execute transaction.transition.create transaction.transition.update
mfa.sms.verify alert.create alert.update`

const extensionNames = `service_payment_requests.request.create service_payment_requests.request.update service_payment_requests.quote.create
service_payment_requests.otp.create service_payment_requests.payer_reminder service_payment_requests.payer_requested
conversion.quote conversion.execute order.item.purchase`

func TestCatalogueIsComplete(t *testing.T) {
	want := strings.Fields(platformNames)
	slices.Sort(want)
	if got := Platform(); !slices.Equal(got, want) {
		t.Errorf("the platform's events are\n%s\nwant\n%s", got, want)
	}
	want = append(want, strings.Fields(extensionNames)...)
	if got := len(All()); got != len(want) {
		t.Errorf("%d events, want %d", got, len(want))
	}
	for _, name := range want {
		if e := Lookup(name); e == nil || e.Name != name {
			t.Errorf("there is no event %s", name)
		}
	}
	if e := Lookup("user.mfa.sms.verify"); e == nil || e.Name != "mfa.sms.verify" {
		t.Errorf("the guide's name of an event is unknown: %v", e)
	}
}

// TestSamplesAreAsDescribed holds samples and fields to each other: a sample has no
// field that isn't described, and lacks none but those that are newer than it.
func TestSamplesAreAsDescribed(t *testing.T) {
	for _, e := range All() {
		for _, difference := range e.Differences(e.Sample()) {
			t.Error(difference)
		}
		for _, path := range e.Paths() {
			if found, ok := e.Find(path); !ok || found == nil {
				t.Errorf("%s: the path %s is not found", e.Name, path)
			}
		}
		if e.User != "" && e.User != "." {
			if found, ok := e.Find(e.User); !ok || found == nil || found.Kind != Object {
				t.Errorf("%s: there is no user at %s", e.Name, e.User)
			}
		}
		if e.Summary == "" || !strings.HasSuffix(e.Summary, ".") {
			t.Errorf("%s: the summary is no sentence: %q", e.Name, e.Summary)
		}
	}
}

// TestDifferences has data that is not as described in each possible way.
func TestDifferences(t *testing.T) {
	e := &Event{Name: "e", Fields: []Field{
		text("status").oneOf("Complete"), integer("n"), boolean("b"), list("l", text("name")), object("o", text("name").orNull()), free("m"), text("new").newer(),
	}}
	if got := e.Differences([]byte(`{"status":"Complete","n":1,"b":true,"l":[{"name":"a"},1],"o":{"name":null},"m":[1]}`)); got != nil {
		t.Errorf("%q, want none", got)
	}
	for data, want := range map[string]string{
		`{"status":"complete","n":1,"b":true,"l":[],"o":{"name":"a"},"m":1}`:           "e.status is complete, which is not among its values",
		`{"status":"Complete","n":"1","b":true,"l":[],"o":{"name":"a"},"m":1}`:         "e.n is described as integer, and is 1",
		`{"status":"Complete","n":1,"b":null,"l":[],"o":{"name":"a"},"m":1}`:           "e.b is described as boolean, and is <nil>",
		`{"status":"Complete","n":1,"b":true,"l":[{}],"o":{"name":"a"},"m":1}`:         "e.l.0 has no name",
		`{"status":"Complete","n":1,"b":true,"l":{},"o":{"name":"a"},"m":1}`:           "e.l is described as list, and is map[]",
		`{"status":"Complete","n":1,"b":true,"l":[],"o":{"name":"a","x":1},"m":1}`:     "e.o has x, which is not described",
		`{"status":"Complete","n":1,"b":true,"l":[],"o":{"name":"a"},"m":1,"new":"a"}`: "",
		`[]`: "e: json: cannot unmarshal array into Go value of type map[string]interface {}",
	} {
		if got := strings.Join(e.Differences([]byte(data)), "; "); got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	for _, test := range []struct {
		event, path string
		known       bool
		kind        Kind // of the field at its end; empty if none is described
	}{
		{"transaction.execute", "currency.code", true, Text},
		{"transaction.execute", "user.groups.0.name", true, Text},
		{"transaction.execute", "user.groups.0", true, ""},
		{"transaction.execute", "user.groups.count", true, ""},
		{"transaction.execute", "user.groups.first", false, ""},
		{"transaction.execute", "user.groups.name", false, ""},
		{"transaction.execute", "metadata.order.id", true, ""},
		{"transaction.execute", "user.first_name.upper", true, ""},
		{"transaction.execute", "currency.items", true, ""},
		{"transaction.execute", "code", false, ""},
		{"transaction.execute", "currency.iso", false, ""},
		{"transaction.execute", "user.groups.0.title", false, ""},
		{"user.update", "user.email", false, ""},
		{"user.update", "original_user.groups.0.name", true, Text},
		{"user.update", "items", false, ""},
		{"document.update", "original_document.status", true, Text},
	} {
		found, known := Lookup(test.event).Find(test.path)
		kind := Kind("")
		if found != nil {
			kind = found.Kind
		}
		if known != test.known || kind != test.kind {
			t.Errorf("%s of %s: got %q, %t, want %q, %t", test.path, test.event, kind, known, test.kind, test.known)
		}
	}
}

func TestSuggest(t *testing.T) {
	for _, test := range [][3]string{
		{"user.update", "user.email", "email"},
		{"user.create", "user.groups.0.name", "groups.0.name"},
		{"address.create", "email", "user.email"},
		{"transaction.transition.create", "user.email", "transaction.user.email"},
		{"transaction.execute", "code", "currency.code"},
		{"transaction.execute", "divisibility", "currency.divisibility"},
		{"transaction.execute", "stauts", "status"},
		{"transaction.execute", "Status", "status"},
		{"transaction.execute", "amuont", "amount"},
		{"transaction.execute", "user.firstname", "user.first_name"},
		{"transaction.execute", "first_name", "user.first_name"},
		{"transaction.execute", "transaction.amount", "amount"},
		{"mobile.create", "mobile", "user.mobile"},
		{"mfa.sms.verify", "otp", ""},
		{"transaction.execute", "weather", ""},
		{"transaction.execute", "Complete", ""},
	} {
		if got := Lookup(test[0]).Suggest(test[1]); got != test[2] {
			t.Errorf("%s in %s: got %q, want %q", test[1], test[0], got, test[2])
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"transaction.executed": "transaction.execute", "transactions.execute": "transaction.execute", "Transaction.Execute": "transaction.execute",
		"user.creat": "user.create", "mfa.sms.verfiy": "mfa.sms.verify", "weather.change": "", "": "", strings.Repeat("a", 5000): "",
	} {
		if got := Nearest(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
