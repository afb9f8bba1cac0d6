// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/python"
)

var (
	testCompany = Company{ID: "acme", Name: "Acme & Sons", SystemEmail: "hello@acme.example"}
	testNow     = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
)

const transaction = `{
	"id": "4c7e", "status": "Complete", "tx_type": "credit", "amount": 1050, "created": 1596795344112,
	"currency": {"code": "USD", "symbol": "$", "divisibility": 2},
	"user": {"first_name": "Zoë <b>", "email": "zoe@example.com"},
	"emails": "a@example.com, B <b@example.com>; a@example.com", "nothing": "", "bad": "not an address"
}`

// email returns a rule that sends to the event's user.
func email(change func(*v1alpha1.NotificationRuleSpec)) *v1alpha1.NotificationRule {
	rule := &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			DisplayName: "A rule",
			Event:       "transaction.execute",
			Email: &v1alpha1.EmailMessage{
				To:      "{{ user.email }}",
				Subject: "{{ amount|money:currency.divisibility }} for {{ user.first_name }}",
				Text:    "{{ context.company.name }}: {{ created|timestamp|date:'Y-m-d' }}",
			},
		},
	}}
	if change != nil {
		change(&rule.Spec)
	}
	return rule
}

func decide(t *testing.T, rule *v1alpha1.NotificationRule, data string) Decision {
	t.Helper()
	decision, err := compile(t, rule).Decide(t.Context(), event(t, data, nil), "")
	if err != nil {
		t.Fatal(err)
	}
	return decision
}

func compile(t *testing.T, rule *v1alpha1.NotificationRule) *Rule {
	t.Helper()
	compiled, problems := Compile(rule)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return compiled
}

func event(t *testing.T, data string, computed func(context.Context) (*python.Dict, error)) *Event {
	t.Helper()
	e, err := NewEvent("transaction.execute", testCompany, []byte(data), testNow, computed)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDecideRendersTheMessage(t *testing.T) {
	decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.HTML = "<p>{{ user.first_name }} of {{ context.company.name }}</p>{% now 'Y' %}"
	}), transaction)
	if len(decision.Messages) != 1 || len(decision.NotSent) != 0 {
		t.Fatalf("got %+v", decision)
	}
	want := Message{
		Channel:   ChannelEmail,
		Recipient: "zoe@example.com",
		From:      "<hello@acme.example>",
		Subject:   "10.50 for Zoë <b>",
		Text:      "Acme & Sons: 2020-08-07",
		HTML:      "<p>Zoë &lt;b&gt; of Acme &amp; Sons</p>2026",
	}
	if decision.Messages[0] != want {
		t.Errorf("got  %+v\nwant %+v", decision.Messages[0], want)
	}
}

func TestDecideExpression(t *testing.T) {
	for expression, want := range map[string]Reason{
		"": "",
		"'{{ status }}' == 'Complete' and {{ amount }} > 1000": "",
		"'{{ status }}' == 'Pending'":                          ExpressionFalse,
		"{{ amount }} > ":                                      ExpressionFault,
		"'{{ missing }}' == ''":                                "",
		"{{ user.first_name }} == 1":                           ExpressionFault,
	} {
		t.Run(expression, func(t *testing.T) {
			compiled, problems := Compile(email(func(s *v1alpha1.NotificationRuleSpec) { s.Expression = expression }))
			if len(problems) > 0 {
				if want != ExpressionFault {
					t.Fatal(problems)
				}
				return // reported immediately, which is even better
			}
			decision, err := compiled.Decide(t.Context(), event(t, transaction, nil), "")
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case want == "" && len(decision.Messages) == 1:
			case want != "" && len(decision.NotSent) == 1 && decision.NotSent[0].Reason == want:
			default:
				t.Fatalf("got %+v, want reason %q", decision, want)
			}
			for _, not := range decision.NotSent {
				if not.Reason == ExpressionFault && not.Detail == "" {
					t.Error("the fault has no message")
				}
				if strings.Contains(not.Detail, "Zoë") {
					t.Errorf("the detail repeats the customer's data: %s", not.Detail)
				}
			}
		})
	}
}

