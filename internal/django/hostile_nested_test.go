// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// hostileWrappers are tags around a BODY. F is a chain of filters, M a method, and OP an
// operator.
var hostileWrappers = []string{
	"{% for x in v %}BODY{% endfor %}", "{% for v in v reversed %}BODY{% empty %}BODY{% endfor %}", "{% for a, v in v.items %}BODY{% endfor %}",
	"{% with v=v|F w=v %}BODY{% endwith %}", "{% with w=v.M v=w %}BODY{% endwith %}", "{% with v=v|F %}BODY{% endwith %}",
	"{% if v OP w %}BODY{% else %}BODY{% endif %}", "{% if v|F OP w|F and v OP w %}BODY{% endif %}",
	"{% filter F %}BODY{% endfilter %}", "{% spaceless %}BODY{% endspaceless %}", "{% autoescape off %}BODY{% endautoescape %}",
	"{% ifchanged %}BODY{% else %}BODY{% endifchanged %}", "{% ifchanged v|F w %}BODY{% endifchanged %}",
	"{% blocktranslate with a=v|F b=w.M count c=v|length %}{{ a }}{% plural %}{{ b }}{% endblocktranslate %}BODY",
	"{% regroup v|F by M as v %}BODY", "{% cycle v|F w as NAME silent %}BODY{{ NAME }}", "{% partialdef NAME %}BODY{% endpartialdef %}{% partial NAME %}{% partial NAME %}",
	"{{ v|F }}BODY", "{{ v.M.M.M|F }}BODY", "{% firstof v|F w.M as v %}BODY", "{% widthratio v|F w|F 100 as v %}BODY", "{% include 'part' with a=v|F b=w.M %}BODY",
	"{% localize on %}BODY{% endlocalize %}", "{% localtime on %}BODY{% endlocaltime %}", "{% language v %}BODY{% endlanguage %}",
}

// hostileGrammar makes templates of what hostileTemplates enumerates.
type hostileGrammar struct {
	random                               *rand.Rand
	units, filters, methods, comparisons []string
	names                                int
}

func newHostileGrammar(t *testing.T, random *rand.Rand) *hostileGrammar {
	t.Helper()
	g := &hostileGrammar{random: random}
	for _, h := range hostileTemplates(t) {
		kind, name, _ := strings.Cut(h.name, " ")
		switch {
		case kind == "filter" && !strings.ContainsAny(name, " "):
			g.filters = append(g.filters, name)
		case kind == "method":
			g.methods = append(g.methods, name)
		case kind == "operator" && !strings.HasPrefix(name, "of items"):
			g.comparisons = append(g.comparisons, name)
		case kind == "tag", kind == "print":
			g.units = append(g.units, h.unit)
		}
	}
	return g
}

func (g *hostileGrammar) one(of []string) string { return of[g.random.IntN(len(of))] }

// fill replaces each occurrence of a placeholder.
func (g *hostileGrammar) fill(text, placeholder string, with func() string) string {
	parts := strings.Split(text, placeholder)
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString(with())
		}
		b.WriteString(part)
	}
	return b.String()
}

// body returns a few units and wrappers, nested up to a depth.
func (g *hostileGrammar) body(depth int) string {
	var b strings.Builder
	for range 1 + g.random.IntN(3) {
		unit := g.one(g.units)
		if depth > 0 && g.random.IntN(4) > 0 {
			unit = g.one(hostileWrappers)
		}
		g.names++
		unit = strings.ReplaceAll(unit, "NAME", fmt.Sprintf("n%d", g.names))
		unit = g.fill(unit, "|F", func() string { return "|" + g.chain() })
		unit = g.fill(unit, "filter F ", func() string { return "filter " + g.chain() + " " })
		unit = g.fill(unit, ".M", func() string { return "." + g.one(g.methods) })
		unit = g.fill(unit, "by M", func() string { return "by " + g.one(g.methods) })
		unit = g.fill(unit, " OP ", func() string { return " " + g.one(g.comparisons) + " " })
		b.WriteString(g.fill(unit, "BODY", func() string { return g.body(depth - 1) }))
	}
	return b.String()
}

