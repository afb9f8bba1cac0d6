// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// svg draws one column of the table: a bar for each row's median, and a line from the
// lowest to the highest round.
func (t *table) svg() string {
	const (
		left, top, right = 260, 56, 120
		step, bar, plot  = 28, 16, 480
	)
	most, several := 0.0, false
	for _, r := range t.rows {
		several = several || len(r.samples[t.chart]) > 1
		for _, x := range r.samples[t.chart] {
			most = math.Max(most, x)
		}
	}
	if most == 0 {
		most = 1
	}
	spread := ""
	if several {
		spread = ": the median, and a line from the lowest to the highest"
	}
	x := func(value float64) float64 { return left + value/most*plot }
	var b strings.Builder
	height := top + step*len(t.rows) + 16
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+plot+right, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="16" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", html.EscapeString(t.title))
	fmt.Fprintf(&b, `<text x="%d" y="44" fill="#555">%s</text>`+"\n", left, html.EscapeString(t.columns[t.chart]+spread))
	for i, r := range t.rows {
		s := r.samples[t.chart]
		if len(s) == 0 {
			continue
		}
		y := top + step*i
		middle := y + bar/2
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, middle+4, html.EscapeString(r.name))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="#2f6f9f"/>`, left, y, x(s.median())-left, bar)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#222"/>`, x(slices.Min(s)), x(slices.Max(s)), middle, middle)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", x(slices.Max(s))+6, middle+4, html.EscapeString(number(s.median())))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
