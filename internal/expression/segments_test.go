// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/django"
)

func TestMain(m *testing.M) {
	panicked = func(r any) { panic(r) }
	os.Exit(m.Run())
}

var slotName = regexp.MustCompile(`\{\{ ?(\w+) ?\}\}`)

// segmentsOf renders a template of plain variables in the simplest way, so that these tests
// only depend on the handling of data.
func segmentsOf(template string, data map[string]string) []django.Segment {
	var out []django.Segment
	last := 0
	for _, m := range slotName.FindAllStringSubmatchIndex(template, -1) {
		out = append(out,
			django.Segment{Text: template[last:m[0]]},
			django.Segment{Text: data[template[m[2]:m[3]]], Data: true})
		last = m[1]
	}
	return append(out, django.Segment{Text: template[last:]})
}

func evaluateWith(template string, data map[string]string) Verdict {
	x := &Expression{limits: Limits{}.withDefaults()}
	return x.evaluate(context.Background(), segmentsOf(template, data), nil)
}

func flat(segments []django.Segment) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Ordinary data: values of fields of Rehive's events, and values of all types as Django
// prints them.
var (
	honestTexts = []string{
		"Complete", "complete", "credit", "USD", "", " ", "a b", " padded ", "Zoë", "日本語", "😀", "joe@example.com",
		"+27840000000", "2021-01-01T10:00:00Z", "123", "12.50", "-5", "True", "False", "None", "a,b", "#tag", "50%",
		"%s", "a/b", "{x}", "{}", "[1]", "(a)", "a:b", "x;y", "A & B", "<b>", "tab\there", "$5", "`", "!", "?", "~^|", "*", "=",
		"1 or 2", "x == y", "00000000-0000-0000-0000-000000000000", "0x10", "1_000", "...",
	}
	honestValues = []string{
		"0", "1", "5", "-5", "1000", "1050", "123456789012345678901234567890", "-7", "0.0", "1.5", "-0.5", "1e+20", "1e-07",
		"True", "False", "None", "[]", "[1, 2]", "[1]", "['a', 'b']", "[[1, -2.5], None, True]", "['it\\'s', \"x\"]",
		"{}", "{'a': 1}", "{'a': {'b': [1, 2]}, 'c': None}", "{1: 2}", "()", "(1, 2)", "(1,)", "'a'", "'Complete'",
		"\"it's\"", "'a\\nb'", "''", " 5 ", "", "  ",
	}
	quotedTemplates = []string{
		"'{{ x }}' == 'Complete'", "'{{ x }}'", "\"{{ x }}\"", "'''{{ x }}'''", "\"\"\"{{ x }}\"\"\"", "'{{ x }}' == '{{ x }}'",
		"'{{ x }}' in ['Complete', 'a b']", "'{{ x }}' != '{{ y }}'", "'{{ x }}' == '{{ y }}'", "'{{ x }}{{ y }}'",
		"'a{{ x }}b{{ y }}c'", "'{{ x }}'.lower() == 'complete'", "'{{ x }}' and '{{ y }}'", "'{{ x }}' or 'z'",
		"not '{{ x }}'", "'{{ x }}' < '{{ y }}'", "'{{ x }}' in '{{ y }}'", "'{{ x }}'[0]", "'{{ x }}'[:3]", "'{{ x }}' * 2",
		"'{{ x }}' + '{{ y }}'", "'{{ x }}' '{{ y }}'", "['{{ x }}', '{{ y }}']", "{'{{ x }}': 1}", "{'k': '{{ x }}'}.k",
		"('{{ x }}',)", "{'{{ x }}', '{{ y }}'} == {'a'}", "'{{ x }}'.split(',')", "'{{ x }}' if '{{ y }}' else 0",
		"[c for c in '{{ x }}']", "'%s' % '{{ x }}'", "str('{{ x }}')", "'{{ x }}'.startswith('a') and 1", "('{{ x }}'\n== 'a b')",
		"'{{ x }}' == 'a' # {{ y }}", "# {{ x }}\n'{{ y }}'", "'{{ x }}' is None", "b'a' == '{{ x }}'", "u'{{ x }}'",
		"'\\n{{ x }}\\t'", "'{{ x }}\\\\'", "'\\x41{{ x }}'", "int('{{ x }}')", "float('{{ x }}') > 1", "'{{ x }}'.isdigit()",
		"r'{{ x }}'", "r'\\d{{ x }}'", "'a' 'b{{ x }}' == 'ab'", "'{{ x }}'; 2", "x = '{{ x }}'", "f'a' '{{ x }}'",
		"undefined == '{{ x }}'", "'{{ x }}' = 'a'", "'{{ x }}", "'{{ x }}' ==", "len('{{ x }}') > 1", "'{{ x }}'.format()",
		"'{{ x }}'\n", "\n '{{ x }}'", "'''\n{{ x }}\n'''", "'{{ x }}' 'é'", "{'a': '{{ x }}'}['a'] == '{{ x }}'",
	}
	bareTemplates = []string{
		"{{ x }}", "({{ x }})", " {{ x }} ", "\n{{ x }}\n", "{{ x }} > 1000", "{{ x }} == 5", "{{ x }}==5", "1000 < {{ x }}",
		"({{ x }}) * 2", "{{ x }} ** 2", "2 ** {{ x }}", "- {{ x }}", "-{{ x }}", "not {{ x }}", "1 - {{ x }}", "1 -{{ x }}",
		"1-{{ x }}", "[{{ x }}, 2]", "[{{x}}]", "{{ x }} in [1, -5, 'a']", "5 in {{ x }}", "'a' in {{ x }}", "{{ x }} if {{ y }} else 0",
		"{'a': {{ x }}}", "{'a':{{ x }}}", "{ {{ x }}: 1 }", "str({{ x }})", "int({{ x }})", "float({{ x }}) > 1",
		"[i for i in {{ x }}]", "{{ x }} and {{ y }}", "{{ x }} or {{ y }}", "{{ x }} == {{ y }}", "{{ x }} is None",
		"{{ x }} is not None", "{{ x }},{{ y }}", "{{ x }}+{{ y }}", "{{ x }}-{{ y }}", "{{ x }}<{{ y }}", "{{ x }}*{{ y }}",
		"[{{ x }},{{ y }}][0]", "({{ x }}\n)", "(\n{{ x }}\n== 5)", "'%s' % {{ x }}", "'a' == {{ x }}", "'a' 'b' == {{ x }}",
		"({{ x }}).real", "({{ x }})[0]", "{{ x }} # {{ y }}", "{{ x }}; {{ y }}", "y = {{ x }}", "{{ x }} == 1 == {{ y }}",
		"[{{ x }}][0:{{ y }}]", "({{ x }} + {{ y }}) * 3", "{{ x }} % 3", "{{ x }} // 2", "{{ x }} >> 1", "~{{ x }}",
		"list({{ x }})", "tuple({{ x }})", "set({{ x }})", "dict({{ x }})", "[{{ x }} for i in [1, 2]]", "undefined({{ x }})",
		"{{ x }} <", "{{ x }} == 'a", "True if {{ x }} > 5 else {{ y }} > 5", "1 < {{ x }} < 10", "{{ x }} not in [5]",
		"not {{ x }} == 5", "-{{ x }} ** 2", "[1, 2, 3][{{ x }}]", "{'a': 1}[{{ x }}]", "str({{ x }}) == '{{ x }}'", "{{ x }} != {{ x }}",
	}
)

