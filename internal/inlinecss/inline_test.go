// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inlinecss

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/config/presets"
	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/meter/metertest"
)

const (
	steps = 200_000
	bytes = 4 << 20
	bound = 8*bytes + 8*MaxSize // allocated by one document
)

func inline(t testing.TB, text string) (string, error) {
	m := meter.New(t.Context(), steps, bytes)
	return Document(&m, text)
}

func TestDocument(t *testing.T) {
	for _, c := range []struct{ css, body, want string }{
		{`p{color:red}`, `<p>a</p>`, `<p style="color: red;">a</p>`},
		{`p { color : red ; margin:0 }`, `<P>a</P>`, `<P style="color: red;margin: 0;">a</P>`},
		{`.a.b #c > p`, `<p>a`, `<p>a`},
		{`.a,.b{color:red}`, `<i class="x b">a</i><i class='a'>b</i>`, `<i style="color: red;" class="x b">a</i><i style="color: red;" class='a'>b</i>`},
		{`p{color:red}`, `<p style='font:"x"'>a`, `<p style="color: red;font:&quot;x&quot;">a`},
		{`p{color:red}`, `<p style=margin:0>a`, `<p style="color: red;margin:0">a`},
		{`p{color:red} .a{color:blue} p{color:green}`, `<p class=a>`, `<p style="color: blue;" class=a>`},
		{`#a{color:red} .a.b{color:blue}`, `<p id=a class="a b">`, `<p style="color: red;" id=a class="a b">`},
		{`p{color:red !important} .a{color:blue}`, `<p class=a>`, `<p style="color: red !important;" class=a>`},
		{`div p{color:red} div > i{color:red}`, `<div><b><p>1</p><i>2</i></b><i>3</i></div><p>4`, `<div><b><p style="color: red;">1</p><i>2</i></b><i style="color: red;">3</i></div><p>4`},
		{`p p{color:red}`, `<p>1<p>2`, `<p>1<p>2`},
		{`br p{color:red}`, `<br><p>1`, `<br><p>1`},
		{`div p a{color:red}`, `<div><a>1</a></div><p><a>2</a></p>`, `<div><a>1</a></div><p><a>2</a></p>`},
		{`div>p>a, section p>a{color:red}`, `<section><div><p><a>1`, `<section><div><p><a style="color: red;">1`},
		{`a:hover{color:red} a[href]{color:red} a+b{color:red} a~b{color:red} ::x{a:b}`, `<a href=x>1</a><b>`, `<a href=x>1</a><b>`},
		{`@media screen { p{color:red} } @import "x"; @font-face{font:x} i{color:blue}`, `<p>1<i>2`, `<p>1<i style="color: blue;">2`},
		{`/* p{} */ p{/*x*/background:url(data:a;b)}`, `<p>1`, `<p style="background: url(data:a;b);">1`},
		{`p{font:"a;b"}`, `<p>1`, `<p style="font: &#34;a;b&#34;;">1`},
		{`*{margin:0}`, `<b>1`, `<b style="margin: 0;">1`},
		{`p{color:red`, `<p>1`, `<p>1`},
		{`{color:red} p{} p{color} p{:red}`, `<p>1`, `<p>1`},
		{`p{color:red}`, `<!--[if mso]><p>1<![endif]--><p>2<script>"<p>"</script>`, `<!--[if mso]><p>1<![endif]--><p style="color: red;">2<script>"<p>"</script>`},
	} {
		head := "<style>" + c.css + "</style>"
		got, err := inline(t, head+c.body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(c.css, "*") {
			got = strings.Replace(got, `<style style="margin: 0;">`, "<style>", 1)
		}
		if want := head + c.want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for _, unchanged := range []string{"", "text", "<p>a", `<style media="print">p{color:red}</style><p>a`, "<style>", "<style>p{color:red}", "a<"} {
		if got, err := inline(t, unchanged); err != nil || got != unchanged {
			t.Errorf("%q became %q, %v", unchanged, got, err)
		}
	}
}

// TestTheBudgetHolds checks that hostile documents take no more time and memory than the
// meter allows.
func TestTheBudgetHolds(t *testing.T) {
	fill := func(head, piece string) string {
		return head + strings.Repeat(piece, max(0, (MaxSize-len(head))/len(piece)))
	}
	rules := func(selector string, n int) string {
		return "<style>" + strings.Repeat(selector+"{color:red;margin:0}", n) + "</style>"
	}
	for name, text := range map[string]string{
		"many rules":      fill(rules("p", 6000), "<p>"),
		"many selectors":  fill("<style>"+strings.Repeat("p,", 60000)+"p{color:red}</style>", "<p>"),
		"wide rules":      fill("<style>p{"+strings.Repeat("a-b:c;", 20000)+"}</style>", "<p>"),
		"distinct":        "<style>" + distinct(8000) + "</style>" + strings.Repeat("<p>", 40000),
		"descendants":     rules("b b b b b b b x", 200) + strings.Repeat("<b>", 50000) + strings.Repeat("<x>", 10000),
		"classes":         fill(rules(strings.Repeat(".a", 500), 50), `<p class="`+strings.Repeat("b ", 200)+`">`),
		"nested":          fill("<style>p{color:red}</style>", "<p></i>"),
		"an open style":   fill("<style>p{color:red}", "p{"),
		"an open tag":     fill("<style>p{color:red}</style><p ", "a='b' "),
		"parentheses":     fill("<style>", "p{a:("),
		"a long value":    "<style>p{a:" + strings.Repeat("x", 100000) + "}</style>" + strings.Repeat("<p>", 50000),
		"a long selector": fill("<style>", "a "),
		"important":       fill(rules("p", 100)+"<style>"+strings.Repeat("p{color:red !important}", 3000)+"</style>", "<p>"),
	} {
		var got string
		var err error
		var took time.Duration
		total, live := metertest.Allocated(bound, func() {
			took = metertest.Measure(func() { got, err = inline(t, text) })
		})
		if err != nil && !errors.Is(err, meter.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		if len(got) > len(text)+bytes {
			t.Errorf("%s: %d bytes", name, len(got))
		}
		if took > 20*steps*meter.StepTime {
			t.Errorf("%s took %s", name, took)
		}
		if live > bound {
			t.Errorf("%s allocated %d bytes, %d at a time", name, total, live)
		}
		t.Logf("%s: %s, %d bytes, %v", name, took, total, err)
	}
	if _, err := inline(t, strings.Repeat("a", MaxSize+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large document: %v", err)
	}
}

func distinct(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString("p{a" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + ":b}")
	}
	return out.String()
}

func BenchmarkBranded(b *testing.B) {
	layouts, err := presets.Layouts()
	if err != nil {
		b.Fatal(err)
	}
	text := layouts[0].Spec.HTML
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := inline(b, text); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(`<style>p{color:red}.a>b{c:d!important}</style><p class=a style='x'><b>1</b>`)
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := inline(t, text); err == nil && len(got) < len(text)-len(text)/2-100 {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
