// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// TestCompileTimeOfLongExpressions checks that a long expression isn't parsed for each
// combination of data classes.
func TestCompileTimeOfLongExpressions(t *testing.T) {
	const length, bound = 8190, 60 * time.Millisecond
	for _, data := range []string{"{{a}}+{{a}}+{{a}}+{{a}}+", "({{a}} or {{a}} or {{a}} or {{a}} or "} {
		for _, unit := range []string{"'x'", "1+", "((1)) or ", "1<"} {
			text := data + strings.Repeat(unit, (length-len(data))/len(unit)-1) + " 1 1"
			least := time.Hour // of three, because other work on the machine costs caches
			for range 3 {
				least = min(least, metertest.Measure(func() { _, _ = Compile("long", text, Options{}) }))
			}
			if least > bound*time.Duration(metertest.Slowdown) {
				t.Errorf("compiling %s%s… took %s, which is more than %s", data, unit, least, bound)
			}
		}
	}
}