// TestOrdinaryDataEvaluatesLikePlainText checks the guarantee of the package comment: with
// ordinary data, the result is that of the rendered text.
func TestOrdinaryDataEvaluatesLikePlainText(t *testing.T) {
	n := 0
	check := func(template string, data map[string]string) {
		n++
		segments := segmentsOf(template, data)
		text := flat(segments)
		if strings.TrimSpace(text) == "" || strings.Contains(template, "'{{ x }}'") && strings.ContainsAny(data["x"], `'"\\`) {
			return
		}
		x := &Expression{limits: Limits{}.withDefaults()}
		got, want := x.evaluate(context.Background(), segments, nil), EvaluateText(context.Background(), text, Limits{})
		if got.Send != want.Send || (got.Fault == nil) != (want.Fault == nil) ||
			got.Fault == nil && encoded(got.Result) != encoded(want.Result) {
			t.Errorf("%q with %q: %s, flat %s", template, data, verdictText(got), verdictText(want))
		}
	}
	for _, template := range quotedTemplates {
		for _, a := range honestTexts {
			for _, b := range []string{"Complete", "", "a b", "7", a} {
				check(template, map[string]string{"x": a, "y": b})
			}
		}
	}
	for _, template := range bareTemplates {
		for _, a := range honestValues {
			for _, b := range honestValues {
				if !strings.Contains(template, "{{ y }}") && b != a {
					continue
				}
				check(template, map[string]string{"x": a, "y": b})
			}
		}
	}
	t.Logf("%d combinations", n)
}