func TestDecideRecipients(t *testing.T) {
	for to, want := range map[string]struct {
		recipients string
		reasons    string
	}{
		"{{ emails }}":                          {recipients: "a@example.com b@example.com"},
		"{{ nothing }}":                         {reasons: "NoRecipient"},
		" {{ missing.deeply }} , ":              {reasons: "NoRecipient"},
		"{{ bad }}":                             {reasons: "MalformedRecipient"},
		"{{ bad }}, {{ user.email }}":           {recipients: "zoe@example.com", reasons: "MalformedRecipient"},
		"\"Zoë, the great\" <{{ user.email }}>": {recipients: "zoe@example.com"},
		"{{ user.email }},ZOE@example.com":      {recipients: "zoe@example.com"},
		"{{ 'joe@[127.0.0.1]' }}":               {reasons: "MalformedRecipient"},
		"{{ 'joe@' }}":                          {reasons: "MalformedRecipient"},
		"{% if amount %}joe@example.com\tBcc: eve@example.com{% endif %}":           {reasons: "MalformedRecipient"},
		"{% if amount %}joe@example.com\nBcc: eve@example.com{% endif %}":           {recipients: "joe@example.com", reasons: "MalformedRecipient"},
		"{% for i in 'x'|ljust:51 %}{{ forloop.counter }}@example.com,{% endfor %}": {reasons: "TooManyRecipients"},
	} {
		t.Run(to, func(t *testing.T) {
			decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To = to }), transaction)
			var recipients, reasons []string
			for _, message := range decision.Messages {
				recipients = append(recipients, message.Recipient)
			}
			for _, not := range decision.NotSent {
				reasons = append(reasons, string(not.Reason))
			}
			if strings.Join(recipients, " ") != want.recipients || strings.Join(reasons, " ") != want.reasons {
				t.Errorf("recipients %q, reasons %q; want %+v", recipients, reasons, want)
			}
		})
	}
}

func TestDecideSender(t *testing.T) {
	for name, test := range map[string]struct {
		from, company, fallback, want string
	}{
		"the rule's":        {from: "{{ context.company.name }} <ops@acme.example>", company: "hello@acme.example", want: `"Acme & Sons" <ops@acme.example>`},
		"the company's":     {company: "hello@acme.example", fallback: "x@operator.example", want: "<hello@acme.example>"},
		"the operator's":    {fallback: "Operator <x@operator.example>", want: `"Operator" <x@operator.example>`},
		"rendered as blank": {from: "{{ missing }}", company: "hello@acme.example", want: "<hello@acme.example>"},
		"none":              {want: ""},
		"no address":        {from: "{{ 'Acme' }}", company: "hello@acme.example", want: ""},
		"with a line break": {from: "{% if amount %}a@acme.example\r\nBcc: eve@example.com{% endif %}", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.From = test.from }))
			company := testCompany
			company.SystemEmail = test.company
			e, err := NewEvent("transaction.execute", company, []byte(transaction), testNow, nil)
			if err != nil {
				t.Fatal(err)
			}
			decision, err := rule.Decide(t.Context(), e, test.fallback)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if len(decision.NotSent) != 1 || decision.NotSent[0].Reason != NoSender {
					t.Fatalf("got %+v, want NoSender", decision)
				}
				return
			}
			if len(decision.Messages) != 1 || decision.Messages[0].From != test.want {
				t.Errorf("got %+v, want the sender %s", decision, test.want)
			}
		})
	}
}

func TestDecideBlankTextIsNotSent(t *testing.T) {
	decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.Text = "{{ missing }}\n" }), transaction)
	if len(decision.NotSent) != 1 || decision.NotSent[0].Reason != EmptyText {
		t.Errorf("got %+v", decision)
	}
}

func TestDecideSubjectIsOneLine(t *testing.T) {
	decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.Subject = "a\r\nBcc: eve@example.com\n\tb" }), transaction)
	if got := decision.Messages[0].Subject; got != "a Bcc: eve@example.com b" {
		t.Errorf("got %q", got)
	}
}

func TestDecideRenderFailure(t *testing.T) {
	decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.Text = "one\n{% include status %}" }), transaction)
	if len(decision.NotSent) != 1 || decision.NotSent[0].Reason != RenderFailed {
		t.Fatalf("got %+v", decision)
	}
	if detail := decision.NotSent[0].Detail; !strings.HasPrefix(detail, "spec.email.text: line 2, column 1: ") {
		t.Errorf("the detail has no position: %s", detail)
	}
}