func (g *hostileGrammar) chain() string {
	filters := make([]string, 1+g.random.IntN(4))
	for i := range filters {
		filters[i] = g.one(g.filters)
	}
	return strings.Join(filters, "|")
}

// TestHostileNesting renders random templates in which tags, filters, methods and operators
// are nested, within the same bounds as TestHostileWork. With HOSTILE_TIME, such as 10m, it
// tries more of them for that long, with the whole budget.
func TestHostileNesting(t *testing.T) {
	size, source, share, tries := 48<<10, 4<<10, 20, 150
	if metertest.Slowdown > 1 {
		tries = 15
	}
	length, _ := time.ParseDuration(os.Getenv("HOSTILE_TIME"))
	seed := uint64(1)
	if length > 0 {
		size, source, share, seed = 1<<20, 64<<10, 1, uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	g := newHostileGrammar(t, rand.New(rand.NewPCG(seed, 0)))
	limits := (Limits{}).withDefaults()
	limits.Steps /= share
	inputs := metertest.Inputs()
	values := make([]python.Value, len(inputs))
	for i, in := range inputs {
		values[i] = in.Make(size)
	}
	loader := mapLoader(map[string]string{"part": "{{ a }}{{ b.x }}"})
	parsed, end := 0, time.Now().Add(length)
	for n := 0; n < tries || time.Now().Before(end); n++ {
		g.names = 0
		text := hostileLoad
		for room := source; room > 0 && len(text) < source; room -= source / 8 {
			if body := g.body(1 + g.random.IntN(5)); len(text)+len(body) <= source {
				text += body
			}
		}
		tmpl, err := Parse("main", text, Options{Limits: limits, Loader: loader})
		if errors.Is(err, errPanic) {
			t.Errorf("%v: %s", err, text)
		}
		if err != nil {
			continue // not everything can be nested
		}
		parsed++
		i, j := g.random.IntN(len(inputs)), g.random.IntN(len(inputs))
		data := python.NewDict(2)
		data.SetStr("v", values[i])
		data.SetStr("w", values[j])
		render := func(ctx context.Context) { _, err = tmpl.Render(ctx, data, RenderOptions{Autoescape: true}) }
		where := fmt.Sprintf("%q and %q", inputs[i].Name, inputs[j].Name)
		allowed := (hostileCPU/time.Duration(share) + 15*time.Millisecond) * time.Duration(metertest.Slowdown)
		if cpu := metertest.MeasureWithin(allowed, func() { render(context.Background()) }); cpu > allowed {
			t.Errorf("%s: took %s (%v): %s", where, cpu, err, text)
		}
		if errors.Is(err, errPanic) {
			t.Errorf("%s: %v: %s", where, err, text)
		}
		const deadline = 2 * time.Millisecond
		allowed = (deadline + hostileOverrun) * time.Duration(metertest.Slowdown)
		if cpu := metertest.MeasureWithin(allowed, func() { render(metertest.Deadline{Context: context.Background(), At: metertest.CPU() + deadline}) }); cpu > allowed {
			t.Errorf("%s: took %s with a deadline of %s (%v): %s", where, cpu, deadline, err, text)
		}
		if length > 0 && n%8 == 0 {
			bound := uint64(limits.Memory + hostileMemory)
			if total, live := metertest.Allocated(bound, func() { render(context.Background()) }); live > bound {
				t.Errorf("%s: held %d MiB, of %d MiB in all: %s", where, live>>20, total>>20, text)
			}
		}
	}
	t.Logf("%d templates", parsed)
	if parsed < tries/4 {
		t.Errorf("only %d templates could be parsed", parsed)
	}
}
