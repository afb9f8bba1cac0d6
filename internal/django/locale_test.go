// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// TestLocales reads every language and checks that formats charge for the longest name.
func TestLocales(t *testing.T) {
	if len(locales()) < 100 {
		t.Fatalf("%d languages", len(locales()))
	}
	for name, read := range locales() {
		l := read()
		if again := findLocale(strings.ReplaceAll(strings.ToUpper(name), "_", "-")); again != l {
			t.Errorf("%s: found by its code: %p, not %p", name, again, l)
		}
		for id, m := range l.messages {
			if m.forms != nil {
				for n := range int64(1300) {
					if i := l.plurals[m.rule](n); i < 0 || i >= len(m.forms) {
						t.Errorf("%s: form %d of %q for %d; it has %d", name, i, id, n, len(m.forms))
						break
					}
				}
			} else if !strings.Contains(id, "truncat") && len(m.text) > longestName {
				t.Errorf("%s: %q has %d bytes, more than longestName", name, m.text, len(m.text))
			}
		}
		var all strings.Builder
		for c := range formatChars {
			b, err := (moment{t: time.Date(2024, 9, 18, 23, 59, 59, 0, time.UTC), hasDate: true, hasTime: true, locale: l}).append(nil, formatChars[c], formatChars)
			if err != nil || len(b) > longestName {
				t.Errorf("%s: %c is %q: %v", name, formatChars[c], b, err)
			}
			all.Write(b)
		}
	}
}

// TestPluralRules compiles unusual plural rules.
func TestPluralRules(t *testing.T) {
	for _, tc := range []struct {
		rule string
		n    []int64
		want []int
	}{
		{"(n != 1)", []int64{0, 1, 2}, []int{1, 0, 1}},
		{"(n == 0 || n == 1) ? 0 : n != 0 && n % 1000000 == 0 ? 1 : 2", []int64{0, 1, 2, 2_000_000}, []int{0, 0, 2, 1}},
		{"n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 && n%100<=99 ? 4 : 5",
			[]int64{0, 1, 2, 3, 110, 11, 199, 100, 102}, []int{0, 1, 2, 3, 3, 4, 4, 5, 5}},
		{"!(n % 10 == 1) + 2 * (n > 1) - 1", []int64{1, 2, 11}, []int{-1, 2, 1}},
		{"0", []int64{1, 2}, []int{0, 0}},
		{"n % 0", []int64{5}, []int{0}},
		{"??(((", []int64{5}, []int{0}},
	} {
		rule := parsePluralRule(tc.rule)
		for i, n := range tc.n {
			if got := rule(n); got != tc.want[i] {
				t.Errorf("%s of %d is %d, want %d", tc.rule, n, got, tc.want[i])
			}
		}
	}
}

// TestRenderLanguage renders in the language of the options.
func TestRenderLanguage(t *testing.T) {
	tmpl, err := Parse("main", `{% load i18n humanize %}{{ at|timestamp|date }}; {{ n|floatformat:"2g" }}; {% get_current_language as l %}{{ l }}`+
		`{% get_current_language_bidi as rtl %}{% if rtl %} rtl{% endif %}; {{ at|timestamp|naturaltime }}{% language "de" %}; {{ at|timestamp|date:"F" }}{% endlanguage %}`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := python.NewDict(2)
	data.SetStr("at", python.Int(1_715_948_400_000))
	data.SetStr("n", python.Float(1234.5))
	for language, want := range map[string]string{
		"":      "May 17, 2024; 1,234.50; en; 3\u00a0minutes ago; Mai",
		"fr":    "17 mai 2024; 1\u00a0234,50; fr; il y a 3\u00a0minutes; Mai",
		"pt-BR": "17 de Maio de 2024; 1.234,50; pt-br; 3 minutos atrás; Mai",
		"de-AT": "17. Mai 2024; 1.234,50; de-at; vor 3 Minuten; Mai",
		"ar":    "17 مايو، 2024; 1234,50; ar rtl; منذ 3 دقيقة; Mai",
		"tlh":   "May 17, 2024; 1234.50; tlh; 3\u00a0minutes ago; Mai",
	} {
		out, err := tmpl.Render(context.Background(), data, RenderOptions{Language: language, Now: func() time.Time { return time.UnixMilli(1_715_948_600_000) }})
		if err != nil || out != want {
			t.Errorf("%q: %v\n got %q\nwant %q", language, err, out, want)
		}
	}
}
