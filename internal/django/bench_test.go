// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	_ "embed"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// A typical email of forty lines with a loop over five items. hack/bench/templates compares
// a similar one with Django and pongo2.
var (
	//go:embed testdata/email.html
	emailTemplate string
	//go:embed testdata/email.json
	emailData []byte
)

func emailContext(tb testing.TB) *python.Dict {
	tb.Helper()
	v, err := python.FromJSON(emailData)
	if err != nil {
		tb.Fatal(err)
	}
	d, _ := v.(*python.Dict)
	return d
}

var emailOptions = RenderOptions{Autoescape: true, Now: func() time.Time { return time.Unix(1.7e9, 0) }}

// BenchmarkRenderEmail renders a parsed template.
func BenchmarkRenderEmail(b *testing.B) {
	data := emailContext(b)
	tmpl, err := Parse("email", emailTemplate, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Render(context.Background(), data, emailOptions); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renders/s")
}

// BenchmarkRenderEmailSegments renders the same with marks.
func BenchmarkRenderEmailSegments(b *testing.B) {
	data := emailContext(b)
	tmpl, err := Parse("email", emailTemplate, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.RenderSegments(context.Background(), data, emailOptions); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseRenderEmail parses and renders each time.
func BenchmarkParseRenderEmail(b *testing.B) {
	data := emailContext(b)
	b.ReportAllocs()
	for b.Loop() {
		tmpl, err := Parse("email", emailTemplate, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tmpl.Render(context.Background(), data, emailOptions); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renders/s")
}
