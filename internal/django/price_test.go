// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// maxUndercharge is how many times longer than its charge an operation may take: 300 ms of
// CPU for a budget of 100 ms, on a machine whose caches others use too.
const maxUndercharge = 3

// TestPrices compares the charge of each filter, tag, operator and method with the time
// that it takes. A rendering is charged for all of its operations together, so
// TestHostileWork may miss a wrong price that makes only one of them too cheap.
func TestPrices(t *testing.T) {
	if metertest.Slowdown > 1 {
		t.Skip("the race detector changes what operations cost")
	}
	const size, fixed = 16 << 10, 20 * time.Microsecond
	every := uint32(32)
	if metertest.Full {
		every = 1
	}
	// A second of work ends what would never end.
	limits := (Limits{Steps: 10_000_000, Memory: 1 << 30, Output: 1 << 30, String: 1 << 30}).withDefaults()
	inputs := metertest.Inputs()
	values, others := make([]python.Value, len(inputs)), make([]python.Value, len(inputs))
	for i, in := range inputs {
		values[i], others[i] = in.Make(size), in.Make(size)
	}
	priced := make(map[string]bool)
	var worst []string
	for _, h := range hostileTemplates(t) {
		if strings.HasPrefix(h.name, "chain ") || strings.HasPrefix(h.name, "kept ") {
			continue
		}
		tmpl, err := Parse("main", h.source(1), Options{Limits: limits, Loader: mapLoader(map[string]string{"part": "{{ a }}{{ b.x }}"})})
		if err != nil {
			continue // TestHostileWork reports it
		}
		// Filters have a price each: try each with all inputs, once.
		filter, arg, _ := strings.Cut(strings.TrimPrefix(h.name, "filter "), ":")
		isFilter := strings.HasPrefix(h.name, "filter ") && (arg == "" || arg == "5" && !priced[filter])
		if isFilter {
			priced[filter] = true
		}
		for i, in := range inputs {
			if !isFilter && hashOf(h.unit, h.name, in.Name)%every != 0 {
				continue
			}
			data := python.NewDict(2)
			data.SetStr("v", values[i])
			data.SetStr("w", others[i])
			ratio := metertest.Undercharge(maxUndercharge, fixed, func() time.Duration {
				c := tmpl.newContext(context.Background(), data, RenderOptions{Autoescape: true})
				_ = tmpl.run(c)
				return time.Duration(c.meter.Spent()) * meter.StepTime
			})
			if ratio > maxUndercharge {
				t.Errorf("%s of %q takes %.1f times as long as it is charged for", h.name, in.Name, ratio)
			}
			if ratio > maxUndercharge/2 {
				worst = append(worst, h.name+" of "+in.Name)
			}
		}
	}
	slices.Sort(worst)
	t.Logf("close to the limit: %q", worst)
}

// TestPriceOfContext checks that the context of a translation is charged for. A nested template
// that was found by random took 7 s of processor time for contexts of 1 MiB.
func TestPriceOfContext(t *testing.T) {
	tmpl, err := Parse("main", "{% load i18n %}{% for i in many %}{% translate 'a' context w as b %}{% endfor %}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := python.NewDict(2)
	data.SetStr("w", python.Str(strings.Repeat("%s", 512<<10)))
	data.SetStr("many", python.Str(strings.Repeat("x", 1000)))
	if _, err := tmpl.Render(t.Context(), data, RenderOptions{}); !errors.Is(err, meter.ErrLimit) {
		t.Errorf("1,000 translations with contexts of 1 MiB: %v", err)
	}
}

// TestPricesOfSmallValues does the same for small values, whose charges are mostly what a
// filter, tag, method or operator costs at least. Each is repeated, because one of them takes
// too little time to be measured.
func TestPricesOfSmallValues(t *testing.T) {
	if metertest.Slowdown > 1 {
		t.Skip("the race detector changes what operations cost")
	}
	const repetitions, fixed, allowed = 100, 10 * time.Microsecond, 2 * maxUndercharge // other tests share the caches
	every := uint32(16)
	if metertest.Full {
		every = 1
	}
	limits := (Limits{Memory: 1 << 30, Output: 1 << 30}).withDefaults()
	text := func(s string) func(int) python.Value { return func(int) python.Value { return python.Str(s) } }
	inputs := []metertest.Input{
		{Name: "datetime", Make: func(int) python.Value {
			return &python.DateTime{T: time.Date(2026, 9, 22, 22, 33, 44, 123456000, time.FixedZone("", 5400)), Aware: true}
		}},
		{Name: "date", Make: func(int) python.Value { return &python.Date{Year: 2026, Month: 9, Day: 22} }},
		{Name: "int", Make: func(int) python.Value { return python.Int(1234567) }},
		{Name: "float", Make: func(int) python.Value { return python.Float(1234567.891) }},
		{Name: "list", Make: func(int) python.Value { return python.NewList(python.Int(1), python.Str("a"), python.Float(2.5)) }},
		{Name: "dict", Make: func(int) python.Value {
			d := python.NewDict(2)
			d.SetStr("x", python.Int(1))
			d.SetStr("y", python.Str("b"))
			return d
		}},
		{Name: "number", Make: text("-1234567.891")}, {Name: "ISO 8601", Make: text("2026-09-22T22:33:44.123Z")}, {Name: "URL", Make: text("www.a.com a@b.co/?a=b&c")},
		{Name: "markup", Make: text("Hello <b>wörld</b> 1")}, {Name: "ligatures", Make: text(strings.Repeat("ﷺ", 10))},
	}
	many := python.NewList(make([]python.Value, repetitions)...)
	for i := range repetitions {
		many.Items[i] = python.Int(i)
	}
	formats := make([]hostileTemplate, 0, len(formatChars))
	for _, c := range formatChars {
		formats = append(formats, hostileTemplate{"format " + string(c), "{% now '" + strings.Repeat(string(c), 40) + "' as NAME %}"})
	}
	for _, h := range append(hostileTemplates(t), formats...) {
		if strings.HasPrefix(h.name, "chain ") || strings.HasPrefix(h.name, "kept ") {
			continue
		}
		unit := strings.ReplaceAll(h.unit, "NAME", "n1")
		tmpl, err := Parse("main", hostileLoad+"{% for i in many %}"+unit+"{% endfor %}", Options{Limits: limits, Loader: mapLoader(map[string]string{"part": "{{ a }}{{ b.x }}"})})
		if err != nil {
			continue // TestHostileWork reports it
		}
		for _, in := range inputs {
			if hashOf(h.unit, h.name, in.Name)%every != 0 {
				continue
			}
			data := python.NewDict(3)
			data.SetStr("v", in.Make(0))
			data.SetStr("w", in.Make(0))
			data.SetStr("many", many)
			var err error
			ratio := metertest.Undercharge(allowed, fixed, func() time.Duration {
				c := tmpl.newContext(context.Background(), data, RenderOptions{Autoescape: true})
				err = tmpl.run(c)
				return time.Duration(c.meter.Spent()) * meter.StepTime
			})
			if ratio > allowed && err == nil { // else it took no time
				t.Errorf("%s of the %s takes %.1f times as long as it is charged for", h.name, in.Name, ratio)
			}
		}
	}
}