// TestDecideReadsComputedLazily checks that computed, which requires a call of the
// platform, is read only when it is used, once for all rules, and that an outage is not a
// decision.
func TestDecideReadsComputedLazily(t *testing.T) {
	calls := 0
	var outage error
	computed := func(context.Context) (*python.Dict, error) {
		calls++
		if outage != nil {
			return nil, outage
		}
		values := python.NewDict(1)
		values.SetStr("fee", python.Int(-10))
		return values, nil
	}
	reading := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Expression = "'{{ status }}' == 'Complete'"
		s.Email.Text = "{{ computed.fee }}"
	}))
	deciding := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Expression = "{{ computed.fee }} < 0" }))
	plain := compile(t, email(nil))

	e := event(t, strings.Replace(transaction, "Complete", "Pending", 1), computed)
	for _, rule := range []*Rule{plain, reading} {
		if _, err := rule.Decide(t.Context(), e, ""); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 0 {
		t.Errorf("computed was read %d times, although nothing uses it", calls)
	}

	outage = errors.New("the platform is unavailable")
	e = event(t, transaction, computed)
	if _, err := reading.Decide(t.Context(), e, ""); !errors.Is(err, outage) {
		t.Errorf("got %v, want the outage", err)
	}
	outage, calls = nil, 0
	for _, rule := range []*Rule{reading, deciding, reading} {
		decision, err := rule.Decide(t.Context(), e, "")
		if err != nil || len(decision.Messages) != 1 {
			t.Fatalf("got %+v, %v", decision, err)
		}
		if rule == reading && decision.Messages[0].Text != "-10" {
			t.Errorf("the text is %q", decision.Messages[0].Text)
		}
	}
	if calls != 1 {
		t.Errorf("computed was read %d times for one event", calls)
	}
}

func TestDecideEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compile(t, email(nil)).Decide(ctx, event(t, transaction, nil), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an error after the context ended", err)
	}
}

func TestContextCannotBeForged(t *testing.T) {
	decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.Subject, s.Email.Text = "Hello", "{{ context.company.id }} {{ computed.fee }}"
	}),
		`{"user":{"email":"zoe@example.com"},"context":{"company":{"id":"forged"}}}`)
	if got := decision.Messages[0].Text; !strings.HasPrefix(got, "acme ") {
		t.Errorf("the event's data replaced the company: %q", got)
	}
}

func TestDataThatIsNotAnObject(t *testing.T) {
	for _, data := range []string{`[1,2]`, `"text"`, `null`, `7`} {
		decision := decide(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = "ops@acme.example", "Hello" }), data)
		if len(decision.Messages) != 1 {
			t.Errorf("%s: got %+v", data, decision)
		}
	}
	if _, err := NewEvent("x", testCompany, []byte(`{"broken`), testNow, nil); err == nil {
		t.Error("invalid JSON was accepted")
	}
}

func TestCompileReportsAllProblemsWithPositions(t *testing.T) {
	_, problems := Compile(email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Expression = "1 +"
		s.Email.Subject = "{{ amount|no_such_filter }}"
		s.Email.Text = "line one\n  {% if amount %}never closed"
		s.Email.HTML = "{% endif %}"
	}))
	want := map[string]int{"spec.expression": 1, "spec.email.subject": 1, "spec.email.text": 2, "spec.email.html": 1}
	if len(problems) != len(want) {
		t.Fatalf("got %d problems: %v", len(problems), problems)
	}
	for _, problem := range problems {
		line, ok := want[problem.Field]
		if !ok || problem.Line != line || problem.Column == 0 || problem.Message == "" {
			t.Errorf("got %+v, want line %d", problem, line)
		}
		if strings.Contains(problem.Message, problem.Field) {
			t.Errorf("the sentence repeats its field: %s", problem.Error())
		}
	}
}

func TestVariables(t *testing.T) {
	rule := compile(t, email(func(s *v1alpha1.NotificationRuleSpec) { s.Expression = "'{{ status }}' == 'Complete'" }))
	got := strings.Join(rule.Variables(), " ")
	want := "amount context.company.name created currency.divisibility status user.email user.first_name"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// sms returns a rule that sends an SMS to the event's user.
func sms(change func(*v1alpha1.SMSMessage)) *v1alpha1.NotificationRule {
	message := &v1alpha1.SMSMessage{To: "{{ user.mobile }}", Message: "{{ context.company.name }}: {{ amount|money:currency.divisibility }}"}
	if change != nil {
		change(message)
	}
	return &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{NotificationSpec: v1alpha1.NotificationSpec{DisplayName: "A rule", Event: "transaction.execute", SMS: message}}}
}

