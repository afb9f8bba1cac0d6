// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// A long expression is not parsed for each of the ways in which its data could be read.
func TestCompileParsesLongExpressionsFewTimes(t *testing.T) {
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
