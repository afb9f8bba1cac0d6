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
// whatever its tags load, name and refer to.
func TestParseTimeIsLinear(t *testing.T) {
	const length, bound = 262_144, 500 * time.Millisecond
	for _, unit := range []string{
		"{% load tz %}", "{% load localtime from tz %}", "{% load humanize i18n l10n tz %}",
		"{% cycle a b as c %}", "{% cycle a b as c# %}", "{% regroup a by b as c %}", "{% now 'Y' as c# %}{{ c }}", "{% firstof a as c# %}{{ d }}",
	} {
		var text strings.Builder
		for i := 0; text.Len()+len(unit)+8 < length; i++ {
			text.WriteString(strings.ReplaceAll(unit, "#", fmt.Sprint(i)))
		}
		if took := metertest.Measure(func() { _, _ = Parse("long", text.String(), Options{}) }); took > bound*time.Duration(metertest.Slowdown) {
			t.Errorf("parsing repeated %s took %s, which is more than %s", unit, took, bound)
		}
	}
}
