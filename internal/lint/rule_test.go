// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/config/presets"
	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/platformevent"
)

func rule(event, expression, text string) *v1alpha1.NotificationRule {
	return &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			Event:      event,
			Expression: expression,
			SMS:        &v1alpha1.SMSMessage{To: "+15005550006", Message: text},
		},
	}}
}

// TestExpressions has common mistakes in expressions, including those that Rehive's guide
// lists, and correct expressions. want is the warning without its field.
func TestExpressions(t *testing.T) {
	for _, test := range []struct{ event, expression, want string }{
		// Correct advice of Rehive's guide.
		{"transaction.update", "'{{ status }}' == 'Complete' and '{{ original_transaction.status }}' != 'Complete'", ""},
		{"transaction.create", "'{{ user.groups.0.name }}' == 'individual'", ""},
		{"transaction.create", "{{ amount }} > 1000", ""},
		{"transaction.create", "{{ user.temporary }}", ""},
		{"user.create", "not {{ temporary }}", ""},
		{"address.update", "'{{ city }}' != '{{ original_address.city }}'", ""},
		{"transaction.execute", "'{{ subtype }}' == 'deposit_manual' and '{{ tx_type }}' == 'credit'", ""},
		{"transaction.execute", "'{{ subtype }}' == 'our_own'", ""},
		{"transaction.execute", "'{{ parent }}' == 'None'", ""},
		{"transaction.execute", "'{{ user.temporary }}' == 'True' and '{{ amount }}' == '1000'", ""},
		{"transaction.execute", "'{{ status|lower }}' == 'complete'", ""},
		{"transaction.execute", "'{{ status }}' in ['Complete', 'Failed']", ""},
		{"transaction.execute", "'plete' in '{{ status }}'", ""},
		{"transaction.execute", "'{{ metadata.kind }}' == 'gift' and {{ metadata.count }} > 5", ""},
		{"transaction.execute", "{{ computed.fee }} < 0", ""},
		{"weather.change", "'{{ rain }}' == 'yes' and {{ mm }} > 5", ""},
		{"conversion.quote", "'{{ something }}' == 'x'", ""},
		{"", "'{{ anything }}' == 'x'", ""},

		// Advice of the guide that fails if a value is null.
		{"user.create", "'{{ first_name }}' and not {{ temporary }}", `line 1, column 1: first_name may be null, which prints None and counts as true: write '{{ first_name|default_if_none:"" }}'`},
		{"address.update", "not '{{ line_1 }}'", `line 1, column 5: line_1 may be null, which prints None and counts as true: write '{{ line_1|default_if_none:"" }}'`},

		// The mistakes that it lists, as far as they parse.
		{"user.update", "'{{ user.email }}' != ''", "line 1, column 2: {{ user.email }} is not among the known fields of user.update: write {{ email }}, because the data is the user itself"},
		{"transaction.execute", "'{{ code }}' == 'EUR'", "line 1, column 2: {{ code }} is not among the known fields of transaction.execute: did you mean {{ currency.code }}?"},
		{"transaction.execute", "'{{ status }}' == 'complete'", "line 1, column 19: status is never 'complete': write 'Complete'"},
		{"user.update", "'{{ original.status }}' != '{{ status }}'", "line 1, column 2: {{ original.status }} is not among the known fields of user.update: did you mean {{ original_user.status }}?"},
		{"transaction.execute", "'{{ original_transaction.status }}' == 'Pending'", "line 1, column 2: {{ original_transaction.status }} is not among the known fields of transaction.execute, and prints nothing"},
		{"transaction.execute", "'{{ currency }}' == 'USD'", "line 1, column 1: currency is an object, and never 'USD': compare a member, such as {{ currency.code }}"},
		{"user.create", "'{{ groups }}' == 'individual'", "line 1, column 1: groups is a list, and never 'individual': compare a member, such as {{ groups.0.name }}"},
		{"user.create", "'{{ groups }}' == '[]'", ""},
		{"user.create", "'individual' in '{{ groups }}'", ""},
		{"document.update", "'{{ status }}' == 'Verified'", "line 1, column 19: status is never 'Verified': write 'verified'"},
		{"document.update", "'{{ status }}' == 'approved'", "line 1, column 19: status is never 'approved': write one of 'obsolete', 'declined', 'pending', 'paused', 'incomplete', 'verified'"},
		{"transaction.execute", "'{{ status }}' in ['Complete', 'failed']", "line 1, column 19: status is never 'failed': write 'Failed'"},
		{"transaction.execute", "'{{ subtype }}' == 'manual_deposit'", "line 1, column 20: subtype is usually not called 'manual_deposit': did you mean 'deposit_manual'?"},
		{"transaction.execute", "'{{ subtype }}' == 'deposit_manual' and '{{ tx_type }}' == 'debit'", "line 1, column 20: transactions of the subtype 'deposit_manual' are credits: with tx_type == 'debit', none matches"},
		{"transaction.execute", "'{{ amount }}' > 1000", "line 1, column 1: amount in quotes is text, and is compared with a number: write {{ amount }} without quotes"},
		{"transaction.execute", "'{{ amount }}' > '1000'", "line 1, column 1: amount in quotes is compared letter by letter, so that '9' > '10': write {{ amount }} and the number without quotes"},
		{"transaction.execute", "'{{ amount }}' == 'much'", "line 1, column 19: amount is a number, and never 'much'"},
		{"transaction.execute", "{{ amount }} == '1000'", "line 1, column 1: amount is a number, and never equal to a text: write the value without quotes"},
		{"user.create", "'{{ temporary }}'", "line 1, column 1: temporary in quotes is text, which is true also for False and 0: write {{ temporary }} without quotes"},
		{"user.create", "'{{ temporary }}' == False", "line 1, column 1: temporary in quotes is text, and never equal to False: write {{ temporary }} without quotes"},
		{"user.create", "'{{ temporary }}' == 'false'", "line 1, column 22: temporary prints True or False, and never 'false': write {{ temporary }} and True or False, both without quotes"},
		{"user.create", "'{{ mobile }}' == None", "line 1, column 1: mobile in quotes is text, and never None: a null prints as text, so write 'None' in quotes"},
		{"user.create", "'{{ mobile }}' == 'null'", "line 1, column 19: a null prints as 'None', and a missing field as ''"},
		{"weather.change", "'{{ rain }}' != 'undefined'", "line 1, column 17: a null prints as 'None', and a missing field as ''"},
		{"transaction.execute", "'{{ status }}' == ['Complete', 'Failed']", "line 1, column 19: status never equals a list: write 'in' instead of =="},
		{"transaction.execute", "'{{ status }}' != ['Complete']", "line 1, column 19: status never equals a list: write 'not in' instead of !="},
		{"transaction.execute", "{{ amount }} == [1, 2]", "line 1, column 17: amount never equals a list: write 'in' instead of =="},
		{"user.create", "{{ groups }} == ['x']", ""},
		{"transaction.execute", "{{ amount }} > 1,000", "line 1, column 1: a comma makes a tuple, which is always true: write 1000 without the comma"},
		{"transaction.execute", "{{ status }} == 'Complete'", "line 1, column 1: status is text, which needs quotes: write '{{ status }}'"},
		{"transaction.update", "{{ status }} != {{ original_transaction.status }}", "line 1, column 1: status is text, which needs quotes: write '{{ status }}'; spec.expression, line 1, column 17: original_transaction.status is text, which needs quotes: write '{{ original_transaction.status }}'"},
		{"user.create", "{{ email }}", "line 1, column 1: email is text, which needs quotes: write '{{ email }}'"},
		{"address.update", "' city ' == 'Lisbon'", "line 1, column 1: both sides are fixed, so that this is the same for every event: a variable needs braces, as in '{{ status }}'"},
		{"address.update", "'{{ city }}' == '{{ Lisbon }}'", "line 1, column 18: {{ Lisbon }} is not among the known fields of address.update, and prints nothing: a text needs no braces"},
		{"transaction.execute", "'{{ status }}' == 'Complete' or 'Failed'", "line 1, column 33: a text by itself is always true: write '{{ status }}' in ['Complete', 'Failed']"},
		{"user.create", "False", "line 1, column 1: this is always false: the rule never sends"},
		{"user.create", "not (None)", "line 1, column 1: this is always true: leave the expression empty to send for every event"},
		{"user.create", "'{{ email }}' == 'a' or True", "line 1, column 25: True by itself is always true: write a comparison"},
		{"user.create", "True if '{{ email }}' == 'a' else False", ""},
		{"user.create", "()", ""},
		{"user.create", "not () or '{{ email }}' == 'a'", ""},
		{"user.create", "{{ email|upper }} == 'A'", "line 1, column 1: email|upper is text, which needs quotes: write '{{ email|upper }}'"},
		{"user.create", `{{ email|default:"''" }} == 'A'`, ""},
		{"user.create", "{{ email|length }} == 3", ""},
		{"transaction.execute", "{{ amount }} > 1,000.50", "line 1, column 1: a comma makes a tuple, which is always true: write a number with a point and without separators"},
		{"transaction.execute", "{{ amount }} > 1.000,50", "line 1, column 1: a comma makes a tuple, which is always true: write a number with a point and without separators"},
		{"transaction.execute", "'{{ status }}' == 'x' '{{ label }}' == 'y'", "line 1, column 23: two texts side by side are one: write 'and' or 'or' between comparisons"},
		{"transaction.execute", "'{{ status }}' == ('a' and 'b')", "line 1, column 19: this is just 'b': write 'in' and ['a', 'b']"},
		{"transaction.execute", "'{{ status }}' == '{{ label }}' == 'Complete'", ""},
		{"transaction.execute", "'{{ currency.code }}' in 'EUR,USD'", ""},
		{"transaction.execute", "{{ created }} > '2024-01-01'", `line 1, column 1: created counts milliseconds: compare '{{ created|timestamp|date:"Y-m-d" }}' with a day such as '2026-12-31'`},
		{"transaction.execute", `'{{ created|timestamp|date:"Y-m-d" }}' > '2024-01-01'`, ""},
		{"transaction.execute", "{{ amount }} == 'much'", "line 1, column 17: amount is a number, and never 'much'"},
		{"transaction.execute", "{{ user.groups }}.includes('x')", "line 1, column 1: lists have no 'includes' in Python: write 'value' in {{ user.groups }}"},
		{"transaction.execute", "{{ metadata }}.length > 1", ""},
		{"transaction.execute", "{{ user.groups.length }} > 1", "line 1, column 1: user.groups is a list without 'length': write {{ user.groups|length }}"},
		{"transaction.execute", "'{{ status }}'.lower == 'complete'", "line 1, column 15: write .lower() with parentheses: without them, it never equals anything"},
		{"transaction.execute", "'{{ status }}'.lower() == 'complete'", ""},
		{"transaction.execute", "{% if status == 'Complete' %}true{% else %}False{% endif %}", "line 1, column 30: write True ('true' is not Python)"},
		{"transaction.execute", "{% if status == 'Complete' %}True{% else %}\n false {% endif %}", "line 2, column 2: write False ('false' is not Python)"},
		{"transaction.execute", "'{{ note }}' == 'x' and {% if inclusive %}True{% else %}False{% endif %}", ""},
		{"transaction.execute", "{% if parent == none %}True{% else %}False{% endif %}", "line 1, column 1: write None ('none' is not Django)"},
		{"transaction.execute", "'{{ created|timestamp|date:\"YYYY-MM-DD\" }}' == '2026-12-31'", "line 1, column 2: formats of dates have single letters in Django: write \"Y-m-d H:i\" for year, month, day, hour and minute"},
		{"transaction.execute", "'{{ created|timestamp|date:\"H:m\" }}' == '10:30'", "line 1, column 2: m is the month in a format of dates: write i for the minute"},
		{"transaction.execute", "'{{ created|timestamp|date:\"jS F Y, H:i\" }}' == '1st May 2026, 10:30'", ""},
		{"weather.change", "{{ rain }} == 'yes'", "line 1, column 1: rain is text, which needs quotes: write '{{ rain }}'"},
		{"weather.change", "'{{ mm }}' > 5", "line 1, column 1: mm in quotes is text, and is compared with a number: write {{ mm }} without quotes"},
	} {
		if problems := refused(test.event, test.expression); problems != nil {
			t.Errorf("%s: %v", test.expression, problems)
		}
		got := strings.TrimPrefix(Rule(rule(test.event, test.expression, "text")).Error(), "spec.expression, ")
		if i := strings.Index(got, "spec.event: "); i >= 0 && test.want == "" {
			continue // about the event's name
		}
		if got != test.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", test.event, test.expression, got, test.want)
		}
	}
}

