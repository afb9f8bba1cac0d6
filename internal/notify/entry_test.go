// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// hostile are names that customers and companies have, or could have.
var hostile = []string{
	"Acme, Inc.", "Pay@Home", "A: B", "[beta] Acme", "Acme (Cape Town", "Cape Town) Acme", `A\B`, `A\`, `"`, `Acme "Best" Ltd`, `"Acme`,
	"victim@other.example, Joe", "victim@other.example; Joe", "victim@other.example\nJoe", "victim@other.example\r\nBcc: eve@other.example",
	"<victim@other.example>", "x <victim@other.example>, y", "> victim@other.example <", "Zoë 🎉", "=?utf-8?q?a=0Ab?=", "\u202eemcA",
	"", " ", ",", ";", "<", ">", "\x00", strings.Repeat("ü,<>\"", 2000), strings.Repeat("👩‍👩‍👧", 1000),
}

func named(t *testing.T, name string) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"user":   map[string]string{"first_name": name, "email": "joe@example.com", "mobile": "+27820000001"},
		"people": []map[string]string{{"name": name, "email": "joe@example.com"}, {"name": name, "email": "jane@example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestNamesDoNotAddRecipients combines every hostile name with an address in each way that
// an author can write it.
func TestNamesDoNotAddRecipients(t *testing.T) {
	for to, want := range map[string]string{
		"{{ user.first_name }} <{{ user.email }}>":                                                            "joe@example.com",
		"\"{{ user.first_name }}\" <{{ user.email }}>":                                                        "joe@example.com",
		"{{ user.first_name }} <{{ user.email }}>, Ops <b@example.com>":                                       "joe@example.com b@example.com",
		"{{ user.first_name }}<{{ user.email }}>\n b@example.com":                                             "joe@example.com b@example.com",
		"{% if user.email %}{{ user.first_name }} <{{ user.email }}>{% endif %}":                              "joe@example.com",
		"{% for p in people %}{{ p.name }} <{{ p.email }}>{% if not forloop.last %}, {% endif %}{% endfor %}": "joe@example.com jane@example.com",
		"{% for p in people %}{{ p.name }} <{{ p.email }}>;{% endfor %}":                                      "joe@example.com jane@example.com",
		"{% with n=user.first_name %}{{ n|title }} <{{ user.email }}>{% endwith %}":                           "joe@example.com",
		"{% filter lower %}{{ user.first_name }} <{{ user.email }}>{% endfilter %}":                           "joe@example.com",
		"{{ user.first_name }} <{{ user.email }}>{% comment %}, {% endcomment %}":                             "joe@example.com",
	} {
		rule := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = to, "Hello" }))
		for _, name := range hostile {
			decision, err := rule.Decide(t.Context(), event(t, named(t, name), nil), "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range decision.Messages {
				got = append(got, m.Recipient)
			}
			if strings.Join(got, " ") != want || len(decision.NotSent) != 0 {
				t.Errorf("%s with %.40q: got %q and %+v, want %s", to, name, got, decision.NotSent, want)
			}
		}
	}
}

// TestDataIsNotASeparator combines data and text so that the result is not an address:
// nobody may receive the message.
func TestDataIsNotASeparator(t *testing.T) {
	const data = `{"a":"victim@other.example, x","b":"joe@example.com","mobile":"820000001, +27820000002"}`
	for name, rule := range map[string]*v1alpha1.NotificationRule{
		"two variables":       email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{{ a }} {{ b }}" }),
		"part of an address":  email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{{ a }}@example.com" }),
		"within the brackets": email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "Joe <{{ a }}>" }),
		"a comment":           email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{{ a }} (Joe)" }),
		"a number's end":      sms(func(s *v1alpha1.SMSMessage) { s.To = "+27{{ mobile }}" }),
	} {
		decision := decide(t, rule, data)
		if len(decision.Messages) != 0 || len(decision.NotSent) != 1 || decision.NotSent[0].Reason != MalformedRecipient {
			t.Errorf("%s: got %+v", name, decision)
		}
	}
}

// TestVariableMayBeAList checks recipients that consist of a single variable.
func TestVariableMayBeAList(t *testing.T) {
	const data = `{"emails":"a@example.com, \"B, C\" <b@example.com>;c@example.com\nA@example.com","list":["a@example.com","b@example.com"],"none":null}`
	for to, want := range map[string]string{
		"{{ emails }}":                  "a@example.com b@example.com c@example.com",
		" {{ emails }} ":                "a@example.com b@example.com c@example.com",
		"{{ emails }}, ops@example.com": "a@example.com b@example.com c@example.com ops@example.com",
		"{{ list|join:', ' }}":          "a@example.com b@example.com",
		"{{ none|default:'x@example.com,y@example.com' }}": "x@example.com y@example.com",
		"{% if emails %}{{ emails }}{% endif %}":           "a@example.com b@example.com c@example.com",
		"{% for a in list %}{{ a }},{% endfor %}":          "a@example.com b@example.com",
	} {
		decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = to, "Hello" }), data)
		var got []string
		for _, m := range decision.Messages {
			got = append(got, m.Recipient)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %s; %+v", to, got, want, decision.NotSent)
		}
	}
}

// TestNullIsNobody checks that a null, which Django prints as None, and a blank value are
// nobody, not a mistake, however the author writes the field: many users have no mobile
// number.
func TestNullIsNobody(t *testing.T) {
	for _, value := range []string{"null", `""`, `" "`} {
		data := `{"v":` + value + `,"list":[` + value + `,"a@example.com"],"name":"Joe","user":{"email":"joe@example.com"}}`
		for name, test := range map[string]struct {
			rule *v1alpha1.NotificationRule
			want string
		}{
			"an email":            {email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{{ v }}" }), ""},
			"a named email":       {email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{{ name }} <{{ v }}>" }), ""},
			"an email in a block": {email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{% if name %}\n{{ v }}\n{% endif %}" }), ""},
			"one of two emails":   {email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{{ v }}, Joe <{{ v }}>, b@example.com" }), "b@example.com"},
			"one of a list":       {email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = "{% for x in list %}{{ x }},{% endfor %}" }), "a@example.com"},
			"a number":            {sms(func(s *v1alpha1.SMSMessage) { s.To = "{{ v }}" }), ""},
			"a user":              {push(func(p *v1alpha1.PushMessage) { p.ToUser = "{{ v }}" }), ""},
			"a copy": {email(func(s *v1alpha1.NotificationRuleSpec) {
				s.Email.To, s.Email.ToUser, s.SystemEnabled = "b@example.com", "{{ v }}", true
			}), "b@example.com"},
			"the sender": {email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.From = "b@example.com", "{{ v }}" }), "b@example.com"},
			"the sender and a name": {email(func(s *v1alpha1.NotificationRuleSpec) {
				s.Email.To, s.Email.From = "b@example.com", "{{ name }} <{{ v }}>"
			}), "b@example.com"},
		} {
			if test.rule.Spec.Email != nil {
				test.rule.Spec.Email.Subject = "Hello"
			}
			decision := decide(t, test.rule, data)
			var got []string
			for _, m := range decision.Messages {
				got = append(got, m.Recipient)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s with %s: got %q, want %q; %+v", name, value, got, test.want, decision.NotSent)
			}
			for _, not := range decision.NotSent {
				if not.Reason != NoRecipient || not.Reason.Failure() {
					t.Errorf("%s with %s: %+v", name, value, not)
				}
			}
		}
	}
}

// TestEntitiesDoNotEndRecipients checks that the semicolon of an HTML entity in data doesn't
// make the rest of an address an address of somebody else.
func TestEntitiesDoNotEndRecipients(t *testing.T) {
	for _, value := range []string{"o&#x27;neil@example.com", "o&#39;neil@example.com", "neil&amp;sons@example.com", "a@example.com,o&#x27;neil@example.com"} {
		decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = "{{ v }}", "Hello" }), `{"v":"`+value+`"}`)
		for _, m := range decision.Messages {
			if m.Recipient != "a@example.com" {
				t.Errorf("%s is sent to %s", value, m.Recipient)
			}
		}
		if len(decision.NotSent) != 1 || decision.NotSent[0].Reason != MalformedRecipient {
			t.Errorf("%s: %+v", value, decision.NotSent)
		}
	}
	decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = "{{ v }}", "Hello" }), `{"v":"r&d@example.com;ops@example.com"}`)
	if len(decision.Messages) != 2 {
		t.Errorf("got %+v", decision)
	}
}

// TestNamesOfSenders puts every hostile name before the sender's address: the address must
// not change, and the name must be shown unchanged.
func TestNamesOfSenders(t *testing.T) {
	for _, from := range []string{
		"{{ context.company.name }} <no-reply@acme.example>",
		"\"{{ context.company.name }}\" <no-reply@acme.example>",
		"{{ context.company.name }}<{{ from }}>",
		"{{ whole }}",
	} {
		rule := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.From = from }))
		for _, name := range hostile {
			if from == "{{ whole }}" && strings.ContainsAny(name, `"=`) {
				continue // quotes in the value count as syntax
			}
			data, err := json.Marshal(map[string]any{"amount": 1, "currency": map[string]int{"divisibility": 2}, "user": map[string]string{"email": "joe@example.com"}, "created": 1, "from": "no-reply@acme.example", "whole": name + " <no-reply@acme.example>"})
			if err != nil {
				t.Fatal(err)
			}
			company := testCompany
			company.Name = name
			e, err := NewEvent("transaction.execute", company, data, testNow, nil)
			if err != nil {
				t.Fatal(err)
			}
			decision, err := rule.Decide(t.Context(), e, "")
			if err != nil {
				t.Fatal(err)
			}
			if len(decision.Messages) != 1 {
				t.Errorf("%s with %.40q: got %+v", from, name, decision)
				continue
			}
			got := decision.Messages[0].From
			parsed, err := mail.ParseAddress(got)
			if err != nil || parsed.Address != "no-reply@acme.example" {
				t.Errorf("%s with %.40q: the sender is %q, %v", from, name, got, err)
				continue
			}
			if strings.ContainsAny(got, "\r\n\x00") || len(got) > 2000 || !utf8.ValidString(parsed.Name) {
				t.Errorf("%s with %.40q: the sender is %q", from, name, got)
			}
			if plain := (address.Address{Local: "a", Domain: "b"}).WithName(name).Name; parsed.Name != plain {
				t.Errorf("%s with %.40q: the name is %q, want %q", from, name, parsed.Name, plain)
			}
		}
	}
}

