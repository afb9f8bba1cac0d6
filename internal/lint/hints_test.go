// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/python"
)

// fixes apply hints: before and after are the source around the hint's position. The first
// whose message matches is taken.
var fixes = []struct {
	message *regexp.Regexp
	apply   func(before, after string, m []string) string
}{
	{regexp.MustCompile(`asks for the same object: write (==|!=)`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(` is (?:not )?`).ReplaceAllString(after, " "+m[1]+" ")
	}},
	{regexp.MustCompile(`compares with every part of a text: write (==|!=) for the whole`), func(before, after string, m []string) string {
		return regexp.MustCompile(`(?:not )?in $`).ReplaceAllString(before, m[1]+" ") + after
	}},
	{regexp.MustCompile("^write straight quotes .* instead of '`'$"), func(before, after string, _ []string) string {
		return strings.ReplaceAll(before+after, "`", "'")
	}},
	{regexp.MustCompile(`^write '' \(`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`^\w+`).ReplaceAllString(after, "''")
	}},
	{regexp.MustCompile(`^write straight quotes \((['"])`), func(before, after string, m []string) string {
		return before + m[1] + string([]rune(after)[1:])
	}},
	{regexp.MustCompile(`^write (\S+) instead of U\+`), func(before, after string, m []string) string {
		return before + m[1] + string([]rune(after)[1:])
	}},
	{regexp.MustCompile(`^write # to begin a comment \('(.+)' is`), func(before, after string, m []string) string {
		return before + "#" + strings.TrimPrefix(after, m[1])
	}},
	{regexp.MustCompile(`^write != instead of == not$`), func(before, after string, _ []string) string {
		return strings.TrimSuffix(before, "== ") + "!=" + strings.TrimPrefix(after, "not")
	}},
	{regexp.MustCompile(`^write '(in|not in)' without 'is'$`), func(before, after string, m []string) string {
		return regexp.MustCompile(`is (not )?$`).ReplaceAllString(before, "") + m[1] + strings.TrimPrefix(after, "in")
	}},
	{regexp.MustCompile(`^write '(in|not in)' and (\[.*\])$`), func(before, after string, m []string) string {
		if strings.HasPrefix(after, "(") {
			return regexp.MustCompile(`[=!]= $`).ReplaceAllString(before, m[1]+" ") + m[2] + after[strings.Index(after, ")")+1:]
		}
		return before + regexp.MustCompile(` [=!]= .*`).ReplaceAllString(after, " "+m[1]+" "+m[2])
	}},
	{regexp.MustCompile(`^write '(in|not in)' instead of`), func(before, after string, m []string) string {
		return regexp.MustCompile(`[=!]= $`).ReplaceAllString(before, m[1]+" ") + after
	}},
	{regexp.MustCompile(`^write ('.*' in \[.*\])$`), func(_, _ string, m []string) string { return m[1] }},
	{regexp.MustCompile(`^write ([=!]= '') \('\w+' is not Python`), func(before, after string, m []string) string {
		return regexp.MustCompile(`is (not )?$`).ReplaceAllString(before, m[1]) + regexp.MustCompile(`^\w+`).ReplaceAllString(after, "")
	}},
	{regexp.MustCompile(`^write (\S+) \('eq' is not an operator`), func(before, after string, m []string) string {
		return strings.TrimSuffix(before, "-") + m[1] + strings.TrimPrefix(after, "eq")
	}},
	{regexp.MustCompile(`^write 'part' not in 'whole'`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`('[^']*') (?:not \w+|!~) '%?([^'%]*)%?'`).ReplaceAllString(before+after, "'$2' not in $1")
	}},
	{regexp.MustCompile(`^write not 'whole'\.startswith`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`('[^']*') not \w+ ('[^']*')`).ReplaceAllString(before+after, "not $1.startswith($2)")
	}},
	{regexp.MustCompile(`^write not low <= value <= high`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`(\S+ \S+ \S+) not between (\S+) and (\S+)`).ReplaceAllString(before+after, "not $2 <= $1 <= $3")
	}},
	{regexp.MustCompile(`^write low <= value <= high`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`(\S+ \S+ \S+) between (\S+) and (\S+)`).ReplaceAllString(before+after, "$2 <= $1 <= $3")
	}},
	{regexp.MustCompile(`^write (\S+) \('not \w+' is not Python`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^not \w+`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`^write (?:!= between two conditions in parentheses) \('xor'`), func(before, after string, _ []string) string {
		return "(" + strings.TrimSpace(before) + ") != (" + strings.TrimPrefix(after, "xor ") + ")"
	}},
	{regexp.MustCompile(`^write '(and|or)' between the conditions \(`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^\w+\((.*), (.*)\)$`).ReplaceAllString(after, "($1 "+m[1]+" $2)")
	}},
	{regexp.MustCompile(`^write 'a if condition else b' \('IF'`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`^IF\((.*), (.*), (.*)\)$`).ReplaceAllString(after, "$2 if $1 else $3")
	}},
	{regexp.MustCompile(`^write 'value' in \[…\], or not in`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`(\[[^\]]*\])\.\w+\(('[^']*')\)`).ReplaceAllString(before+after, "$2 in $1")
	}},
	{regexp.MustCompile(`^write a filter within the braces`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`('\{\{ \w+) \}\}' *\| *(\w+)`).ReplaceAllString(before+after, "$1|$2 }}'")
	}},
	{regexp.MustCompile(`^write (==|!=) to compare with one value`), func(before, after string, m []string) string {
		return regexp.MustCompile(`(?:not )?in \(?$`).ReplaceAllString(before, m[1]+" ") + strings.TrimSuffix(after, ")")
	}},
	{regexp.MustCompile(`^write \{\{ text\|length \}\} without quotes`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`'\{\{ (\w+) \}\}'\.\w+(?:\(\))?`).ReplaceAllString(before+after, "{{ $1|length }}")
	}},
	{regexp.MustCompile(`^write (\.\w+\(\)) with parentheses`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^(.*?)\.\w+ `).ReplaceAllString(after, "$1"+m[1]+" ")
	}},
	{regexp.MustCompile(`^write (\S) instead of (&\w+;)`), func(before, after string, m []string) string {
		return before + strings.ReplaceAll(after, m[2], m[1])
	}},
	{regexp.MustCompile(`^write 'part' in 'whole' \(texts`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`('[^']*')\.\w+\(('[^']*')\)`).ReplaceAllString(before+after, "$2 in $1")
	}},
	{regexp.MustCompile(`^write 'part' in 'whole'`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`('[^']*') (?:\w+|=~|~) ('[^']*')`).ReplaceAllString(before+after, "$2 in $1")
	}},
	{regexp.MustCompile(`^write 'whole'\.startswith\('part'\) \(the function`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`\w+\(('[^']*'), ('[^']*')\)`).ReplaceAllString(after, "$1.startswith($2)")
	}},
	{regexp.MustCompile(`^write 'text'(\.\w+\(\)) \(the function`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`\w+\(('[^']*')\)`).ReplaceAllString(after, "$1"+m[1])
	}},
	{regexp.MustCompile(`^write \.(\w+)\(`), func(before, after string, m []string) string {
		return regexp.MustCompile(`\.(startsWith|toLowerCase)\b`).ReplaceAllString(before+after, "."+m[1])
	}},
	{regexp.MustCompile(`^write float\(…\)`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`^\w+`).ReplaceAllString(after, "float")
	}},
	{regexp.MustCompile(`^write the condition alone`), func(before, after string, _ []string) string {
		return regexp.MustCompile(`^(?:if|return|assert|when|where) `).ReplaceAllString(before+after, "")
	}},
	{regexp.MustCompile(`^write 'not' and parentheses around`), func(before, after string, _ []string) string {
		return "not (" + strings.TrimPrefix(before+after, "unless ") + ")"
	}},
	{regexp.MustCompile(`^write the number alone, without`), func(before, after string, _ []string) string {
		return strings.TrimSpace(before) + regexp.MustCompile(`^(\$| *[A-Z]+)`).ReplaceAllString(after, " ")
	}},
	{regexp.MustCompile(`^write a number without (?:spaces|separators)$`), func(before, after string, _ []string) string {
		return strings.TrimSpace(before) + strings.TrimPrefix(after, "'")
	}},
	{regexp.MustCompile(`write (\d+) without the comma`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`\d+(,\d{3})+`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`^what is compared is missing: write it again after '(and|or|not)'`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`'?\{\{[^}]*\}\}'?`).FindString(before) + " " + after
	}},
	{regexp.MustCompile(`^write '(\w+)' in lower case`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^\w+`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`^write (None|True|False) `), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^\w+`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`^write '?(==|!=|>=|<=|>|<|and|or|not)\b?'?(?: |$)`), func(before, after string, m []string) string {
		with := m[1]
		if with == "not" {
			with = "not "
		}
		return before + regexp.MustCompile(`^(?:! =|[=!<>&|:]+|\w+)`).ReplaceAllString(after, with)
	}},
	{regexp.MustCompile(`write 'None' in quotes$`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`\bNone\b`).ReplaceAllString(after, "'None'")
	}},
	{regexp.MustCompile(`compare ('\{\{ .* \}\}') with 'None'$`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`\bNone\b`).ReplaceAllString(regexp.MustCompile(`^\{\{.*?\}\}`).ReplaceAllString(after, m[1]), "'None'")
	}},
	{regexp.MustCompile(`write \((.*)\) in brackets|write (\['.*\]) in brackets`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`in '.*$`).ReplaceAllString(after, "in "+m[2])
	}},
	{regexp.MustCompile(`compare a member, such as ('?\{\{ .* \}\}'?)$`), func(before, after string, m []string) string {
		with := "'" + strings.Trim(m[1], "'") + "'"
		return before + regexp.MustCompile(`^'?\{\{.*?\}\}'?`).ReplaceAllString(after, with)
	}},
	{regexp.MustCompile(`(?:did you mean|write) (\{\{ \S+ \}\})`), func(before, after string, m []string) string {
		if strings.HasPrefix(after, "'") {
			after = strings.Replace(after[1:], "'", "", 1)
		}
		return before + regexp.MustCompile(`^\{\{.*?\}\}(?:\.length)?`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`write ('\{\{ .+? \}\}')`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^'?\{\{.*?\}\}'?`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`(?:write|did you mean) ('[^'{]+')`), func(before, after string, m []string) string {
		return before + regexp.MustCompile(`^(?:'[^']*'|\{\{.*?\}\})`).ReplaceAllString(after, m[1])
	}},
	{regexp.MustCompile(`write the value without quotes$`), func(before, after string, _ []string) string {
		return before + regexp.MustCompile(`'([^'{]*)'`).ReplaceAllString(after, "$1")
	}},
}

// follow applies the hints about an expression until there are none.
func follow(event, source string) (result string, trail []string) {
	for range 8 {
		problems := refused(event, source)
		if problems == nil {
			problems = Rule(rule(event, source, "text"))
		}
		if problems == nil {
			return source, trail
		}
		p := problems[0]
		trail = append(trail, fmt.Sprintf("%s: %s", source, p.Message))
		lines := strings.SplitAfter(source, "\n")
		runes := []rune(lines[p.Line-1])
		head, tail := strings.Join(lines[:p.Line-1], ""), strings.Join(lines[p.Line:], "")
		before, after := head+string(runes[:p.Column-1]), string(runes[p.Column-1:])+tail
		fixed := source
		for _, f := range fixes {
			message := p.Message
			if _, hint, found := strings.Cut(message, ": "); found && !f.message.MatchString(message) {
				message = hint
			}
			if m := f.message.FindStringSubmatch(message); m != nil {
				fixed = f.apply(before, after, m)
				break
			}
		}
		if fixed == source {
			return "", trail
		}
		source = fixed
	}
	return "", trail
}

// TestHintsKeepTheMeaning applies the hints about mistakes, and compares the results with what
// was meant, over events that differ in everything that is compared.
func TestHintsKeepTheMeaning(t *testing.T) {
	const is, isNot, both, amount = "'{{ status }}' == 'Complete'", "'{{ status }}' != 'Complete'", "'{{ status }}' in ['Complete', 'Failed']", "{{ amount }} > 1000"
	for source, meant := range map[string]string{
		"'{{ status }}' === 'Complete'":                                is,
		"'{{ status }}' !== 'Complete'":                                isNot,
		"'{{ status }}' = 'Complete'":                                  is,
		"'{{ status }}' =! 'Complete'":                                 isNot,
		"'{{ status }}' ! = 'Complete'":                                isNot,
		"'{{ status }}' <> 'Complete'":                                 isNot,
		"'{{ status }}' ≠ 'Complete'":                                  isNot,
		"'{{ status }}' eq 'Complete'":                                 is,
		"'{{ status }}' ne 'Complete'":                                 isNot,
		"'{{ status }}' : 'Complete'":                                  is,
		"'{{ status }}' is 'Complete'":                                 is,
		"'{{ status }}' is not 'Complete'":                             isNot,
		"'{{ status }}' not 'Complete'":                                isNot,
		"'{{ status }}' == not 'Complete'":                             isNot,
		"!('{{ status }}' == 'Complete')":                              isNot,
		"unless '{{ status }}' == 'Complete'":                          isNot,
		"if '{{ status }}' == 'Complete'":                              is,
		"return '{{ status }}' == 'Complete'":                          is,
		"when '{{ status }}' == 'Complete'":                            is,
		"'{{ status }}' == 'Complete' // is done":                      is,
		"// isn't pending\n'{{ status }}' == 'Complete'":               is,
		"'{{ status }}' == 'Complete' -- is done":                      is,
		"-- is done\n'{{ status }}' == 'Complete'":                     is,
		"'{{ status }}' == 'Complete' /* is done */":                   is,
		"‘{{ status }}’ == ‘Complete’":                                 is,
		"“{{ status }}” == “Complete”":                                 is,
		"'{{ status }}' == 'Complete’":                                 is,
		"'{{ status }}’ == 'Complete'":                                 is,
		`"{{ status }}" == "Complete”`:                                 is,
		"`{{ status }}` == `Complete`":                                 is,
		"{{ status }} == 'Complete'":                                   is,
		"'{{ transaction.status }}' == 'Complete'":                     is,
		"{{ status|lower }} == 'complete'":                             is,
		"{{ status }} == {{ 'Complete' }}":                             is,
		"'{{ status }}' == 'complete'":                                 is,
		"'{{ status }}' in 'Complete'":                                 is,
		"'{{ status }}' not in 'Complete'":                             isNot,
		"'{{ status }}'.toLowerCase() == 'complete'":                   is,
		"lower('{{ status }}') == 'complete'":                          is,
		"'{{ status }}'.startsWith('Comp')":                            is,
		"startswith('{{ status }}', 'Comp')":                           is,
		"'{{ status }}'.includes('plete')":                             is,
		"'{{ status }}' contains 'plete'":                              is,
		"'{{ status }}' =~ 'plete'":                                    is,
		"'{{ status }}' not eq 'Complete'":                             isNot,
		"'{{ status }}' not equals 'Complete'":                         isNot,
		"'{{ status }}' !~ 'Complete'":                                 isNot,
		"'{{ status }}' not contains 'Complete'":                       isNot,
		"'{{ status }}' NOT LIKE '%Complete%'":                         isNot,
		"'{{ status }}' not startswith 'Complete'":                     isNot,
		"'{{ status }}' -eq 'Complete'":                                is,
		"'{{ status }}' == &quot;Complete&quot;":                       is,
		"'{{ status }}' != 'Pending' &amp;&amp; " + both:               both,
		"'{{ status }}' | lower == 'complete'":                         is,
		"'{{ status }}'.lower == 'complete'":                           is,
		"'{{ status }}'.length == 8":                                   is,
		"['Complete', 'Failed'].includes('{{ status }}')":              both,
		"OR('{{ status }}' == 'Complete', '{{ status }}' == 'Failed')": both,
		"AND(" + both + ", {{ amount }} > 1000)":                       both + " and " + amount,
		"NOT('{{ status }}' == 'Complete')":                            isNot,
		"IF('{{ status }}' == 'Complete', False, True)":                isNot,
		amount + " xor " + is:                                          "(" + amount + ") != (" + is + ")",
		"{{ amount }} not gt 1000":                                     "{{ amount }} <= 1000",
		"{{ amount }} between 1001 and 1500":                           "1001 <= {{ amount }} <= 1500",
		"{{ amount }} not between 1001 and 1500":                       "not 1001 <= {{ amount }} <= 1500",
		"{{ amount }} in (1001)":                                       "{{ amount }} == 1001",
		"{{ amount }} not in 1001":                                     "{{ amount }} != 1001",
		"'{{ status }}' == 'Complete' or 'Failed'":                     both,
		"'{{ status }}' == 'Complete' || 'Failed'":                     both,
		"'{{ status }}' == ('Complete' or 'Failed')":                   both,
		"'{{ status }}' == 'Complete' or == 'Failed'":                  both,
		"'{{ status }}' == 'Complete' == 'Failed'":                     both,
		"'{{ status }}' == ['Complete', 'Failed']":                     both,
		"'{{ status }}' in 'Complete', 'Failed'":                       both,
		"'{{ status }}' is in ['Complete', 'Failed']":                  both,
		"'{{ status }}' IN ['Complete', 'Failed']":                     both,
		"'{{ status }}' is not in ['Complete', 'Failed']":              "not (" + both + ")",
		"'{{ status }}' != 'Complete' != 'Failed'":                     "not (" + both + ")",
		"{{ amount }} > 1,000":                                         amount,
		"{{ amount }} > 1 000":                                         amount,
		"{{ amount }} > 1'000":                                         amount,
		"{{ amount }} > $1000":                                         amount,
		"{{ amount }} > 1000 EUR":                                      amount,
		"{{ amount }} gt 1000":                                         amount,
		"{{ amount }} => 1001":                                         amount,
		"{{ amount }} ≥ 1001":                                          amount,
		"{{ amount }} =< 1000":                                         "not " + amount,
		"'{{ amount }}' > 1000":                                        amount,
		"{{ amount }} × 2 > 2000":                                      amount,
		"{{ amount }} ÷ 2 > 500":                                       amount,
		"{{ amount }} == '1001'":                                       "{{ amount }} == 1001",
		"Decimal('{{ amount }}') > 1000":                               amount,
		"{{ amount }} > 1000 && '{{ status }}' === 'Failed'":           amount + " and '{{ status }}' == 'Failed'",
		"{{ amount }} > 1000 AND '{{ status }}' == 'Failed'":           amount + " and '{{ status }}' == 'Failed'",
		"{{ amount }} > 500 and < 2000":                                "500 < {{ amount }} < 2000",
		"'{{ note }}' == null":                                         "'{{ note }}' == 'None'",
		"'{{ note }}' is null":                                         "'{{ note }}' == 'None'",
		"'{{ note }}' != undefined":                                    "'{{ note }}' != 'None'",
		"{{ note }} == None":                                           "'{{ note }}' == 'None'",
		"{{ note }} is not None":                                       "'{{ note }}' != 'None'",
		"'{{ note }}' is empty":                                        "'{{ note }}' == ''",
		"'{{ note }}' is not empty":                                    "'{{ note }}' != ''",
		"{{ note }} == empty":                                          "'{{ note }}' == ''",
		"{{ user.temporary }} == true":                                 "{{ user.temporary }}",
		"'{{ user.temporary }}' == false":                              "not {{ user.temporary }}",
		"'{{ user.temporary }}'":                                       "{{ user.temporary }}",
		"!{{ user.temporary }}":                                        "not {{ user.temporary }}",
		"'{{ user.groups.name }}' == 'gold'":                           "'{{ user.groups.0.name }}' == 'gold'",
		"{{ user.groups }} == 'gold'":                                  "'{{ user.groups.0.name }}' == 'gold'",
		"{{ user.groups }}.length > 1":                                 "{{ user.groups|length }} > 1",
		"'{{ code }}' == 'EUR'":                                        "'{{ currency.code }}' == 'EUR'",
		"'{{ currency }}' == 'EUR'":                                    "'{{ currency.code }}' == 'EUR'",
	} {
		const event = "transaction.execute"
		if problems := append(refused(event, meant), Rule(rule(event, meant, "text"))...); problems != nil {
			t.Fatalf("%s: %v", meant, problems)
		}
		result, trail := follow(event, source)
		if len(trail) == 0 {
			t.Errorf("%s: no hint", source)
			continue
		}
		seen := map[bool]bool{}
		for _, data := range []string{
			`{"status": "Complete", "amount": 1001, "note": null, "user": {"temporary": true, "groups": [{"name": "gold"}]}, "currency": {"code": "EUR"}}`,
			`{"status": "Failed", "amount": 1500, "note": "", "user": {"temporary": false, "groups": []}, "currency": {"code": "USD"}}`,
			`{"status": "Pending", "amount": 2000, "note": "x", "user": {"temporary": false, "groups": [{"name": "a"}, {"name": "gold"}]}, "currency": {"code": "EU"}}`,
			`{"status": "", "amount": -5, "note": "None", "user": {"temporary": true, "groups": [{"name": ""}]}, "currency": {"code": ""}}`,
		} {
			got, want := evaluate(t, result, data), evaluate(t, meant, data)
			if seen[want] = true; got != want {
				t.Errorf("%s\nresults in %s, which is %t, not %t, with %s", strings.Join(trail, "\n"), result, got, want, data)
				break
			}
		}
		if len(seen) != 2 {
			t.Errorf("%s is the same for all events", meant)
		}
	}
}

func evaluate(t *testing.T, source, data string) bool {
	t.Helper()
	x, err := expression.Compile("rule", source, expression.Options{})
	if err != nil {
		t.Fatal(err)
	}
	value, err := python.FromJSON([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return x.Evaluate(t.Context(), value.(*python.Dict), expression.EvaluateOptions{}).Send
}