func refused(event, expression string) notify.Problems {
	_, problems := notify.Compile(rule(event, expression, "text"))
	return problems
}

// TestRefusedMistakes has the mistakes of Rehive's guide that fail for every event. Each
// is refused with what to write, and what it says to write is accepted.
func TestRefusedMistakes(t *testing.T) {
	for expression, want := range map[string]string{
		"'{{ groups.0.name }}' !== 'admin'":               "write != (=== and !== are JavaScript)",
		"'{{ status }}' === 'Complete'":                   "write == (=== and !== are JavaScript)",
		"{{ amount }} !== {{ temporary }}":                "write != (=== and !== are JavaScript)",
		"'{{ a }}' == 'x' && '{{ b }}' == 'y'":            "write 'and' (&& is JavaScript)",
		"'{{ a }}' == 'x' || '{{ b }}' == 'y'":            "write 'or' (|| is JavaScript)",
		"!{{ temporary }}":                                "write 'not' before the value ('!' is JavaScript)",
		"{{ parent }} == null":                            "write None ('null' is not Python)",
		"{{ temporary }} == true":                         "write True ('true' is not Python)",
		"{{ temporary }} == false":                        "write False ('false' is not Python)",
		"‘{{ status }}’ == ‘Complete’":                    "write straight quotes (') instead of U+2018",
		"“{{ status }}” == “Complete”":                    `write straight quotes (' or ") instead of U+201C`,
		"'{{ status }}' = 'Complete'":                     "write == to compare (a single = assigns)",
		"'{{ status }}' == Complete":                      "'Complete' is not defined; text needs quotes, and data braces, as in '{{ Complete }}'",
		"'{{ a }}' == 'x' AND '{{ b }}' == 'y'":           "write 'and' in lower case",
		"'{{ city }}' == '{{ Cape Town }}'":               "Could not parse the remainder: ' Town' from 'Cape Town'; a name has no spaces; text needs no braces, and within a tag it needs quotes",
		"{% if {{ status }} == 'Complete' %}1{% endif %}": "",
		"{{ amount }} =! 5":                               "write != to compare",
		"'{{ status }}' ! = 'x'":                          "write != without a space",
		"'{{ status }}' !=== 'x'":                         "write != (=== and !== are JavaScript)",
		"'{{ status }}'.includes('x')":                    "write 'part' in 'whole' (texts have no 'includes' in Python)",
		"'{{ status }}'.startsWith('x')":                  "write .startswith(…) (texts have no 'startsWith' in Python)",
		"'{{ status }}'.toLowerCase() == 'x'":             "write .lower() (texts have no 'toLowerCase' in Python)",
		"'{{ status }}'.length > 3":                       "write {{ text|length }} without quotes, the filter of Django (texts have no 'length' in Python)",
		"'{{ status }}'.nothing":                          "texts have no 'nothing'",
		"f'{1}'.equals('x')":                              "write == to compare (texts have no 'equals' in Python)",
		"'{{ status }}' == 'x' & True":                    "write 'and' (& is for numbers)",
		"'{{ status }}' == 'x' | '{{ status }}' == 'y'":   "write 'or' (| is for numbers)",
		"{{ amount }} > 5 ? True : False":                 "write 'a if condition else b' ('?' is JavaScript)",
		"'{{ metadata.x }}'?.y == 1":                      "write 'a if condition else b' ('?' is JavaScript)",
		"'{{ status }}' == `x`":                           "write straight quotes (') instead of '`'",
		"'{{ status }}' contains 'x'":                     "write 'part' in 'whole' ('contains' is not an operator)",
		"'{{ status }}' LIKE 'x%'":                        "write 'part' in 'whole' without placeholders such as % ('LIKE' is not an operator)",
		"'{{ status }}' not like 'x%'":                    "write 'part' not in 'whole' without placeholders such as % ('not like' is not Python)",
		"'{{ status }}' not startswith 'x'":               "write not 'whole'.startswith('part') ('not startswith' is not Python)",
		"{{ amount }} not between 1 and 5":                "write not low <= value <= high ('not between' is not Python)",
		"'{{ status }}' does not equal 'x'":               "write == or != to compare, or 'part' in 'whole' ('does' is not an operator)",
		"{{ amount }} -gt 5":                              "write > ('gt' is not an operator)",
		"{{ amount }} greater than 5":                     "write > ('greater' is not an operator)",
		"{{ amount }} == 1 xor {{ amount }} == 2":         "write != between two conditions in parentheses ('xor' is not an operator)",
		"'{{ status }}' == 'x' ^ '{{ label }}' == 'y'":    "write != between two conditions in parentheses (^ is for numbers)",
		"'{{ status }}' !~ 'x'":                           "write 'part' not in 'whole' (!~ is for patterns)",
		"AND('{{ status }}' == 'x', {{ amount }} > 1)":    "write 'and' between the conditions ('AND' is not a function)",
		"or('{{ status }}' == 'x', {{ amount }} > 1)":     "write 'or' between the conditions",
		"IF('{{ status }}' == 'x', False, True)":          "write 'a if condition else b' ('IF' is not a function)",
		"IsBlank('{{ status }}')":                         "write '{{ name }}' == '' (the function 'IsBlank' is not defined)",
		"['x', 'y'].includes('{{ status }}')":             "write 'value' in […], or not in (lists have no 'includes' in Python)",
		"('x', 'y').indexOf('{{ status }}') == -1":        "write 'value' in […], or not in (lists have no 'indexOf' in Python)",
		"{{ amount }} in (100)":                           "write == to compare with one value (a number has no parts)",
		"{{ amount }} not in 100":                         "write != to compare with one value (a number has no parts)",
		"'{{ status }}' | lower == 'x'":                   "write a filter within the braces, as in '{{ name|lower }}'",
		"'{{ status }}' == &quot;x&quot;":                 "write \" instead of &quot;",
		"'{{ status }}' == 'x' &amp;&amp; True":           "write & instead of &amp;",
		"$status == 'x'":                                  "data needs braces, as in '{{ name }}' ('$' is not allowed here)",
		".status == 'x'":                                  "data needs braces, as in '{{ name }}'",
		"@status == 'x'":                                  "data needs braces, as in '{{ name }}' (decorators are not available)",
		"{{ amount }} > 1.000.000":                        "write a number without separators",
		"'{{ status }}' eq 'x'":                           "write == ('eq' is not an operator)",
		"'{{ status }}' ne 'x'":                           "write != ('ne' is not an operator)",
		"'{{ status }}' is not equal to 'x'":              "write == or != to compare ('to' is not an operator)",
		"'{{ status }}' not equal 'x'":                    "write != ('not equal' is not Python)",
		"{{ amount }} gt 5":                               "write > ('gt' is not an operator)",
		"{{ amount }} between 1 and 5":                    "write low <= value <= high ('between' is not an operator)",
		"{{ amount }} > 10%":                              "write the number without %, which is the remainder in Python",
		"{{ amount }} > 10% of {{ total_amount }}":        "write a percentage as a product, as in 0.1 * {{ amount }} ('%' is the remainder)",
		"{{ amount }} > 5k":                               "write the number without letters; a text needs quotes",
		"{{ amount }} > €5":                               "write the number alone instead of U+20AC",
		"'{{ status }}' == 'x'\nand '{{ label }}' == 'y'": "a line is a whole expression: put parentheses around all of it",
		"'{{ status }}' is NOT NULL":                      "write 'not' in lower case",
		"'{{ status }}' not null":                         "write 'is not None'",
		"'{{ status }}' ~ 'x'":                            "write 'part' in 'whole' to search, or + to join texts ('~' is not for texts)",
		"isset({{ user.email }})":                         "write '{{ name }}' != '' (the function 'isset' is not defined)",
		"len({{ user.groups }}) > 1":                      "write {{ name|length }}, the filter of Django (the function 'len' is not defined)",
		"lambda x: x":                                     "'lambda' is not available",
		"import re":                                       "'import' is not available",
		"5 // fee":                                        "write # to begin a comment ('//' is not Python)",
		"'{{ parent }}' == undefined":                     "write None ('undefined' is not Python)",
	} {
		problems := refused("transaction.execute", expression)
		if len(problems) != 1 || problems[0].Line == 0 || want != "" && problems[0].Message != want {
			t.Errorf("%s: got %v, want %s", expression, problems, want)
		}
		if warnings := Rule(rule("transaction.execute", expression, "text")); warnings != nil {
			t.Errorf("%s: what is refused has warnings, too: %v", expression, warnings)
		}
	}
}