func TestMailbox(t *testing.T) {
	for text, want := range map[string]mail.Address{
		"joe@example.com":                           {Address: "joe@example.com"},
		" <joe@example.com> ":                       {Address: "joe@example.com"},
		"Joe <joe@example.com>":                     {Name: "Joe", Address: "joe@example.com"},
		"Acme, Inc. <joe@example.com>":              {Name: "Acme, Inc.", Address: "joe@example.com"},
		`"Zoë \"the great\", MD" <joe@example.com>`: {Name: `Zoë "the great", MD`, Address: "joe@example.com"},
		`A\B <joe@example.com>`:                     {Name: `A\B`, Address: "joe@example.com"},
		"=?utf-8?q?Zo=C3=AB?= <joe@example.com>":    {Name: "Zoë", Address: "joe@example.com"},
		"=?utf-8?q?a=0Ab?= <joe@example.com>":       {Name: "a b", Address: "joe@example.com"},
		"joe@example.com (Joe, of Cape Town)":       {Name: "Joe, of Cape Town", Address: "joe@example.com"},
		"\u200bjoe@example.com\ufeff":               {Address: "joe@example.com"},
		"Joe <\u200bjoe@example.com>":               {Name: "Joe", Address: "joe@example.com"},
		"a <b@example.com> <joe@example.com>":       {Name: "a <b@example.com>", Address: "joe@example.com"},
		`"" <joe@example.com>`:                      {Address: "joe@example.com"},
		`" <joe@example.com>`:                       {Name: `"`, Address: "joe@example.com"},
	} {
		a, err := authored(text).address()
		if got := (mail.Address{Name: a.Name, Address: a.Bare()}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// TestConstantsAreChecked checks that constants that are invalid for every event are
// rejected when the rule is applied.
func TestConstantsAreChecked(t *testing.T) {
	from := func(from string) *v1alpha1.NotificationRule {
		return email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.From = from })
	}
	to := func(to string) *v1alpha1.NotificationRule {
		return email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = to })
	}
	mobile := func(to, region string) *v1alpha1.NotificationRule {
		return sms(func(s *v1alpha1.SMSMessage) { s.To, s.DefaultRegion = to, region })
	}
	for name, test := range map[string]struct {
		rule    *v1alpha1.NotificationRule
		problem string
	}{
		"an address":                {rule: to("ops@acme.example")},
		"addresses":                 {rule: to("ops@acme.example, Dev <dev@acme.example>;\n")},
		"null":                      {to("None"), "spec.email.to: contains a recipient that is not exactly one email address"},
		"no address":                {to("ops"), "spec.email.to: contains a recipient that is not exactly one email address"},
		"no address beside another": {to("{{ user.email }}, ops@"), "spec.email.to: contains a recipient that is not exactly one email address"},
		"no address beside a name":  {to("{{ user.name }} <ops>"), "spec.email.to: contains a recipient that is not exactly one email address"},
		"in a block":                {rule: to("{% if user.email %}{{ user.email }}{% else %}nobody{% endif %}")},
		"a default":                 {rule: to("{{ user.email|default:'nobody' }}")},
		"a number":                  {rule: mobile("\u202a+27 82 000 0001\u202c", "")},
		"a local number":            {rule: mobile("082 000 0001", "ZA")},
		"a local number, no region": {mobile("082 000 0001", ""), "spec.sms.to: contains a recipient that is a phone number without a country code, and no default region is set"},
		"no number":                 {mobile("ops@acme.example", ""), "spec.sms.to: contains a recipient that is not a phone number"},
		"a user":                    {rule: push(func(p *v1alpha1.PushMessage) { p.ToUser = zoe })},
		"no user":                   {push(func(p *v1alpha1.PushMessage) { p.ToUser = "zoe" }), "spec.push.toUser: contains a recipient that is not the identifier of a user"},
		"a sender":                  {rule: from("Acme, Inc. <no-reply@acme.example>")},
		"no sender":                 {from("Acme"), "spec.email.from: the sender is not exactly one email address"},
		"no sender's address":       {from("{{ context.company.name }} <no-reply@>"), "spec.email.from: the sender is not exactly one email address"},
		"a sender from data":        {rule: from("{{ sender }}")},
	} {
		_, problems := Compile(test.rule)
		if got := problems.Error(); got != test.problem {
			t.Errorf("%s: got %q, want %q", name, got, test.problem)
		}
	}
}

