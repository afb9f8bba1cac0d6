// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// fuzzFilter renders {{ v|filter }} with hostile text, and with arg as the argument a if
// the filter uses it. It must not panic, hang, exceed the limits or print invalid UTF-8.
func fuzzFilter(f *testing.F, filters []string, seeds ...string) {
	f.Helper()
	var templates []*Template
	for _, filter := range filters {
		t, err := Parse(filter, "{% load humanize tz %}{{ v|"+filter+" }}", Options{})
		if err != nil {
			f.Fatal(err)
		}
		templates = append(templates, t)
	}
	for _, seed := range seeds {
		f.Add(seed, "5", true)
		f.Add(strings.Repeat(seed, 50), "-1", false)
	}
	f.Fuzz(func(t *testing.T, v, arg string, autoescape bool) {
		if len(v) > 1<<16 || len(arg) > 1<<10 || !utf8.ValidString(v) || !utf8.ValidString(arg) {
			t.Skip()
		}
		data := python.NewDict(3)
		data.SetStr("v", python.Str(v))
		data.SetStr("a", python.Str(arg))
		data.SetStr("day", &python.DateTime{T: time.Date(2024, 2, 29, 23, 5, 9, 0, time.UTC)})
		for _, tpl := range templates {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			out, err := tpl.Render(ctx, data, RenderOptions{Autoescape: autoescape})
			cancel()
			if errors.Is(err, errPanic) || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s of %q, %q: %v", tpl.Name(), v, arg, err)
			}
			if limit := (Limits{}).withDefaults().Output; len(out) > limit {
				t.Fatalf("%s of %q, %q: %d bytes printed", tpl.Name(), v, arg, len(out))
			}
			if !utf8.ValidString(out) {
				t.Fatalf("%s of %q, %q: prints invalid UTF-8: %q", tpl.Name(), v, arg, out)
			}
		}
	})
}

func FuzzUrlize(f *testing.F) {
	fuzzFilter(f, []string{"urlize", "urlizetrunc:a", "urlizetrunc:9"},
		"see https://example.com/a?b=1&c=%2, www.x.org. me@example.net!", "(((http://a.com)))&amp;).).", "http://[::1]:8/é@ü.de&lt;", "a@b.c&#x41;;;;")
}

func FuzzStriptags(f *testing.F) {
	fuzzFilter(f, []string{"striptags"},
		"<b>bold</b> &amp; <!-- c --> x", "<<a<a<a", "<a b='>' <a b='>'", "<![CDATA[x]]> <![if x]>", "<script>a</script", "&#x&#65&a.b", "<!doctype <?pi </a b>")
}

func FuzzTruncateHTML(f *testing.F) {
	fuzzFilter(f, []string{"truncatewords_html:a", "truncatewords_html:3", "truncatechars_html:a", "truncatechars_html:4"},
		"<p class='a'>one <b>two</b> three<br/> four</p>", "<<<<<", "<a><a><a></b>", "e\u0301<i/>x")
}

func FuzzTruncate(f *testing.F) {
	fuzzFilter(f, []string{"truncatechars:a", "truncatechars:3", "truncatewords:a", "truncatewords:2"}, "one two three", "e\u0301\u0301\u0301x", " \n\t")
}

func FuzzWordwrap(f *testing.F) {
	fuzzFilter(f, []string{"wordwrap:a", "wordwrap:4"}, "one two three\nfour\tfive", "\t\t\t\u00a0 \u00a0", strings.Repeat("x ", 100))
}

func FuzzLinebreaks(f *testing.F) {
	fuzzFilter(f, []string{"linebreaks", "linebreaksbr", "linenumbers"}, "one\ntwo\r\n\r\nthree\r", "\n\n\n\n", "<b>\n")
}

func FuzzStringformat(f *testing.F) {
	fuzzFilter(f, []string{"stringformat:a", `stringformat:v`, `length|stringformat:a`, `add:"0"|stringformat:v`},
		"05d", "*d", "1000000000d", ".999999999f", "(a)s", "s %s", "#x", "%", "c", "r")
}

func FuzzDate(f *testing.F) {
	fuzzFilter(f, []string{"date:a", "time:v", `default:""|default:day|date:v`, "timestamp|date:a", "timestamp|timesince", "timestamp|timeuntil",
		"timestamp|naturaltime", "timestamp|naturalday:a", "timestamp|timezone:a|date:v"},
		"N j, Y, P", `jS \o\f F`, `\\\H`, "aAbcdDeEfFgGhHiIjlLmMnNoOPrsStTUuwWyYzZ", "1596795344112", "99999999999999999", "Europe/Paris", "../x")
}

func FuzzText(f *testing.F) {
	fuzzFilter(f, []string{"addslashes", "capfirst", "center:a", "cut:a", "escapejs", "force_escape", "iriencode", "join:a", "json_script:a", "lower", "make_list", "phone2numeric",
		"pprint", "rjust:a", "safeseq", "slice:a", "slugify", "title", "unordered_list", "upper", "urlencode:a", "wordcount", "make_list|dictsort:a", "make_list|pprint"},
		"Hello <b>'wörld'</b> & \"co\"", "ŉǆß İΣ", "1::-1", "don't 2ND", "\x00\x1f\u2028")
}

func FuzzNumbers(f *testing.F) {
	fuzzFilter(f, []string{"add:a", "apnumber", "divisibleby:a", "filesizeformat", "floatformat:a", "floatformat:v", "get_digit:a", "intcomma", "intword",
		"money:a", "money:18", "ordinal", "pluralize:a", "yesno:a"},
		"123456", "-1.5e300", "1e-400", "9999999999999999999999", "nan", "1e1000000", "-0", "2g", "٣")
}