func TestTemplates(t *testing.T) {
	for _, test := range []struct{ event, text, want string }{
		{"transaction.execute", `{{ amount|money:currency.divisibility }} {{ currency.code }} {% for g in user.groups %}{{ g.name }}{{ forloop.counter }}{% endfor %}`, ""},
		{"transaction.execute", `{{ context.company.name }} {{ computed.fee }} {{ created|timestamp|date:"Y" }} {{ metadata.x.y }}`, ""},
		{"transaction.execute", `{{ context.company.logo }}{{ context.unsubscribe_url }}{{ computed.total_amount }}{{ context }}`, ""},
		{"transaction.execute", "You paid { amount }.", "spec.sms.message, line 1, column 10: { amount } is printed as text: write {{ amount }}"},
		{"transaction.execute", "{{ status }}\n${amount}", "spec.sms.message, line 2, column 1: ${amount} is printed as text: write {{ amount }}"},
		{"transaction.execute", "Dear [[ user.first_name ]]", "spec.sms.message, line 1, column 6: [[ user.first_name ]] is printed as text: write {{ user.first_name }}"},
		{"transaction.execute", "<%= currency.code %>", "spec.sms.message, line 1, column 1: <%= currency.code %> is printed as text: write {{ currency.code }}"},
		{"transaction.execute", "{context.company.name}", "spec.sms.message, line 1, column 1: {context.company.name} is printed as text: write {{ context.company.name }}"},
		{"transaction.execute", "${{ amount }} { a } {} {something} {{ '{amount}' }} {% verbatim %}{ amount }{% endverbatim %}", ""},
		{"transaction.execute", "${{ amount }} {{{ status }}} { a } {} {something} [status] {{ note|default:'{amount}' }}", ""},
		{"transaction.execute", "{{ status }\n{{ amount", "spec.sms.message, line 1, column 1: {{ is printed as text: a tag ends with }} on the same line"},
		{"transaction.execute", "{{ amount }} {%\n if status %}", "spec.sms.message, line 1, column 14: {% is printed as text: a tag ends with %} on the same line"},
		{"transaction.execute", "{% verbatim %}{{ status }{% endverbatim %} }} %} { amount }", ""},
		{"", "{{ context.compny.name }}", "spec.sms.message, line 1, column 1: {{ context.compny.name }} does not exist: did you mean {{ context.company.name }}?"},
		{"transaction.execute", "{{ computed.fees }}", "spec.sms.message, line 1, column 1: {{ computed.fees }} does not exist: did you mean {{ computed.fee }}?"},
		{"weather.change", "{{ context.user.x }}", "spec.sms.message, line 1, column 1: {{ context.user.x }} does not exist, and prints nothing"},
		{"mfa.sms.verify", "{{ token }}", ""},
		{"mfa.sms.verify", "\n {{ otp }}", "spec.sms.message, line 2, column 2: {{ otp }} is not among the known fields of mfa.sms.verify, and prints nothing: a text needs no braces"},
		{"user.mobile.verify", "{{ url }}", "spec.sms.message, line 1, column 1: {{ url }} is not among the known fields of user.mobile.verify, and prints nothing: a text needs no braces"},
		{"mobile.create", "{{ user.number }}", "spec.sms.message, line 1, column 1: {{ user.number }} is not among the known fields of mobile.create: did you mean {{ number }}?"},
		{"transaction.execute", `{{ created|date:"Y" }}`, "spec.sms.message, line 1, column 1: {{ created }} counts milliseconds: write {{ created|timestamp|date }}"},
		{"transaction.execute", "{{ user.firstname }}{{ user.firstname }}", "spec.sms.message, line 1, column 1: {{ user.firstname }} is not among the known fields of transaction.execute: did you mean {{ user.first_name }}?"},
		{"transaction.execute", "{% if status == '{{ label }}' %}{% endif %}", "spec.sms.message, line 1, column 1: the text '{{ label }}' is not rendered: within a tag, write the name of a variable without quotes and braces"},
		{"user.mfa.sms.verify", "{{ token }}", "spec.event: the platform calls this event mfa.sms.verify"},
		{"transaction.executed", "text", "spec.event: no event transaction.executed is known: did you mean transaction.execute?"},
		{"conversion.quote", "text", "spec.event: conversion.quote is an event of Rehive's Conversion extension: the platform itself sends no webhook for it"},
	} {
		if got := Rule(rule(test.event, "", test.text)).Error(); got != test.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", test.event, test.text, got, test.want)
		}
	}
}

