// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// hostileTags has expensive templates for each tag; v is the data and w a different value
// of its kind.
var hostileTags = map[string][]string{
	"autoescape":                {"{% autoescape on %}{{ v }}{% endautoescape %}"},
	"block":                     {"{% block NAME %}{{ v }}{{ block.super }}{% endblock %}"},
	"comment":                   {"{% comment %}{{ v }}{% endcomment %}"},
	"csrf_token":                {"{% csrf_token %}"},
	"debug":                     {"{% debug %}"},
	"cycle":                     {"{% cycle v w as NAME silent %}", "{% cycle v|upper v|make_list as NAME silent %}"},
	"resetcycle":                {"{% cycle v w as NAME silent %}{% resetcycle NAME %}"},
	"extends":                   {}, // comes first: see hostileTemplates
	"filter":                    {"{% filter upper|lower %}{{ v|slice:'5' }}{% endfilter %}", "{% filter title|escape_once|cut:'1' %}a{% endfilter %}"},
	"firstof":                   {"{% firstof '' v as NAME %}"},
	"for":                       {"{% for x in v %}{{ x.y }}{% endfor %}", "{% for x in v %}{% for y in x %}{% if y == x %}{% endif %}{% endfor %}{% endfor %}", "{% for x in v reversed %}{% with a=forloop b=forloop.parentloop %}{% endwith %}{% endfor %}"},
	"if":                        {"{% if v and not w or v.x.y.z %}{% endif %}"},
	"ifequal":                   {"{% ifequal v w %}{% endifequal %}"},
	"ifnotequal":                {"{% ifnotequal v w %}{% endifnotequal %}"},
	"ifchanged":                 {"{% ifchanged v|upper %}{% endifchanged %}", "{% for x in v %}{% ifchanged %}{{ x }}{% endifchanged %}{% endfor %}"},
	"include":                   {"{% include 'part' with a=v b=w|upper %}", "{% include v %}"},
	"load":                      {"{% load tz %}"},
	"lorem":                     {"{% lorem 100 p %}", "{% lorem 90000 w random %}"},
	"now":                       {"{% now 'N j, Y, P e T U r c' as NAME %}"},
	"partial":                   {"{% partialdef NAME %}{{ v }}{% endpartialdef %}{% partial NAME %}{% partial NAME %}"},
	"partialdef":                {"{% partialdef NAME inline %}{{ v }}{% endpartialdef %}"},
	"querystring":               {"{% get_language_info for 'en' as NAME %}{% querystring NAME a=v b=w as NAME %}{% if NAME %}{% endif %}", "{% querystring v a=w %}"},
	"regroup":                   {"{% regroup v by x as NAME %}{% regroup NAME by list as again %}{% if again %}{% endif %}"},
	"spaceless":                 {"{% spaceless %}{{ v|safe }}{% endspaceless %}"},
	"templatetag":               {"{% templatetag openblock %}"},
	"verbatim":                  {"{% verbatim %}{{ v }}{% endverbatim %}"},
	"widthratio":                {"{% widthratio v w 100 as NAME %}"},
	"with":                      {"{% with NAME=v %}{{ NAME.x }}{% endwith %}"},
	"blocktrans":                {"{% blocktrans with NAME=v %}a{{ NAME }}{% endblocktrans %}"},
	"blocktranslate":            {"{% blocktranslate asvar NAME %}{{ v }}{% endblocktranslate %}", "{% blocktranslate with x=v|escape trimmed %} {{ x }} \n {% endblocktranslate %}"},
	"get_available_languages":   {"{% get_available_languages as NAME %}"},
	"get_current_language":      {"{% get_current_language as NAME %}"},
	"get_current_language_bidi": {"{% get_current_language_bidi as NAME %}"},
	"get_language_info":         {"{% get_language_info for 'de' as NAME %}", "{% get_language_info for v as NAME %}"},
	"get_language_info_list":    {"{% get_language_info_list for v as NAME %}"},
	"language":                  {"{% language v %}{% get_current_language as NAME %}{% endlanguage %}"},
	"trans":                     {"{% trans v as NAME %}"},
	"translate":                 {"{% translate v as NAME %}", "{% translate v context w noop as NAME %}"},
	"localize":                  {"{% localize on %}{{ v }}{% endlocalize %}"},
	"get_current_timezone":      {"{% get_current_timezone as NAME %}"},
	"localtime":                 {"{% localtime on %}{{ v }}{% endlocaltime %}"},
	"timezone":                  {"{% timezone v %}{% endtimezone %}"},
}

