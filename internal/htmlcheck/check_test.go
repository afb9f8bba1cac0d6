// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package htmlcheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// found returns the findings of a template, one a line.
func found(source string) string {
	var lines []string
	for _, f := range Template(source) {
		lines = append(lines, strings.TrimSpace(at(f)+" "+f.Message))
	}
	return strings.Join(lines, "\n")
}

func at(f Finding) string {
	if f.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%d:%d", f.Line, f.Column)
}

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		want   []string // each is part of the finding of its place; none: no findings
	}{
		"a script":                 {`<p>Hi</p><script>if (a < b) {}</script>`, []string{"1:10 email clients remove <script>"}},
		"a handler":                {`<a href="https://x.example" onclick="go()">x</a>`, []string{"1:29 email clients remove onclick"}},
		"a form":                   {`<form action="https://x.example">`, []string{"1:1 <form> does not work in Outlook"}},
		"a frame":                  {`<iframe src="https://x.example"></iframe>`, []string{"1:1 email clients remove <iframe>: link to the page"}},
		"a video":                  {`<video src="https://x.example/a.mp4">`, []string{"1:1 <video> does not work in Gmail"}},
		"no alt":                   {`<img src="https://x.example/a.png" width="5">`, []string{"1:1 the image has no text"}},
		"decoration":               {`<img src="https://x.example/a.png" width="5" alt="">`, nil},
		"no size":                  {`<img src="https://x.example/a.png" alt="a">`, []string{"1:1 the image has no size"}},
		"an image without https":   {`<img src="http://x.example/a.png" alt="a" height=4>`, []string{"1:11 the image isn't loaded securely"}},
		"a relative image":         {`<img src="/a.png" alt="a" height=4>`, []string{"1:11 an email has no address"}},
		"an attached image":        {`<img src="cid:a" alt="a" height=4>`, []string{"1:11 messages have no attachments"}},
		"an image in the HTML":     {`<img src="data:image/png;base64,AA" alt="a" height=4>`, []string{"1:11 an image within the HTML does not work in Gmail"}},
		"an SVG file":              {`<img src="https://x.example/a.svg?v=1" alt="a" height=4>`, []string{"1:11 an image in the format SVG does not work in Gmail (browsers, mobile browsers)"}},
		"a link without https":     {`<a href="http://x.example">x</a>`, []string{"1:10 the link isn't encrypted"}},
		"a relative link":          {`<a href='/path'>x</a>`, []string{"1:10 an email has no address"}},
		"a link to an app":         {`<a href=myapp://x>x</a>`, []string{"1:9 many email clients remove links that begin with myapp"}},
		"good links":               {`<a href="https://x.example">x</a><a href="mailto:a@b.c">x</a><a href="tel:+1">x</a><a href="#top">x</a>`, nil},
		"a link of the event":      {`<a href="{{ url }}">x</a><a href="{% if a %}http{% endif %}{{ url }}">x</a>`, nil},
		"a link with a part of it": {`<a href="http://{{ host }}/">x</a><img src="http://{{ host }}/a.png" alt="" width=3>`, []string{"1:10 the link isn't encrypted", "1:45 the image isn't loaded securely"}},
		"an image of the event":    {`<img src="{{ context.company.logo }}" alt="{{ context.company.name }}" height="40">`, nil},
		"no language":              {`<!DOCTYPE html><html><head><title>x</title></head></html>`, []string{"1:16 the document has no language"}},
		"a language of the user":   {`<html lang="{{ lang }}"><head><title>{{ context.company.name }}</title></head></html>`, nil},
		"no title":                 {`<html lang="en"><head><title> </title></head></html>`, []string{"the document has no title"}},
		"a part of a document":     {`<div><p>Hi</p></div>`, nil},
		"flex":                     {`<div style="color: red; display:flex">`, []string{"1:33 display: flex does not work in Outlook (Windows, Windows Mail), "}},
		"a fallback":               {`<div style="display:block;display:flex">`, nil},
		"a style sheet": {"<style>\n/* display:flex */ .a{ position : absolute }\n.b:first-child { width: calc(1px + 2rem) }</style>",
			[]string{"2:24 position does not work in Gmail", "3:3 :first-child does not work in Gmail", "3:25 calc() does not work in", "3:36 the unit rem does not work in"}},
		"only where it works":    {`<style>@media (prefers-color-scheme: dark) { .a { display: flex } } @supports (gap: 1px) { .b { gap: 1px } }</style>`, nil},
		"decoration in CSS":      {`<p style="border-radius: 4px; box-shadow: 0 0 2px #000; cursor: pointer">`, nil},
		"an import":              {`<style>@import url("https://x.example/a.css"); p { margin: 0 }</style>`, []string{"1:8 @import does not work in Gmail"}},
		"a linked style sheet":   {`<link rel="stylesheet" href="https://x.example/a.css">`, []string{"1:1 <link> does not work in Gmail"}},
		"a background":           {`<td style="background: url(http://x.example/a.png)">`, []string{"1:24 the image isn't loaded securely"}},
		"a variable of CSS":      {`<p style="color: var(--brand)">`, []string{"1:18 var() does not work in Gmail"}},
		"logical properties":     {`<p style="margin-inline-start: 4px">`, []string{"1:11 margin-inline-start does not work in Gmail"}},
		"once":                   {"<p style='position:fixed'></p>\n<p style='position:fixed'></p>", []string{"1:11 position does not work in Gmail"}},
		"tags within tags":       {`<p {% if a > b %}style="color:red"{% endif %}>{{ "<script>" }}{# <script> #}</p>`, nil},
		"text that is commented": {`{% comment %}<script></script>{% endcomment %}<p>Hi</p>`, nil},
		"verbatim":               {`{% verbatim %}<script>{{ x }}</script>{% endverbatim %}`, []string{"1:15 email clients remove <script>"}},
		"a value of the event":   {`<p style="color: {{ color }}; {% if a %}position: fixed{% endif %}">`, []string{"1:41 position does not work"}},
		"only for Outlook":       {`<!--[if mso]><img src="a"><![endif]-->`, nil},
		"characters, not bytes":  {"<p>é</p>\n<b>ééé</b><script></script>", []string{"2:11 email clients remove <script>"}},
		"a video as an image":    {`<img src="https://x.example/a.mp4" alt="" width=3>`, []string{"1:11 an image in the format MP4 does not work in Gmail"}},
		"not for Outlook":        {`<!--[if !mso]><!--><div style="position:fixed">a</div><!--<![endif]-->`, []string{"1:32 position does not work in Gmail"}},
		"what Outlook needs":     {`<table role="presentation" border=0 cellpadding=0 cellspacing="0" width="100%" bgcolor="#ffffff"><tr><td align=center valign="top" style="mso-line-height-rule:exactly;-webkit-text-size-adjust:100%"><center><font color="red">a</font><o:p></o:p></center></td></tr></table>`, nil},
		"a document of Outlook":  {`<html lang="en" xmlns="http://www.w3.org/1999/xhtml" xmlns:o="urn:x" dir="auto"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>x</title></head><body bgcolor="#fff" style="margin:0 !important">`, nil},
		"important":              {`<p style="color: red !important; margin: 0 auto!important">`, nil},
		"selectors":              {`<style>a[href^="tel"], td > p.b, #c d, * { color: red }</style>`, nil},
		"a condition on width":   {`<style media="screen">@media only screen and (max-width: 600px) { .a { width: 100vw !important; position: static } }</style>`, nil},
		"an empty style sheet":   {`<style></style><style type="text/css"><!-- p { color: red } --></style>`, nil},
		"a cut style sheet":      {`<style>p { color: red; position`, nil},
		"another declaration":    {`<p style="; ;color;:red; color:;position:fixed">`, []string{"1:33 position does not work in Gmail"}},
		"upper case":             {`<P STYLE="POSITION: FIXED"><IMG SRC="https://x.example/A.PNG" ALT="" WIDTH=3><SCRIPT></SCRIPT>`, []string{"1:11 position does not work in Gmail", "1:78 email clients remove <script>"}},
		"labels for readers":     {`<a href="https://x.example" aria-label="x" role="button" title="y" target="_blank" rel="noopener">x</a>`, nil},
		"lists and headings":     {`<h1>a</h1><ul><li>b</li></ul><ol start=3><li>c</li></ol><blockquote>d</blockquote><hr><br><pre>e</pre><sup>f</sup>`, nil},
		"plain CSS":              {`<p style="font: bold 16px/1.5 Arial, sans-serif; color: rgb(1, 2, 3); padding: 1em 10% 0 auto; border: 1px solid #000; text-align: center; vertical-align: top; display: block; letter-spacing: 1px; text-transform: uppercase">`, nil},
		"tags in attributes":     {`<td style="{% if a %}color: {{ b|default:"red" }};{% endif %} margin: {{ c }}px" class="{% cycle 'a' 'b' %}" {{ d }}>`, nil},
		"a tag in a style sheet": {`<style>{% if a %}.b { color: {{ c }}; } {% endif %} .{{ d }} { margin: 0 }</style>`, nil},
		"an address of mail":     {`<a href="mailto:{{ context.company.support_email }}?subject=x">x</a><a href="tel:{{ a }}">y</a>`, nil},
		"broken HTML":            {`<a href="https://x.example`, nil},
		"broken tags":            {`<p>{{ x <script></script>`, []string{"1:9 email clients remove <script>"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := found(c.source)
			lines := strings.Split(got, "\n")
			if got == "" {
				lines = nil
			}
			if len(lines) != len(c.want) {
				t.Fatalf("found\n%s\nwant %q", got, c.want)
			}
			for i := range lines {
				if !strings.HasPrefix(lines[i], c.want[i]) {
					t.Errorf("found %q, want %q", lines[i], c.want[i])
				}
			}
		})
	}
}