// TestWarningsAreBounded has a rule that is wrong a thousand times.
func TestWarningsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		text.WriteString("{{ wrong_" + strings.Repeat("a", i%90) + strings.Repeat("b", i/90) + " }}")
	}
	if got := Rule(rule("transaction.execute", "", text.String())); len(got) != MaxWarnings {
		t.Errorf("%d warnings", len(got))
	}
}

// TestPresetsHaveNoWarnings holds what is shipped to what is asked of others.
func TestPresetsHaveNoWarnings(t *testing.T) {
	templates, err := presets.Templates()
	if err != nil || len(templates) == 0 {
		t.Fatal(err)
	}
	for i := range templates {
		for _, w := range Rule(&v1alpha1.NotificationRule{Spec: templates[i].RuleSpec("demo")}) {
			if w.Field == "spec.event" && platformevent.Lookup(templates[i].Spec.Event).Extension != "" {
				continue
			}
			t.Errorf("%s: %s", templates[i].Name, w.Error())
		}
	}
}

// TestContentTemplates checks the warnings about the values of content templates, in the
// rule's own language and in others.
func TestContentTemplates(t *testing.T) {
	r := rule("transaction.execute", "", "text")
	r.Spec.SMS.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentVariables: map[string]string{"1": "{{ code }}"}}
	r.Spec.Translations = []v1alpha1.RuleTranslation{
		{Language: "fr", SMS: &v1alpha1.SMSTranslation{Message: "texte"}},
		{Language: "pt", SMS: &v1alpha1.SMSTranslation{Message: "texto", WhatsApp: &v1alpha1.WhatsAppTranslation{ContentSID: "HX", ContentVariables: map[string]string{"1": "{{ kode }}"}}}},
	}
	const unknown = "line 1, column 1: {{ %s }} is not among the known fields of transaction.execute"
	want := "spec.sms.whatsApp.contentVariables.1, " + fmt.Sprintf(unknown, "code") + ": did you mean {{ currency.code }}?; " +
		"spec.translations[fr].sms.whatsApp.contentSid: is missing: users get the rule's own; " +
		"spec.translations[pt].sms.whatsApp.contentVariables.1, " + fmt.Sprintf(unknown, "kode") + ", and prints nothing: a text needs no braces"
	if got := Rule(r).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Spec.SMS.WhatsApp = nil
	if got, want := Rule(r).Error(), "spec.translations[pt].sms.whatsApp: is not used: the rule doesn't send through WhatsApp"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTranslations warns of texts that a translation lacks, and of mistakes in those it has.
