// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// sample holds the results of the rounds of one measurement. The zero value is empty.
type sample []float64

func (s sample) sorted() sample { return slices.Sorted(slices.Values(s)) }

// median returns NaN for an empty sample.
func (s sample) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := s.sorted()
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// String returns the median and, after several rounds, the lowest and the highest result.
func (s sample) String() string {
	switch len(s) {
	case 0:
		return "-"
	case 1:
		return number(s[0])
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.median()), number(slices.Min(s)), number(slices.Max(s)))
}

// number formats three significant digits.
func number(x float64) string {
	switch size := math.Abs(x); {
	case math.IsNaN(x):
		return "-"
	case size >= 100 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case size >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// latencies are the durations of many operations.
type latencies []time.Duration

// quantile returns the q-quantile in milliseconds.
func (l latencies) quantile(q float64) float64 {
	if len(l) == 0 {
		return math.NaN()
	}
	slices.Sort(l)
	at := min(int(math.Ceil(q*float64(len(l)))), len(l)) - 1
	return float64(l[max(at, 0)]) / float64(time.Millisecond)
}