func TestSize(t *testing.T) {
	large := "<p>" + strings.Repeat("text ", 22<<10) + "</p>"
	for name, findings := range map[string][]Finding{"a template": Template(large + "{{ x }}"), "a message": Message(large)} {
		if len(findings) != 1 || !strings.HasPrefix(findings[0].Message, "the HTML has 111 KB, and Gmail cuts messages off after 102 KB") {
			t.Errorf("%s: %v", name, findings)
		}
	}
	if findings := Template("<p>{% if " + strings.Repeat("a or ", 22<<10) + "a %}{% endif %}</p>"); len(findings) != 0 {
		t.Errorf("of a long tag, which prints nothing: %v", findings)
	}
}

// TestHostileText checks that the time grows with the length of a text, whatever is in it.
func TestHostileText(t *testing.T) {
	for _, piece := range []string{
		"<", "<a ", "<a b=", `<a b="`, "<!--", "</", "<style>", "<style>a{", "<style>/*", "<style>\"", "<style>url(", "<style>@media{", "<style>a:b;",
		"<style>:a", "<p style=a:b>", "<p style='" + strings.Repeat("a:b;", 100) + "'>", "<title>", "{{", "{% comment %}", "{{ x }}", "<x:y a/b/c>", "&", "\x00", "\\", "<style>-", "<style>}",
		"<img>", "<a href=http://x>", "<style>a{b:1" + strings.Repeat("x", 500) + "}", "<svg><style>", "<textarea>", "<plaintext>", "\x1a", "<\x1a a=\x1a>",
	} {
		source := strings.Repeat(piece, (MaxSize+len(piece))/len(piece))
		findings := 0
		took := metertest.Measure(func() { findings = len(Template(source)) })
		if findings > MaxFindings {
			t.Errorf("%q: %d findings", piece[:min(len(piece), 20)], findings)
		}
		if took > 3*time.Second {
			t.Errorf("%q took %s", piece[:min(len(piece), 20)], took)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`<p style="a:{{ b }}"><style>@media{a{b:c}}</style>{% if x %}<a href='http://x'>{% endif %}`)
	f.Fuzz(func(t *testing.T, source string) {
		for _, finding := range append(Template(source), Message(source)...) {
			if finding.Message == "" || finding.Line > strings.Count(source, "\n")+1 {
				t.Fatalf("%+v", finding)
			}
		}
	})
}

func TestTableIsRead(t *testing.T) {
	k := readTable()
	if len(k.clients) < 40 || len(k.features) < 250 {
		t.Fatalf("%d clients, %d features", len(k.clients), len(k.features))
	}
	for name, s := range k.features {
		if len(s) != len(k.clients) {
			t.Errorf("%s has %d results", name, len(s))
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	source := strings.Repeat(`<tr><td style="padding: 16px; color: {{ color }}"><a href="https://x.example/{{ id }}">Text</a></td></tr>`, 100)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		Template(source)
	}
}

// construct returns HTML that uses a feature of the table.
func construct(feature string) string {
	kind, name, _ := strings.Cut(feature, ":")
	switch kind {
	case "at":
		if name == "@import" {
			return `<style>@import "https://x.example/a.css";</style>`
		}
		return "<style>" + name + " x { }</style>"
	case "attribute":
		return "<p " + name + `="x">`
	case "element":
		return "<" + name + ">"
	case "function":
		return `<p style="margin: ` + name + `(1)">`
	case "image":
		if name == "data:" {
			return `<img alt="" width="1" src="data:image/png;base64,AA">`
		}
		return `<img alt="" width="1" src="https://x.example/a.` + name + `">`
	case "input":
		return `<input type="` + name + `">`
	case "property":
		return `<p style="` + name + `: 1">`
	case "pseudo":
		return "<style>p" + name + "(a) { color: red }</style>"
	case "unit":
		return `<p style="margin: 1` + name + `">`
	}
	return `<p style="` + name + `">` // a value with its property
}

// TestEveryFeature uses each feature of the table, and expects a warning if Gmail in browsers or
// more than a tenth of the clients don't support it.
func TestEveryFeature(t *testing.T) {
	k := readTable()
	gmail := slices.Index(k.clients, "gmail.desktop-webmail")
	warned := 0
	for feature, s := range k.features {
		source := construct(feature)
		_, name, _ := strings.Cut(feature, ":")
		_, isRemoved := removed[name]
		no, all := strings.Count(string(s), "n"), len(s)-strings.Count(string(s), "u")
		want := isRemoved || !harmless[name] && all > 0 && (10*no > all || s[gmail] == 'n')
		findings := Template(source)
		if want {
			warned++
		}
		if len(findings) > 1 || (len(findings) == 1) != want {
			t.Errorf("%s, which %d of %d clients lack: %v", source, no, all, findings)
		}
	}
	if warned < 60 {
		t.Errorf("only %d features have warnings", warned)
	}
}
