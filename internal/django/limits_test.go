// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

func mebibyteOf(unit string) *python.Dict {
	data := python.NewDict(1)
	data.SetStr("t", python.Str(strings.Repeat(unit, 1<<20/len(unit))))
	return data
}

// TestLimitsEndRenders renders templates that would take minutes or gigabytes if only part
// of their work were charged.
func TestLimitsEndRenders(t *testing.T) {
	var split strings.Builder
	for i := range 40 {
		fmt.Fprintf(&split, "{%% with a%d=t.split b%d=t.title c%d=t.upper %%}", i, i, i)
	}
	split.WriteString(strings.Repeat("{% endwith %}", 40))
	for name, tc := range map[string]struct{ unit, template string }{
		"methods of a path":       {"é ", "{{ t" + strings.Repeat(".title", 1000) + " }}"},
		"kept by with":            {"a ", split.String()},
		"kept by a block's value": {"a", "{% load i18n %}" + strings.Repeat("{% for x in t|slice:'3' %}{% cycle t|upper t|lower as n silent %}{% cycle t|title t|upper as m silent %}{% endfor %}", 20)},
		"expanding Unicode":       {"\ufdfa", strings.Repeat("{% if t|slugify %}{% endif %}", 200)},
		"remembered by ifchanged": {"a", strings.Repeat("{% ifchanged t|upper %}{% endifchanged %}", 100)},
		"quoting":                 {"/", "{% if t|urlencode:t %}{% endif %}" + strings.Repeat("{% if t|urlencode:t %}{% endif %}", 200)},
	} {
		tmpl, err := Parse("main", tc.template, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = tmpl.Render(context.Background(), mebibyteOf(tc.unit), RenderOptions{})
		var e *Error
		if !errors.Is(err, ErrLimit) || !errors.As(err, &e) || e.Line == 0 {
			t.Errorf("%s: got %v, want a limit with a position", name, err)
		}
	}
}

// TestDeadlineIsNotALimit checks that a deadline, after which the same rendering may
// succeed later, is not reported as a limit.
func TestDeadlineIsNotALimit(t *testing.T) {
	tmpl, err := Parse("main", "{% for x in t %}{{ x }}{% endfor %}", Options{Limits: Limits{Steps: 1 << 40, Output: 1 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	_, err = tmpl.Render(ctx, mebibyteOf("a"), RenderOptions{})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

// TestRealisticTemplatesFitLimits checks that realistic templates, long or with loops over
// thousands of rows, stay within the limits.
func TestRealisticTemplatesFitLimits(t *testing.T) {
	rows := make([]python.Value, 4000)
	for i := range rows {
		row := python.NewDict(3)
		row.SetStr("name", python.Str("Zoë van der Merwe"))
		row.SetStr("amount", python.Int(1234567*i))
		row.SetStr("note", python.Str(strings.Repeat("A line of text. ", 4)))
		rows[i] = row
	}
	data := python.NewDict(1)
	data.SetStr("rows", python.NewList(rows...))
	data.SetStr("text", python.Str(strings.Repeat("Ünïcode text in <b>paragraphs</b>.\n\n", 1500)))
	for name, source := range map[string]string{
		"rows": "{% load humanize %}{% for row in rows %}{% with name=row.name|upper %}{{ forloop.counter }} {{ name }} {{ row.amount|money:2|intcomma }} {% if row.note and row.amount > 5 %}{{ row.note|truncatewords:5|default:'-' }}{% endif %}{% endwith %}\n{% endfor %}",
		"text": "{{ text|linebreaks }}{{ text|striptags|truncatechars:500 }}{{ text|title|wordcount }}",
		"sort": "{% regroup rows|dictsort:'amount' by name as groups %}{% for g in groups %}{{ g.grouper }} {{ g.list|length }}{% endfor %}",
	} {
		tmpl, err := Parse(name, source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tmpl.Render(context.Background(), data, RenderOptions{Autoescape: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestErrorsContainNoData searches errors for a secret in the data.
func TestErrorsContainNoData(t *testing.T) {
	const secret = "zx81secret"
	data := python.NewDict(4)
	data.SetStr("s", python.Str(secret))
	row := python.NewDict(1)
	row.SetStr(secret, python.Str(secret))
	data.SetStr("d", row)
	data.SetStr("l", python.NewList(python.Str(secret), row))
	load := hostileLoad
	var sources []string
	for _, l := range []*Library{builtins, libraries["humanize"], libraries["tz"], libraries["i18n"], libraries["l10n"]} {
		for name, f := range l.filters {
			for _, v := range []string{"s", "d", "l", "d.items"} {
				if f.Arg != RequiredArg {
					sources = append(sources, "{{ "+v+"|"+name+" }}")
				}
				if f.Arg != NoArg {
					sources = append(sources, "{{ "+v+"|"+name+":s }}", "{{ "+v+"|"+name+":l }}", "{{ 5|"+name+":"+v+" }}")
				}
			}
		}
	}
	for _, units := range hostileTags {
		for _, unit := range units {
			for _, v := range []string{"s", "d", "l"} {
				sources = append(sources, strings.NewReplacer(" v", " "+v, "=v", "="+v, " w", " s", "NAME", "n").Replace(unit))
			}
		}
	}
	failed := 0
	for _, source := range sources {
		tmpl, err := Parse("main", load+source, Options{Loader: mapLoader(map[string]string{"part": "{{ a }}"})})
		if err != nil {
			continue
		}
		if _, err = tmpl.Render(context.Background(), data, RenderOptions{}); err == nil {
			continue
		}
		failed++
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("%s: %v", source, e)
			}
		}
	}
	if failed < 20 {
		t.Errorf("only %d templates failed", failed)
	}
}

// TestLengthIsInCharacters checks that the limit has the same unit as the API server's.
func TestLengthIsInCharacters(t *testing.T) {
	long := strings.Repeat("é", 262144)
	if _, err := Parse("main", long, Options{}); err != nil {
		t.Error(err)
	}
	const want = "main: the template is 262145 characters long; at most 262144 are allowed"
	if _, err := Parse("main", long+"é", Options{}); err == nil || err.Error() != want || !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestParseCost checks that parsing doesn't take quadratic time for tags that each add to
// the parser's state.
func TestParseCost(t *testing.T) {
	for _, piece := range []string{
		"{% load i18n %}", "{% load i18n tz %}", "{% load trans from i18n %}", "{% now 'Y' %}", "{{ a|upper }}", "{% if a %}", "{% for a in b %}{% endfor %}",
		"{% with a=b %}", "{% cycle a b %}", "{{", "{%", "{{ _('x') }}", "{{ \u00e9 }}", "{% verbatim %}",
	} {
		source := strings.Repeat(piece, (256<<10)/len(piece))
		parse := func() { _, _ = Parse("main", source, Options{}) }
		const bound = 250 * time.Millisecond
		allowed := bound * time.Duration(metertest.Slowdown)
		cpu := metertest.Measure(parse)
		if cpu > allowed { // the first run may include one-time costs
			cpu = min(cpu, metertest.Measure(parse))
		}
		if cpu > allowed {
			t.Errorf("repeated %q: took %s", piece, cpu)
		}
	}
}
