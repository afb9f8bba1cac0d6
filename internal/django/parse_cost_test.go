// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// TestParseTimeIsLinear checks that parsing the longest template takes linear time,
// whatever its tags load, name and refer to, and however many of them a line has.
func TestParseTimeIsLinear(t *testing.T) {
	const length, bound = 262_144, 150 * time.Millisecond
	for _, unit := range []string{
		"{% load tz %}", "{% load localtime from tz %}", "{% load humanize i18n l10n tz %}",
		"{% cycle a b as c %}", "{% cycle a b as c# %}", "{% regroup a by b as c %}", "{% now 'Y' as c# %}{{ c }}", "{% firstof a as c# %}{{ d }}",
		"{##}", "{{a}}",
	} {
		var text strings.Builder
		for i := 0; text.Len()+len(unit)+8 < length; i++ {
			text.WriteString(strings.ReplaceAll(unit, "#", fmt.Sprint(i)))
		}
		allowed := bound * time.Duration(metertest.Slowdown)
		took := metertest.MeasureWithin(allowed, func() { _, _ = Parse("long", text.String(), Options{}) })
		if took > allowed {
			t.Errorf("parsing repeated %s took %s, which is more than %s", unit, took, allowed)
		}
	}
}