func TestTranslations(t *testing.T) {
	r := &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			Event: "transaction.execute",
			Email: &v1alpha1.EmailMessage{To: "{{ user.email }}", Subject: "s", Text: "t", HTML: "<p>t</p>"},
			Translations: []v1alpha1.RuleTranslation{
				{Language: "fr", Email: &v1alpha1.EmailTranslation{Subject: "s", Text: "{{ code }}", HTML: "<p>t</p>"}},
				{Language: "de", Email: &v1alpha1.EmailTranslation{Text: "t"}},
				{Language: "pt"},
			},
		},
	}}
	layout := &v1alpha1.NotificationLayout{Spec: v1alpha1.NotificationLayoutSpec{Translations: []v1alpha1.LayoutTranslation{{Language: "pt"}, {Language: "de"}}}}
	layout.Name = "plain"
	const missing = ": is missing: users get the rule's own"
	want := []string{
		"spec.translations[fr].email.text, line 1, column 1: {{ code }} is not among the known fields of transaction.execute: did you mean {{ currency.code }}?",
		"spec.translations[de].email.subject" + missing, "spec.translations[de].email.html" + missing,
		"spec.translations[pt].email.subject" + missing, "spec.translations[pt].email.text" + missing, "spec.translations[pt].email.html" + missing,
		"spec.translations[fr]: the NotificationLayout plain has no translation for it: messages are wrapped in its own texts",
	}
	got := append(Rule(r), InLayout(r, layout)...)
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("no warning: %s", want[i])
		case i >= len(want) || got[i].Error() != want[i]:
			t.Errorf("got  %s", got[i].Error())
		}
	}
	layout.Spec.Translations = nil
	if w := InLayout(r, layout); w != nil {
		t.Errorf("a layout without words: %v", w)
	}
}

