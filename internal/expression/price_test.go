// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// maxUndercharge is how many times longer than its charge an operation may take: 300 ms of
// CPU for a budget of 100 ms, on a machine whose caches others use too.
const maxUndercharge = 3

// TestPrices compares the charge of each operator, method, function and form with the time
// that it takes. TestHostile stops at the budget of the whole evaluation, so that it may miss
// an operation that is too cheap.
func TestPrices(t *testing.T) {
	if metertest.Slowdown > 1 {
		t.Skip("the race detector changes what operations cost")
	}
	const size, repetitions, fixed = 16 << 10, 20, 30 * time.Microsecond
	every := uint32(32)
	if metertest.Full {
		every = 1
	}
	var charged time.Duration
	metered = func(m *meter.Meter) { charged = time.Duration(m.Spent()) * meter.StepTime }
	defer func() { metered = nil }()
	// A second of work ends what would never end.
	limits := Limits{Steps: 10_000_000, Memory: 1 << 30}
	templates := django.Options{Limits: django.Limits{Steps: 100_000_000, Memory: 1 << 30, Output: 1 << 30, String: 1 << 30}}
	// Nested lists that share their contents can't be printed.
	inputs := slices.DeleteFunc(metertest.Inputs(), func(in metertest.Input) bool { return in.Name == "shared" })
	values := make([]*python.Dict, len(inputs))
	for i, in := range inputs {
		values[i] = python.NewDict(4)
		v := in.Make(size)
		for _, name := range []string{"v", "w", "s", "t"} {
			values[i].SetStr(name, v)
		}
		if s, ok := python.AsStr(v); ok { // outside quotes, as a literal
			values[i].SetStr("v", python.Str(python.Repr(python.Str(s))))
			values[i].SetStr("w", python.Str(python.Repr(python.Str(s[:len(s)/2]))))
		}
	}
	var worst []string
	tried := 0
	for _, h := range hostileExpressions(t) {
		if h.unit == "" {
			continue
		}
		x, err := Compile("main", withData(repeated(h.unit, repetitions)), Options{Limits: limits, Template: templates})
		if err != nil {
			continue // not all combinations are Python
		}
		for i, in := range inputs {
			if hashOf(h.name, in.Name)%every != 0 {
				continue
			}
			segments, err := x.template.RenderSegments(context.Background(), values[i], django.RenderOptions{})
			if err != nil {
				continue // too large to print
			}
			evaluate := func() time.Duration {
				charged = 0
				x.evaluate(context.Background(), segments, nil)
				return charged
			}
			if evaluate() == 0 {
				continue // the data was refused before the evaluation
			}
			tried++
			ratio := metertest.Undercharge(maxUndercharge, fixed, evaluate)
			if ratio > maxUndercharge {
				t.Errorf("%s of %q takes %.1f times as long as it is charged for (%s)", h.name, in.Name, ratio, charged)
			}
			if ratio > maxUndercharge/2 {
				worst = append(worst, h.name+" of "+in.Name)
			}
		}
	}
	if tried < 300 {
		t.Errorf("only %d evaluations were measured", tried)
	}
	slices.Sort(worst)
	t.Logf("%d evaluations; close to the limit: %q", tried, worst)
}
