// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// TestDeadlineOfFilters checks that every filter stops soon after the deadline of the rendering,
// whatever text of a mebibyte it gets: none processes all of an expensive one without looking.
// TestHostileDeadline tries a sample of much more.
func TestDeadlineOfFilters(t *testing.T) {
	if metertest.Slowdown > 1 {
		t.Skip("the race detector changes what operations cost")
	}
	const size, deadline = 1 << 20, 2 * time.Millisecond
	limits := (Limits{Steps: 1 << 40, Memory: 1 << 30}).withDefaults()
	inputs := make(map[string]python.Value)
	for _, unit := range []string{"Σ'", "e\u0301\u0316\u0327", "&#x41;", "http://ü.de/%41?a=b&c ", "1", "a\n\n"} {
		inputs[unit] = python.Str(strings.Repeat(unit, size/len(unit)))
	}
	for _, h := range hostileTemplates(t) {
		if name, arg, _ := strings.Cut(h.name, ":"); !strings.HasPrefix(name, "filter ") || arg != "" && arg != "5" {
			continue
		}
		tmpl, err := Parse("main", h.source(1), Options{Limits: limits})
		if err != nil {
			continue // TestHostileWork reports it
		}
		for unit, value := range inputs {
			data := python.NewDict(1)
			data.SetStr("v", value)
			cpu := metertest.MeasureWithin(deadline+hostileOverrun, func() {
				ctx := metertest.Deadline{Context: context.Background(), At: metertest.CPU() + deadline}
				_, err = tmpl.Render(ctx, data, RenderOptions{Autoescape: true})
			})
			if cpu > deadline+hostileOverrun {
				t.Errorf("%s of %q took %s: %v", h.name, unit, cpu, err)
			}
		}
	}
}