// push returns a rule that sends a push message to the event's user.
func push(change func(*v1alpha1.PushMessage)) *v1alpha1.NotificationRule {
	message := &v1alpha1.PushMessage{ToUser: "{{ user.id }}", Title: "Money &\n{{ user.name }}", Message: "{{ context.company.name }}"}
	if change != nil {
		change(message)
	}
	return &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{NotificationSpec: v1alpha1.NotificationSpec{DisplayName: "A rule", Event: "transaction.execute", Push: message}}}
}

const mobileData = `{
	"amount": 1050, "currency": {"divisibility": 2}, "local": "082 000 0001",
	"user": {"id": "11111111-2222-3333-4444-555555555555", "name": "Zoë <b>", "mobile": "+27 82 000 0001", "email": "zoe@example.com"}
}`

// TestDecideWhatsApp checks that the variables of a content template are rendered for each
// event, as text on one line.
func TestDecideWhatsApp(t *testing.T) {
	rule := sms(func(s *v1alpha1.SMSMessage) {
		s.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentSID: "HX1", ContentVariables: map[string]string{
			"2": "{{ context.company.name }}", "1": " {{ amount|money:currency.divisibility }}\n{{ nothing }}\tpaid ",
		}}
	})
	decision := decide(t, rule, mobileData)
	want := SMSOptions{ContentSID: "HX1", ContentVariables: `{"1":"10.50 paid","2":"Acme \u0026 Sons"}`}
	if len(decision.Messages) != 1 || decision.Messages[0].SMS != want || decision.Messages[0].Text != "Acme & Sons: 10.50" {
		t.Errorf("got  %+v\nwant %+v", decision, want)
	}
	rule = sms(func(s *v1alpha1.SMSMessage) { s.UseTwilioVerify = true })
	if decision := decide(t, rule, mobileData); len(decision.Messages) != 1 || decision.Messages[0].SMS != (SMSOptions{Verify: true}) {
		t.Errorf("got %+v", decision)
	}
	rule = sms(func(s *v1alpha1.SMSMessage) {
		s.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentSID: "HX1", ContentVariables: map[string]string{"1": "{% for i in \"" + strings.Repeat("x", 1000) + "\" %}" + strings.Repeat("y", 20) + "{% endfor %}"}}
	})
	if decision := decide(t, rule, mobileData); len(decision.NotSent) != 1 || decision.NotSent[0].Reason != RenderFailed {
		t.Errorf("got %+v", decision)
	}
}

func TestDecideSMS(t *testing.T) {
	decision := decide(t, sms(nil), mobileData)
	want := Message{Channel: ChannelSMS, Recipient: "+27820000001", User: zoe, Text: "Acme & Sons: 10.50"}
	if len(decision.Messages) != 1 || decision.Messages[0] != want {
		t.Errorf("got  %+v\nwant %+v", decision, want)
	}
}

func TestDecidePush(t *testing.T) {
	decision := decide(t, push(nil), mobileData)
	want := Message{Channel: ChannelPush, Recipient: zoe, User: zoe, Subject: "Money & Zoë <b>", Text: "Acme & Sons"}
	if len(decision.Messages) != 1 || decision.Messages[0] != want {
		t.Errorf("got  %+v\nwant %+v", decision, want)
	}
	decision = decide(t, push(func(p *v1alpha1.PushMessage) { p.Title = "" }), mobileData)
	if len(decision.Messages) != 1 || decision.Messages[0].Subject != "" {
		t.Errorf("without a title: %+v", decision)
	}
	decision = decide(t, push(func(p *v1alpha1.PushMessage) { p.Message = "{{ nothing }}" }), mobileData)
	if len(decision.NotSent) != 1 || decision.NotSent[0].Reason != EmptyText || decision.NotSent[0].Detail != "spec.push.message rendered blank" {
		t.Errorf("blank: %+v", decision)
	}
}

func TestDecideSystem(t *testing.T) {
	rule := &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			DisplayName: "A rule",
			System:      &v1alpha1.SystemMessage{ToUser: "{{ user.id }}, {{ user.email }}", Title: "{{ user.name }}", Message: "{{ context.company.name }}"},
		},
	}}
	decision := decide(t, rule, mobileData)
	want := Message{Channel: ChannelSystem, Recipient: zoe, User: zoe, Subject: "Zoë <b>", Text: "Acme & Sons"}
	if len(decision.Messages) != 1 || decision.Messages[0] != want || len(decision.NotSent) != 1 || decision.NotSent[0].Reason != MalformedRecipient {
		t.Errorf("got  %+v\nwant %+v", decision, want)
	}
}