func TestInvalidSenderErrorsNameTheSource(t *testing.T) {
	for name, test := range map[string]struct{ from, system, fallback, want string }{
		"the rule's":     {from: "{{ user.first_name }}", system: "hello@acme.example", want: "spec.email.from rendered something that is not exactly one email address"},
		"the company's":  {system: "planted", fallback: "x@operator.example", want: "the company's system email on Rehive is not exactly one email address"},
		"the operator's": {fallback: "planted", want: "the default sender, which is that of the DeliveryProvider or the operator's --email-from, is not exactly one email address"},
		"nobody's":       {want: "there is no sender: "},
	} {
		company := testCompany
		company.SystemEmail = test.system
		e, err := NewEvent("transaction.execute", company, []byte(transaction), testNow, nil)
		if err != nil {
			t.Fatal(err)
		}
		decision, err := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.From = test.from })).Decide(t.Context(), e, test.fallback)
		if err != nil {
			t.Fatal(err)
		}
		if len(decision.NotSent) != 1 || decision.NotSent[0].Reason != NoSender || !strings.HasPrefix(decision.NotSent[0].Detail, test.want) || strings.Contains(decision.NotSent[0].Detail, "planted") {
			t.Errorf("%s: got %+v", name, decision)
		}
	}
}

// TestSplittingIsLinear limits the cost of a large value.
func TestSplittingIsLinear(t *testing.T) {
	for _, piece := range []string{",", "<", ">", `"`, `\`, "<>", "a@example.com,", "(", "\u200b"} {
		data := `{"v":` + string(must(json.Marshal(strings.Repeat(piece, 1<<20/len(piece))))) + `}`
		for _, to := range []string{"{{ v }}", "{{ v }} <{{ v }}>", "{% for x in 'abc' %}{{ v }} <a@example.com>,{% endfor %}"} {
			rule := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.From = to, "{{ v }} <a@example.com>" }))
			e := event(t, data, nil)
			var err error
			took := metertest.Measure(func() { _, err = rule.Decide(t.Context(), e, "") })
			if err != nil {
				t.Fatal(err)
			}
			if took > 5*time.Second {
				t.Errorf("%s with %q took %s of CPU time", to, piece, took)
			}
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