// hostileArgs are the arguments to try with filters that take one.
var hostileArgs = []string{"5", "100000", "v", "w", `"x"`, `"x,y"`, `"::-1"`, `"1000000d"`, `"jSNY"`}

// hostileTemplate is a template with its name and the unit to repeat.
type hostileTemplate struct{ name, unit string }

const hostileLoad = "{% load humanize i18n l10n tz %}"

// hostileTemplates enumerates every filter, tag, operator and method. A tag that is missing
// in hostileTags fails the test.
func hostileTemplates(t *testing.T) []hostileTemplate {
	t.Helper()
	var out []hostileTemplate
	add := func(name, unit string) { out = append(out, hostileTemplate{name: name, unit: unit}) }
	all := []*Library{builtins}
	for _, l := range libraries {
		all = append(all, l)
	}
	for _, l := range all {
		for name, f := range l.filters {
			if f.Arg != RequiredArg {
				add("filter "+name, "{% if v|"+name+" %}{% endif %}")
				add("kept "+name, "{% with NAME=v|"+name+" %}")
			}
			if f.Arg != NoArg {
				for _, arg := range hostileArgs {
					add("filter "+name+":"+arg, "{% if v|"+name+":"+arg+" %}{% endif %}")
				}
				add("kept "+name, "{% with NAME=v|"+name+":5 %}")
			}
		}
		for name := range l.tags {
			units, known := hostileTags[name]
			if !known {
				t.Errorf("the tag %s is not in hostileTags", name)
			}
			for i, unit := range units {
				add(fmt.Sprintf("tag %s %d", name, i), unit)
			}
		}
	}
	for _, op := range operators {
		if op == opNot {
			continue
		}
		add("operator "+op.name, "{% if v "+op.name+" w %}{% endif %}")
		add("operator of items "+op.name, "{% if v.0 "+op.name+" v %}{% endif %}")
	}
	for _, name := range append(python.MethodNames(), "items", "keys", "values", "copy", "count", "index", "bit_count", "as_integer_ratio", "hex", "0", "x") {
		add("method "+name, "{% if v."+name+" %}{% endif %}")
		add("kept "+name, "{% with NAME=v."+name+" %}")
		add("chain "+name, "{{ v"+strings.Repeat("."+name, 200)+" }}")
	}
	add("print", "{{ v }}")
	slices.SortFunc(out, func(a, b hostileTemplate) int { return strings.Compare(a.name+a.unit, b.name+b.unit) })
	return out
}

// source repeats the unit up to a size, with unique names.
func (h hostileTemplate) source(size int) string {
	var b strings.Builder
	b.WriteString(hostileLoad)
	n := max((size-len(hostileLoad))/(len(h.unit)+16), 1)
	ends := 0
	for i := range n {
		unit := strings.ReplaceAll(h.unit, "NAME", fmt.Sprintf("n%d", i))
		if strings.HasPrefix(h.unit, "{% with NAME=") && !strings.Contains(h.unit, "endwith") {
			if ends++; ends > 45 {
				break
			}
		}
		b.WriteString(unit)
	}
	b.WriteString(strings.Repeat("{% endwith %}", min(ends, 45)))
	return b.String()
}

// The bounds for a rendering with the default limits. An operation that is charged as a
// whole may exceed the budget.
const (
	hostileCPU     = 250 * time.Millisecond
	hostileMemory  = 64 << 20 // beyond Limits.Memory
	hostileOverrun = 50 * time.Millisecond
)