func verdictText(v Verdict) string {
	if v.Fault != nil {
		return "fault " + string(v.Fault.Kind) + ": " + v.Fault.Error()
	}
	return encoded(v.Result)
}

// attack is data that would change the meaning of the rendered text.
type attack struct {
	template string
	data     map[string]string
}

func one(template, x string) attack { return attack{template, map[string]string{"x": x}} }

func two(template, a, b string) attack { return attack{template, map[string]string{"a": a, "b": b}} }

var attacks = []attack{
	// Data that closes the quotes.
	two("'{{ a }}' == '{{ b }}'", `\`, ` or True #`),
	two("'{{ a }}' == '{{ b }}'", `\`, ` or True or '`),
	two(`"{{ a }}" == "{{ b }}"`, `\`, ` or True #`),
	one("'{{ x }}' == 'admin'", `\x61dmin`), one("'{{ x }}' == 'admin'", `\u0061dmin`), one("'{{ x }}' == 'admin'", `\141dmin`),
	one("'{{ x }}' == 'admin'", `\N{LATIN SMALL LETTER A}dmin`), one("'{{ x }}' == 'admin'", "ad\\\nmin"),
	one("'{{ x }}' == 'admin'", `x' or 'a' == 'a`), one("'{{ x }}' == 'admin'", `admin' or '`), one("'{{ x }}' == 'admin'", `' or 1 #`),
	one("'{{ x }}' == 'admin'", `' == '' or '`), one("'{{ x }}' == 'admin'", `x' != 'admin' or 'admin`), one("'{{ x }}' == 'admin'", `' 'admin`),
	one("'{{ x }}' == 'admin'", `admin\`), one("'{{ x }}' == 'admin'", `''' or True or '''`), one("'{{ x }}' == 'admin'", "'\nTrue\n'"),
	one("'{{ x }}' == 'admin'", "';True;'"), one("'{{ x }}' == 'admin'", "' if 0 else True #"), one(`"{{ x }}" == "admin"`, `" or True or "`),
	one(`'''{{ x }}''' == 'admin'`, `''' or True or '''`), one(`'''{{ x }}''' == 'admin'`, `\x61dmin`), one(`'''{{ x }}''' == 'admin'`, `'`),
	one(`"""{{ x }}""" == 'admin'`, `""" or True or """`), one("'{{ x }}' == 'admin'", "ａｄｍｉｎ"), one("'{{ x }}' == 'admin'", "аdmin"),
	one("'{{ x }}' == 'admin'", "admin\x00"), one("'{{ x }}' == 'admin'", "admin\u2028"), one("'{{ x }}' == 'admin'", "admin\u200b"),
	one("'{{ x }}' == 'admin'", "admin "), one("'{{ x }}' == 'admin'", "admin\x0c"), one("'{{ x }}' == 'admin'", "\xed\xa0\x80admin"),
	one("'{{ x }}' == 'admin'", "{{ y }}"), one("'{{ x }}' == 'admin'", "{% firstof 'admin' %}"), one("'{{ x }}' == 'admin'", "%s"),
	one("'{{ x }}' in ['a', 'b']", "a', 'c"), one("'{{ x }}' in ['a', 'b']", "' + 'a"), one("'a' in ['{{ x }}']", "b', 'a"),
	one("{'{{ x }}': 0}.a", "a': 1, 'b"), one("{'a': 0, 'b': '{{ x }}'}['a']", "', 'a': 1, 'c': '"), one("'admin' == '{{ x }}'", `' or '1`),
	two("'{{ a }}' == '1' and '{{ b }}' == '2'", "1' or '", "x"), two("'{{ a }}' and not '{{ b }}'", `\`, ` or '`),
	one("'{{ x }}'.isdigit()", "a'.isalpha() or '"), one("'{{ x }}'", ""), one("'x' == '{{ x }}' and False", `x' or True or '`),
	// Data in the position of code.
	one("{{ x }} > 1000", "1 or 5"), one("{{ x }} > 1000", "True or 1"), one("{{ x }} > 1000", "5000 if 1 else 0"), one("{{ x }} > 1000", "5 * 1000"),
	one("{{ x }} > 1000", "2**20"), one("{{ x }} > 1000", "int('5000')"), one("{{ x }} > 1000", "[5000][0]"), one("{{ x }} > 1000", "5000 #"),
	one("{{ x }} > 1000", "5000\n"), one("{{ x }} > 1000", "5000;"), one("{{ x }} > 1000", "5000\nor True"), one("{{ x }} > 1000", "(5000)"),
	one("{{ x }} > 1000", "--5000"), one("{{ x }} > 1000", "- -5000"), one("{{ x }} > 1000", "~-5000"), one("{{ x }} > 1000", "not 0"),
	one("{{ x }} > 1000", "5_000"), one("{{ x }} > 1000", "0xffff"), one("{{ x }} > 1000", "0b1111111111111111"), one("{{ x }} > 1000", "1e999"),
	one("{{ x }} > 1000", "nan"), one("{{ x }} > 1000", "inf"), one("{{ x }} > 1000", "1e4j"), one("{{ x }} > 1000", "５０００"),
	one("{{ x }} > 1000", "٥٠٠٠"), one("{{ x }} > 1000", "5000L"), one("{{ x }} > 1000", "5000."+"real"), one("{{ x }} > 1000", "rand() + 5000"),
	one("{{ x }} > 1000", "5000 \\\n"), one("{{ x }} > 1000", "\\\n5000"), one("{{ x }} > 1000", "f'5'"), one("{{ x }} > 1000", "\x005000"),
	one("{{ x }} > 1000", strings.Repeat("9", 5000)), one("{{ x }} > 1000", "5000\u2028"), one("{{ x }} > 1000", "\u00a05000"),
	one("{{ x }} > 1000", "5000,"), one("{{ x }} > 1000", "0, 5000"), one("{{ x }} > 1000", "lambda: 0"), one("{{ x }} > 1000", "y := 5000"),
	one("{{ x }}", "Ｔrue"), one("{{ x }}", "True or x"), one("{{ x }}", "not False"), one("{{ x }}", "rand"), one("{{ x }}", "int"), one("{{ x }}", "..."),
	one("{{ x }}", "[i for i in [1]]"), one("{{ x }}", "{1, 2}"), one("{{ x }}", "b'a'"), one("{{ x }}", "r'a'"), one("{{ x }}", "f'{1}'"),
	one("{{ x }}", "'a' 'b'"), one("{{ x }}", "'a' + 'b'"), one("{{ x }}", "'a'.upper()"), one("{{ x }}", "[1][0]"), one("{{ x }}", "[1 + 1]"),
	one("{{ x }}", "[int]"), one("{{ x }}", "{'a': rand}"), one("{{ x }}", "{**{'a': 1}}"), one("{{ x }}", "[*[1]]"), one("{{ x }}", "x = 1"),
	one("{{ x }}", "1;"), one("{{ x }}", "1 # c"), one("{{ x }}", "# c\n1"), one("{{ x }}", "'''a'''"), one("{{ x }}", "'a"), one("{{ x }}", "'a\n'"),
	one("{{ x }}", "'\\N{BULLET}'"), one("{{ x }}", "([1], 2)"), one("{{ x }}", "{[1]: 2}"), one("{{ x }}", strings.Repeat("[", 60)+strings.Repeat("]", 60)),
	one("{{ x }}", strings.Repeat("[", 100000)), one("{{ x }}", "(1)"), one("{{ x }}", "True False"), one("{{ x }}", "Truex"), one("{{ x }}", "1 2"),
	one("{{ x }}", "01"), one("{{ x }}", "1..real"), one("{{ x }}", "{{ y }}"), one("{{ x }}", "True\nFalse"), one("{{ x }}", "True;False"),
	one("'admin' == 'x' or {{ x }}", "'a' == 'a'"), one("False and {{ x }}", "0 or True"), one("not {{ x }}", "False and True"),
	one("{{ x }} == 'admin'", "'admin' or 'x'"), one("{{ x }} == 'admin'", "'a' 'dmin'"), one("{{ x }} == 'admin'", "'admin' #"),
	// Data that would touch adjacent text.
	one("1{{ x }} > 100", "000"), one("1{{ x }} == 10", "0"), one("{{ x }}0 > 100", "99"), one("1{{ x }}2 == 12", ""), one("1.{{ x }} == 1.5", "5"),
	one("0{{ x }} == 16", "x10"), one("0x{{ x }} == 16", "10"), one("1e{{ x }} > 5", "9"), one("{{ x }}e9 > 5", "9"), one("-{{ x }} > 0", "-5 + 9"),
	one("{{ x }}if 1 else 0", "1"), one("Tru{{ x }}", "e"), one("{{ x }}rue", "T"), one("Tr{{ x }}ue", ""), one("{{ x }}'a' == 'a'", "''"),
	one("{{ x }}'a' == 'a'", "r"), one("{{ x }}'a' == 'a'", "f"), one("f{{ x }}", "'{1}'"), one("str{{ x }}", "(1,)"), one("str {{ x }}", "(1,)"),
	one("'abc'{{ x }}", "[0]"), one("'abc' {{ x }}", "[0]"), one("1 {{ x }} 0 or 1 == 2", "if 1 else"), one("1 {{ x }} 1", "=="), one("1 {{ x }}", "-5"),
	one("1 {{ x }}", "+5"), one("[1, 2] {{ x }}", "[0]"), one("'a' {{ x }} 'b'", ","), one("5 {{ x }}", "5"), one("x{{ x }}", "=5"),
	one("0 {{ x }}+ 1", "\n"), one("0 {{ x }}+ 1", "\r"), one("0 <{{ x }}= 0", ""), one("2 *{{ x }}* 3 == 8", ""), one("''{{ x }}'a'", ""),
	one("''{{ x }}'a' or 1'", ""), one("'a' =={{ x }}= 'b'", ""), one("no{{ x }}t 0", ""), one("'\\{{ x }}' or True or '", ""), one("'\\{{ x }}'", "'"),
	one(`'\{{ x }}dmin' == 'admin'`, "x61"), one(`'\x{{ x }}' == 'a'`, "61"), one(`'\x6{{ x }}' == 'a'`, "1"), one(`'\1{{ x }}' == 'a'`, "41"),
	one(`'\N{ {{ x }} }'`, "BULLET"), one(`r'\{{ x }}' or True or r'`, ""), one(`r'\{{ x }}'`, `'`), one("True \\{{ x }}", "\n"), one("1 +\\{{ x }}\n1", ""),
	two("{{ a }}{{ b }} > 5", "1 or", " 9"), two("{{ a }}{{ b }}", "'a' == ", "'a'"), two("{{ a }} {{ b }}", "not", "False"), two("{{ a }} {{ b }}", "5", "-4"),
	two("{{ a }}.{{ b }} == 'A'", "'a'", "upper()"), two("{{ a }}({{ b }})", "str", "1"), two("[{{ a }}{{ b }}]", "1", ",2"),
	one("{'a': 0}.{{ x }}", "keys"), one("'x'.{{ x }}()", "upper"), one("{{ x }}('a')", "str"), one("{{ x }} = 1", "y"), one("{{ x }} += 1", "y"),
	one("[i for {{ x }} in [1]]", "i"), one("str(object={{ x }}, encoding)", "1"), one("{{ x }}: int = 1", "y"), one("f(**{{ x }})", "{'a': 1}"),
	// Comments.
	one("False # {{ x }}", "\nTrue"), one("# {{ x }}", "\nTrue"), one("# {{ x }}\nFalse", "\nTrue\n"), one("False # {{ x }}", "\rTrue"),
	one("'a' == 'b' # {{ x }}", "' or True"), one("(False # {{ x }}\n)", "\nor True"), one("False # {{ x }}\n or 1", "\\"),
	// Raw texts, bytes and f-strings.
	one("r'{{ x }}' == 'admin'", "' or True or r'"), one("r'{{ x }}' and False", "\\"), one("r'{{ x }}'", "\\"), one("r'{{ x }}'", "a'"), one("r'{{ x }}'", "a\nb"),
	one(`r"{{ x }}"`, `"`), one("r'''{{ x }}'''", "'"), one("b'{{ x }}'", "é"), one("b'{{ x }}'", "\\x61"), one("b'{{ x }}'", "'"), one("rb'{{ x }}'", "\\"),
	one("f'{{ x }}' == 'admin'", "{'admin'}"), one("f'{{ x }}'", "{1}"), one("f'{{ x }}'", "{"), one("f'{{ x }}'", "}"), one("f'{{ x }}'", "{{"),
	one("f'{{ x }}'", "'"), one("f'{{ x }}'", "\\x41"), one("f'{{ x }}'", "a\nb"), one("f'a{{ x }}b{1}'", "{2}"), one("f'{1:{{ x }}}'", "{5}"),
	one("f'{1:{{ x }}}'", "99999999999"), one("f'{ {{ x }} }'", "rand()"), one("f'{ {{ x }} }'", "1}{2"), one("f'{ {{ x }} }'", "'a'"), one("f'{ {{ x }} }'", "1:5"),
	one("f'{ {{ x }} }'", "1!r"), one("f'{ {{ x }} }'", "1 #"), one("f'{ {{ x }} }'", "[1][0]"), one("f'{ {{ x }} }'", "x"), one(`f"{'{{ x }}'}"`, "' + '"),
	one("f'{{ x }}' f'{1}' and False", "' or True or f'"), one("'a' f'{{ x }}'", "{1}"), one("f'\\{{ x }}'", "x41"), one("f'{1}{{ x }}'", "}"),
}

func TestAttacksAreNotTrue(t *testing.T) {
	for _, a := range attacks {
		if v := evaluateWith(a.template, a.data); v.Send {
			t.Errorf("%q with %q is True: %s", a.template, a.data, encoded(v.Result))
		}
	}
	t.Logf("%d attacks", len(attacks))
}

// TestDataInQuotesIsText compares texts that contain all special characters.
func TestDataInQuotesIsText(t *testing.T) {
	texts := []string{
		"a", "", "'", `"`, `\`, `\\`, `\'`, "\n", "\r", "\r\n", "\t", "#", "'''", `"""`, "{", "}", "{{", "}}", "{{ x }}", "{% x %}", "%s",
		"\x00", "\u2028", "\x0c", `\x61`, "a'", "'a", `a\`, " or True #", "' or '", "é", "😀", "\xff", strings.Repeat("a", 5000),
	}
	for _, template := range []string{"'{{ a }}' == '{{ b }}'", `"{{ a }}" == "{{ b }}"`, "'''{{ a }}''' == '''{{ b }}'''", "'{{ a }}' in ['{{ b }}']"} {
		for _, a := range texts {
			for _, b := range texts {
				v := evaluateWith(template, map[string]string{"a": a, "b": b})
				if v.Fault != nil || v.Send != (a == b) {
					t.Errorf("%q with %q and %q: %s", template, a, b, verdictText(v))
				}
			}
		}
	}
}

// TestFaultsContainNoData puts a secret into every position that leads to a fault.
func TestFaultsContainNoData(t *testing.T) {
	const secret = "s3cr3t"
	for _, template := range []string{
		"{{ x }}", "int('{{ x }}')", "float('{{ x }}')", "{'a': 1}['{{ x }}']", "{'{{ x }}': 1}['b']", "{'{{ x }}': 1}.b", "[1].index('{{ x }}')",
		"'%d' % '{{ x }}'", "'%({{ x }})s' % {}", "'%q{{ x }}' % 1", "1 + '{{ x }}'", "'{{ x }}' < 1", "'{{ x }}'.nope", "'{{ x }}'.index('z')",
		"int('{{ x }}', 16)", "{'a': 1}.pop('{{ x }}')", "{1}.remove('{{ x }}')", "'{{ x }}'[100]", "f'{1:{{ x }}}'", "'a'.encode('{{ x }}')",
		"'{{ x }}' == undefined", "'{{ x }}' ==", "r'{{ x }}' + 1", "dict('{{ x }}')", "dict(['{{ x }}'])", "'{{ x }}'()", "'a'.ljust('{{ x }}')",
		"[1, 2]['{{ x }}']", "(1)('{{ x }}')", "randint('{{ x }}')", "'a'.join(['{{ x }}', 1])", "{['{{ x }}']}", "float.fromhex('{{ x }}')",
	} {
		v := evaluateWith(template, map[string]string{"x": secret})
		if v.Fault == nil {
			t.Errorf("%s: no fault but %s", template, encoded(v.Result))
			continue
		}
		if strings.Contains(v.Fault.Error(), secret) {
			t.Errorf("%s: %s", template, v.Fault)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, text := range []string{
		"3999999**3999999", "2**4000000", "'a'.ljust(10**9)", "'a'.center(10**30)", "'a'.zfill(10**9)", "'%1000000000d' % 1", "'%.1000000000f' % 1.5",
		"'%*d' % (10**9, 1)", "f'{1:1000000000}'", "f'{1.5:.1000000000f}'", "'a' * 10**9", "[0] * 10**9", "1 << 10001", "10**40000 * 10**40000",
		"[a for a in 'x'*1000 for b in 'x'*1000]", "('a'*100000).replace('a', 'b'*100000)", "('a\\t'*50000).expandtabs(10**9)",
		"[[0]*100000 for a in 'x'*5000]", "['x'*100000 for a in 'x'*5000]", "[[l.extend(l) for x in 'x'*100] for l in [[1]]]",
		"[[l.append(l), str(l)] for l in [[1]]][0][5]", "('a'*100000).strip('b'*100000) and [('a'*100000).strip('b'*99999+'a') for x in 'a'*1000]",
		"(1).to_bytes(10**9, 'big')", "'é'.join(['a'*100000]*50000)", "str([['a'*100000]*10000]*10000)",
		strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000), strings.Repeat("[", 5000), strings.Repeat("-", 5000) + "1",
		strings.Repeat("not ", 50000) + "1", "1" + strings.Repeat("+1", 50000), "1" + strings.Repeat(" if 1 else 1", 5000),
		"2" + strings.Repeat("**2", 5000), "x" + strings.Repeat(".a", 50000), "{" + strings.Repeat("'a':{", 5000), "'a" + strings.Repeat("a", 300000) + "'",
		strings.Repeat("lambda:", 5000) + "1", strings.Repeat("f(", 5000), "f'{" + strings.Repeat("(", 5000) + "}'", strings.Repeat("9", 100000),
		"0x" + strings.Repeat("f", 100000), "[" + strings.Repeat("1,", 120000) + "].sort() == [" + strings.Repeat("1,", 5) + "]",
		"int('1' * 5000)", "str(10**5000)", "'%d' % 10**5000", "f'{10**5000}'",
	} {
		if v := EvaluateText(context.Background(), text, Limits{}); v.Send {
			t.Errorf("%s is True", short(text))
		}
	}
}

func TestContextIsHonoured(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if v := EvaluateText(ctx, "True", Limits{}); v.Send || v.Fault == nil || v.Fault.Kind != Cancelled {
		t.Error(verdictText(v))
	}
}

func ExampleEvaluateText() {
	v := EvaluateText(context.Background(), "1 < 2 and foo == 3", Limits{})
	fmt.Println(v.Send, v.Fault)
	// Output: false 'foo' is not defined
}
