// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// sample is what the rounds of one measurement gave. Its zero value is empty.
type sample []float64

func (s sample) sorted() sample { return slices.Sorted(slices.Values(s)) }

// median is NaN if there was no round.
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

// String is the median and, if there were several rounds, the lowest and the
// highest.
func (s sample) String() string {
	switch len(s) {
	case 0:
		return "-"
	case 1:
		return number(s[0])
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.median()), number(slices.Min(s)), number(slices.Max(s)))
}

// number prints three digits that matter.
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

// latencies are times of many operations.
type latencies []time.Duration

// quantile is the time, in milliseconds, that the share q of all did not exceed.
func (l latencies) quantile(q float64) float64 {
	if len(l) == 0 {
		return math.NaN()
	}
	slices.Sort(l)
	at := min(int(math.Ceil(q*float64(len(l)))), len(l)) - 1
	return float64(l[max(at, 0)]) / float64(time.Millisecond)
}