// TestHostileWork renders every filter, tag, operator and method with the most expensive
// data, with part of the budget (all of it if HOSTILE=full), and checks the time and
// memory.
func TestHostileWork(t *testing.T) {
	size, source, share, every := 48<<10, 4<<10, 20, 12
	if metertest.Slowdown > 1 {
		size, every = 32<<10, 96
	}
	if metertest.Full {
		size, source, share, every = 1<<20, 64<<10, 1, 24
	}
	limits := (Limits{}).withDefaults()
	limits.Steps /= share
	inputs := metertest.Inputs()
	values := make([]python.Value, len(inputs))
	others := make([]python.Value, len(inputs))
	for i, in := range inputs {
		values[i], others[i] = in.Make(size), in.Make(size)
	}
	var worst []string
	for _, h := range hostileTemplates(t) {
		tmpl, err := Parse("main", h.source(source), Options{Limits: limits, Loader: mapLoader(map[string]string{"part": "{{ a }}{{ b.x }}"})})
		if err != nil {
			if strings.Contains(h.unit, "escape_once") {
				continue
			}
			t.Fatalf("%s: %v", h.name, err)
		}
		for i, in := range inputs {
			if hashOf(h.name, h.unit, in.Name)%uint32(every) != 0 {
				continue
			}
			data := python.NewDict(2)
			data.SetStr("v", values[i])
			data.SetStr("w", others[i])
			render := func(ctx context.Context) error {
				_, err := tmpl.Render(ctx, data, RenderOptions{Autoescape: true, Now: func() time.Time { return time.Unix(1.7e9, 0) }})
				return err
			}
			where := fmt.Sprintf("%s of %q", h.name, in.Name)
			allowed := (hostileCPU/time.Duration(share) + 15*time.Millisecond) * time.Duration(metertest.Slowdown)
			cpu := metertest.MeasureWithin(allowed, func() { err = render(context.Background()) })
			checkError(t, err)
			if cpu > allowed {
				t.Errorf("%s: took %s", where, cpu)
			}
			if cpu > hostileCPU/time.Duration(share)/2 {
				worst = append(worst, fmt.Sprintf("%8.2fms %s (%v)", cpu.Seconds()*1000, where, err))
			}
			if metertest.Full {
				if total, live := metertest.Allocated(uint64(limits.Memory+hostileMemory), func() { _ = render(context.Background()) }); live > uint64(limits.Memory+hostileMemory) {
					t.Errorf("%s: held %d MiB, of %d MiB in all", where, live>>20, total>>20)
				}
			}
		}
	}
	slices.Sort(worst)
	for _, w := range worst[max(len(worst)-40, 0):] {
		t.Log(w)
	}
}

// TestHostileDeadline checks how far single operations on a mebibyte overrun a deadline,
// with an unlimited budget.
func TestHostileDeadline(t *testing.T) {
	every := uint32(64)
	if metertest.Slowdown > 1 {
		every = 800
	}
	if metertest.Full {
		every = 2
	}
	const size = 1 << 20
	limits := (Limits{Steps: 1 << 40, Memory: 1 << 30}).withDefaults()
	inputs := metertest.Inputs()
	values := map[string]python.Value{}
	for _, h := range hostileTemplates(t) {
		tmpl, err := Parse("main", h.source(1), Options{Limits: limits, Loader: mapLoader(map[string]string{"part": "{{ a }}{{ b.x }}"})})
		if err != nil {
			continue // TestHostileWork reports it
		}
		for _, in := range inputs {
			if hashOf(in.Name, h.name, h.unit)%every != 0 {
				continue
			}
			if values[in.Name] == nil {
				values[in.Name] = in.Make(size)
			}
			data := python.NewDict(2)
			data.SetStr("v", values[in.Name])
			data.SetStr("w", values[in.Name])
			const deadline = time.Millisecond
			allowed := (deadline + hostileOverrun) * time.Duration(metertest.Slowdown)
			cpu := metertest.MeasureWithin(allowed, func() {
				ctx := metertest.Deadline{Context: context.Background(), At: metertest.CPU() + deadline}
				_, err = tmpl.Render(ctx, data, RenderOptions{Autoescape: true})
			})
			if cpu > allowed {
				t.Errorf("%s of %q: took %s (%v)", h.name, in.Name, cpu, err)
			}
			if cpu > 20*time.Millisecond {
				t.Logf("%s of %q: %s (%v)", h.name, in.Name, cpu, err)
			}
			if errors.Is(err, errPanic) {
				t.Errorf("%s of %q: %v", h.name, in.Name, err)
			}
		}
	}
}

func hashOf(texts ...string) uint32 {
	h := fnv.New32a()
	for _, s := range texts {
		_, _ = h.Write([]byte(s))
	}
	return h.Sum32() >> 3
}