// TestHostileExpression checks that the time grows with the length of an expression, whatever
// is in it.
func TestHostileExpression(t *testing.T) {
	const size = 64 << 10
	for first, piece := range map[string]string{
		"1":                          "<1",
		"1<1":                        " and 1<1",
		"[[1]==[1]]":                 "==[[1]]",
		"1,1":                        "==1,1",
		"{{ amount }}==1":            " or {{ amount|upper }}==''",
		"{{ 'a' }}==1":               " or {{'a'}}==1",
		"'{{ status }}' == 'a'":      " or 'b'",
		"'{{ status }}' == ('a')":    " or '{{ status }}' == ('a' or 'b')",
		"'{{ status }}' in 'a'":      " or '{{ status }}' in 'a'",
		"'{{ user.groups.a }}'":      " or {{ user.groups.a }}.x",
		"{{ user.groups.0.name }}\n": "// // /* -- ",
	} {
		source := first + strings.Repeat(piece, (size-len(first))/len(piece))
		if took := metertest.MeasureWithin(2*time.Second, func() { Rule(rule("transaction.execute", source, "text")) }); took > 2*time.Second {
			t.Errorf("%s%s… took %s", first, piece, took)
		}
	}
	path := "{{ user" + strings.Repeat(".groups.a", size/9) + " }}"
	if took := metertest.MeasureWithin(2*time.Second, func() { Rule(rule("transaction.execute", "1", path)) }); took > 2*time.Second {
		t.Errorf("a long path took %s", took)
	}
}