func TestDecideRecipientsOfEachChannel(t *testing.T) {
	for name, test := range map[string]struct {
		rule       *v1alpha1.NotificationRule
		recipients string
		reasons    string
	}{
		"local number":             {rule: sms(func(s *v1alpha1.SMSMessage) { s.To = "{{ local }}" }), reasons: "MalformedRecipient"},
		"local number of a region": {rule: sms(func(s *v1alpha1.SMSMessage) { s.To, s.DefaultRegion = "{{ local }}", "ZA" }), recipients: "+27820000001"},
		"one number, two ways":     {rule: sms(func(s *v1alpha1.SMSMessage) { s.To, s.DefaultRegion = "{{ local }}, {{ user.mobile }}", "ZA" }), recipients: "+27820000001"},
		"address as number":        {rule: sms(func(s *v1alpha1.SMSMessage) { s.To = "{{ user.email }}, +14155552671" }), recipients: "+14155552671", reasons: "MalformedRecipient"},
		"no number":                {rule: sms(func(s *v1alpha1.SMSMessage) { s.To = "{{ nothing }}" }), reasons: "NoRecipient"},
		"address as user":          {rule: push(func(p *v1alpha1.PushMessage) { p.ToUser = "{{ user.email }}" }), reasons: "MalformedRecipient"},
		"a user, and a query":      {rule: push(func(p *v1alpha1.PushMessage) { p.ToUser = "{{ user.id }}, {{ user.id }}&user=" }), recipients: "11111111-2222-3333-4444-555555555555", reasons: "MalformedRecipient"},
		"no user":                  {rule: push(func(p *v1alpha1.PushMessage) { p.ToUser = "{{ nothing }}" }), reasons: "NoRecipient"},
	} {
		t.Run(name, func(t *testing.T) {
			decision := decide(t, test.rule, mobileData)
			var recipients, reasons []string
			for _, message := range decision.Messages {
				recipients = append(recipients, message.Recipient)
			}
			for _, not := range decision.NotSent {
				reasons = append(reasons, string(not.Reason))
				if strings.Contains(not.Detail, "zoe@") || strings.Contains(not.Detail, "0001") {
					t.Errorf("the detail repeats the customer's data: %s", not.Detail)
				}
			}
			if strings.Join(recipients, " ") != test.recipients || strings.Join(reasons, " ") != test.reasons {
				t.Errorf("recipients %q, reasons %q; want %+v", recipients, reasons, test)
			}
		})
	}
}

func TestCompileOfEachChannel(t *testing.T) {
	for field, rule := range map[string]*v1alpha1.NotificationRule{
		"spec.email.toUser": email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.ToUser = "{% if %}" }),
		"spec.sms.toUser":   sms(func(s *v1alpha1.SMSMessage) { s.ToUser = "{% if %}" }),
		"spec.sms.to":       sms(func(s *v1alpha1.SMSMessage) { s.To = "{% if %}" }),
		"spec.sms.message":  sms(func(s *v1alpha1.SMSMessage) { s.Message = "{% if %}" }),
		"spec.sms.whatsApp.contentVariables.1": sms(func(s *v1alpha1.SMSMessage) {
			s.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentVariables: map[string]string{"1": "{% if %}"}}
		}),
		"spec.sms.defaultRegion": sms(func(s *v1alpha1.SMSMessage) { s.DefaultRegion = "XX" }),
		"spec.push.toUser":       push(func(p *v1alpha1.PushMessage) { p.ToUser = "{% if %}" }),
		"spec.push.title":        push(func(p *v1alpha1.PushMessage) { p.Title = "{% if %}" }),
		"spec.push.message":      push(func(p *v1alpha1.PushMessage) { p.Message = "{% if %}" }),
		"spec.system.message":    {Spec: v1alpha1.NotificationRuleSpec{NotificationSpec: v1alpha1.NotificationSpec{System: &v1alpha1.SystemMessage{ToUser: "{{ user.id }}", Message: "{% if %}"}}}},
		"spec":                   {},
	} {
		if _, problems := Compile(rule); len(problems) != 1 || problems[0].Field != field {
			t.Errorf("%s: got %+v", field, problems)
		}
	}
}

// Decide evaluates the rule itself as enabled, without a layout or with that of WithLayout.
func (r *Rule) Decide(ctx context.Context, event *Event, defaultFrom string) (Decision, error) {
	return (&Compiled{Rule: r}).Decide(ctx, event, defaultFrom)
}
