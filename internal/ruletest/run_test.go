// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ruletest

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
)

const rule = `
companyRef: {name: shop}
displayName: Payment received
enabled: false
systemEnabled: true
event: transaction.execute
expression: "'{{ status }}' == 'Complete'"
email:
  to: "{{ user.email }}{% if partner %}, {{ partner.user.email }}{% endif %}"
  subject: "You received {{ amount|money:currency.divisibility }}"
  text: |
    Hello {{ user.first_name }},

    You received {{ amount|money:currency.divisibility }}.
    {{ context.company.name }}, {% now "Y" %}, {{ computed.total_amount }}
  html: "<p>{{ note }}</p>"
`

func run1(t *testing.T, spec, test string) Result {
	t.Helper()
	object := &v1alpha1.NotificationRule{}
	if err := yaml.UnmarshalStrict([]byte(spec), &object.Spec); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte("tests: ["+test+"]"), &object.Spec); err != nil {
		t.Fatal(err)
	}
	compiled := notify.CompileRule(object, nil, notify.CompileLayout)
	if len(compiled.Problems) > 0 {
		t.Fatal(compiled.Problems)
	}
	return Run(t.Context(), object.Spec.Tests, object.Spec.Event, &compiled)
}

func TestRun(t *testing.T) {
	const changed = `event: {changes: {amount: 2500, partner: null, note: "<b>"}}`
	for name, test := range map[string]struct{ test, want, diff string }{
		"the sample": {`{name: t, expect: {recipients: [sam@example.com, lena@example.com]}}`, "", ""},
		"everything": {`{name: t, ` + changed + `, expect: {sent: true, recipients: [lena@example.com],
			subject: {equals: You received 25.00}, text: {equals: "Hello Lena,\n\nYou received 25.00.\nNorthwind, 2026, 2500\n\n"}, html: {contains: ["&lt;b&gt;"], excludes: [<b>]}}}`, "", ""},
		"not sent":          {`{name: t, event: {changes: {status: Pending}}, expect: {sent: false, reason: ExpressionFalse}}`, "", ""},
		"another event":     {`{name: t, event: {sample: user.create}, expect: {sent: false}}`, "", ""},
		"nested changes":    {`{name: t, event: {changes: {partner: null, user: {email: joe@example.com}}}, expect: {recipients: [joe@example.com], text: {contains: [Hello Lena]}}}`, "", ""},
		"data":              {`{name: t, event: {data: {status: Complete, user: {email: a@example.com, first_name: A}, amount: 1, currency: {divisibility: 0}}, computed: {total_amount: 7}}, expect: {recipients: [a@example.com], text: {contains: [", 7"]}}}`, "", ""},
		"sent by mistake":   {`{name: t, ` + changed + `, expect: {sent: false}}`, "nothing must be sent, but a message goes to lena@example.com", ""},
		"not sent at all":   {`{name: t, event: {changes: {status: Pending}}, expect: {}}`, "nothing is sent: ExpressionFalse ('Pending' == 'Complete')", ""},
		"reason":            {`{name: t, event: {changes: {status: Pending}}, expect: {sent: false, reason: NoRecipient}}`, "the reason is ExpressionFalse and not NoRecipient ('Pending' == 'Complete')", ""},
		"recipients":        {`{name: t, ` + changed + `, expect: {recipients: [joe@example.com]}}`, "the message goes to lena@example.com and not to joe@example.com", ""},
		"subject":           {`{name: t, ` + changed + `, expect: {subject: {equals: You received 26.00}}}`, `subject, line 1: is "You received 25.00" and must be "You received 26.00"`, "- You received 26.00\n+ You received 25.00"},
		"text":              {`{name: t, ` + changed + `, expect: {text: {equals: "Hello Lena,\n\nYou paid 25.00.\nNorthwind, 2026, 2500"}}}`, `text, line 3: is "You received 25.00." and must be "You paid 25.00."`, "- You paid 25.00.\n+ You received 25.00."},
		"contains":          {`{name: t, ` + changed + `, expect: {subject: {contains: [received, EUR]}}}`, `subject: does not contain "EUR"`, "+ You received 25.00"},
		"excludes":          {`{name: t, ` + changed + `, expect: {html: {excludes: [lt]}}}`, `html: contains "lt"`, ""},
		"unknown sample":    {`{name: t, event: {sample: weather.change}, expect: {}}`, "event: there is no sample of the event weather.change: set data", ""},
		"data of no object": {`{name: t, event: {data: [1]}, expect: {}}`, "event.data: must be an object", ""},
		"null":              {`{name: t, event: {changes: []}, expect: {}}`, "event.changes: must be an object", ""},
		"computed":          {`{name: t, event: {computed: 1}, expect: {}}`, "event.computed: must be an object", ""},
		"large data":        {`{name: t, event: {data: {a: ` + strings.Repeat("a", MaxData) + `}}, expect: {}}`, "event.data: must not be larger than 65536 bytes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			result := run1(t, rule, test.test)
			if result.Tests != 1 || result.Unfinished {
				t.Fatalf("got %+v", result)
			}
			var got Failure
			if len(result.Failures) > 0 {
				got = result.Failures[0]
			}
			if got.Message != test.want || got.Diff != test.diff {
				t.Errorf("got %q\n%s\nwant %q\n%s", got.Message, got.Diff, test.want, test.diff)
			}
		})
	}
}

func TestProblem(t *testing.T) {
	f := Failure{Index: 3, Name: "a deposit", Message: "nothing is sent"}
	if got, want := f.Problem().Error(), `spec.tests[3]: the test "a deposit" fails: nothing is sent`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNoEvent uses a rule that is only triggered manually.
func TestNoEvent(t *testing.T) {
	const byHand = "{companyRef: {name: shop}, displayName: D, sms: {to: '{{ to }}', message: '{{ text }}'}}"
	if result := run1(t, byHand, "{name: t, event: {data: {to: '+15005550006', text: Hi}}, expect: {recipients: ['+15005550006'], text: {equals: Hi}}}"); len(result.Failures) > 0 {
		t.Errorf("got %+v", result.Failures)
	}
	if result := run1(t, byHand, "{name: t, expect: {}}"); len(result.Failures) != 1 || result.Failures[0].Message != "event: set sample or data, because the rule has no event" {
		t.Errorf("got %+v", result.Failures)
	}
}

// TestTimeout uses tests that exceed the time limit.
func TestTimeout(t *testing.T) {
	slow := strings.Replace(rule, "Hello {{ user.first_name }}", strings.Repeat("{% for a in l %}", 5)+"{{ a }}"+strings.Repeat("{% endfor %}", 5), 1)
	test := "{name: t, event: {changes: {l: [" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]}}, expect: {}}"
	start := time.Now()
	result := run1(t, slow, strings.TrimSuffix(strings.Repeat(test+",", 20), ","))
	if took := time.Since(start); took > 20*Timeout {
		t.Errorf("it took %s", took)
	}
	// Either the time limit or the step limit of a rendering ends it.
	if !result.Unfinished && len(result.Failures) != 20 {
		t.Errorf("got %+v", result)
	}
}

// TestProblemsComeFirst checks that no tests run for a rule that has problems.
func TestProblemsComeFirst(t *testing.T) {
	compiled := notify.Compiled{Problems: notify.Problems{{Field: "spec"}}}
	if result := Run(t.Context(), make([]v1alpha1.RuleTest, 2), "user.create", &compiled); result.Tests != 0 || result.Failures != nil {
		t.Errorf("got %+v", result)
	}
}