// TestCostOfRepeatedMistakes checks that a mistake that is repeated as often as a template allows
// isn't looked for from the beginning of the template each time.
func TestCostOfRepeatedMistakes(t *testing.T) {
	const allowed = 1500 * time.Millisecond // with the race detector
	r := rule("user.create", "", strings.Repeat("x", 150<<10)+strings.Repeat("{email}{#a#}", 4000))
	var warnings notify.Problems
	if took := metertest.MeasureWithin(allowed, func() { warnings = Rule(r) }); took > allowed {
		t.Errorf("it took %s", took)
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings", len(warnings))
	}
}

// TestDigest knows the variable digest in the texts of a digest only.
func TestDigest(t *testing.T) {
	r := rule("transaction.execute", "", "{{ digest.count }}")
	r.Spec.Throttle = &v1alpha1.Throttle{Messages: 1, Per: "1h", Digest: &v1alpha1.Digest{
		DigestTexts:  v1alpha1.DigestTexts{Text: "{{ digest.count }} {{ digest.omitted }} {% for item in digest.items %}{{ item.amount }} {{ item.user.email }}{% endfor %} {{ digest.items.0.amount }} {{ amount }} {{ digest.length }} {{ amuont }}"},
		Translations: []v1alpha1.DigestTranslation{{Language: "fr"}},
	}}
	var got []string
	for _, w := range Rule(r) {
		got = append(got, w.Error())
	}
	want := []string{
		"spec.sms.message, line 1, column 1: {{ digest.count }} is not among the known fields of transaction.execute, and prints nothing",
		"spec.throttle.digest.text, line 1, column 164: {{ digest.length }} does not exist: digest has items, count and omitted",
		"spec.throttle.digest.text, line 1, column 184: {{ amuont }} is not among the known fields of transaction.execute: did you mean {{ amount }}?",
		"spec.throttle.digest.translations[fr].text: is missing: users get the digest's own",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
