// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package htmlcheck

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/htmltag"
)

const (
	// MaxSize is how many bytes of a text are checked.
	MaxSize = 256 << 10
	// MaxFindings is how many findings are returned for a text.
	MaxFindings = 20
	// ClippedSize is the size of a message, in bytes, above which Gmail cuts it off.
	ClippedSize = 102 << 10
)

// Finding is something that email clients don't show as it is written.
type Finding struct {
	// Line and Column are its position, in characters from 1; 0 if it concerns the whole
	// text.
	Line, Column int
	// Message says in one sentence what is wrong, and what to write instead.
	Message string
}

// Template checks the source of a Django template that prints HTML: a whole document or a
// part of one. Whatever variables print is unknown and assumed to be fine. Both branches of
// conditions are checked.
func Template(source string) []Finding {
	source = shorten(source)
	text, size := django.Mask(source)
	return check(source, text, size)
}

// Message checks a rendered message.
func Message(text string) []Finding {
	shortened := shorten(text)
	return check(shortened, shortened, len(text))
}

func shorten(text string) string { return text[:min(len(text), MaxSize)] }

// checker checks one text.
type checker struct {
	source string // as it was written
	text   string // without tags of the template, at the same positions

	findings []Finding
	said     map[string]bool // features and messages that were reported

	inside   string // the element whose text follows: style or title
	document bool   // not a part of one
	titled   bool
}

// check checks a text that prints at least size bytes.
func check(source, text string, size int) []Finding {
	c := &checker{source: source, text: text, said: map[string]bool{}}
	tokens := html.NewTokenizer(strings.NewReader(text))
	for at := 0; len(c.findings) < MaxFindings; {
		kind := tokens.Next()
		end := at + len(tokens.Raw())
		switch kind {
		case html.ErrorToken:
			c.whole(size)
			return c.findings
		case html.StartTagToken, html.SelfClosingTagToken:
			c.tag(at, end)
		case html.TextToken:
			c.textOf(at, end)
		case html.EndTagToken:
			c.inside = ""
		case html.DoctypeToken:
			c.document = true
		case html.CommentToken: // also the parts that are only for Outlook
		}
		at = end
	}
	return c.findings
}

// whole reports what the text as a whole lacks.
func (c *checker) whole(size int) {
	if c.document && !c.titled {
		c.report(-1, "the document has no title: write <title> in its head, which browsers and screen readers show")
	}
	if size > ClippedSize {
		c.report(-1, fmt.Sprintf("the HTML has %d KB, and Gmail cuts messages off after %d KB: shorten it", (size+1023)>>10, ClippedSize>>10))
	}
}

// report adds a finding at a byte of the text, or about the whole of it, once for each
// message.
func (c *checker) report(at int, message string) {
	if c.said[message] || len(c.findings) == MaxFindings {
		return
	}
	c.said[message] = true
	f := Finding{Message: message}
	if at >= 0 {
		before := c.source[:at]
		f.Line = strings.Count(before, "\n") + 1
		f.Column = utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	}
	c.findings = append(c.findings, f)
}

// textOf checks the text of an element.
func (c *checker) textOf(at, end int) {
	switch c.inside {
	case "style":
		c.style(at, end, true)
	case "title":
		c.titled = c.titled || strings.TrimSpace(c.source[at:end]) != ""
	}
}

// attribute is an attribute of a tag.
type attribute struct {
	name        string // in lower case
	value       string // without tags of the template
	source      string // as it was written
	at, valueAt int
}

// static returns the value, without space around it and in lower case, unless the template
// prints any of it.
func (a *attribute) static() (string, bool) {
	return strings.ToLower(strings.TrimSpace(a.value)), a.value == a.source
}

// attributes returns the attributes of the tag at a position.
func (c *checker) attributes(at, end int) []attribute {
	read := htmltag.Attributes(c.text[at:end])
	all := make([]attribute, len(read))
	for i, a := range read {
		from := at + a.ValueAt
		all[i] = attribute{name: a.Name, value: a.Value, source: c.source[from : from+len(a.Value)], at: at + a.At, valueAt: from}
	}
	return all
}

// removed are the elements that email clients remove.
var removed = map[string]string{
	"script":   "everything must work without it",
	"iframe":   "link to the page",
	"frameset": "link to the page",
	"embed":    "link to it",
	"object":   "link to it",
	"applet":   "link to it",
}

func (c *checker) tag(at, end int) {
	name := htmltag.Name(c.text[at:end])
	switch c.inside = ""; name {
	case "style", "title":
		c.inside = name
	case "head":
		c.document = true
	}
	attributes := c.attributes(at, end)
	get := func(name string) *attribute {
		if i := slices.IndexFunc(attributes, func(a attribute) bool { return a.name == name }); i >= 0 {
			return &attributes[i]
		}
		return nil
	}
	if instead := removed[name]; instead != "" {
		c.report(at, fmt.Sprintf("email clients remove <%s>: %s", name, instead))
	} else {
		c.feature(at, "element:"+name, "<"+name+">")
	}
	switch name {
	case "html":
		c.document = true
		if lang := get("lang"); lang == nil || strings.TrimSpace(lang.source) == "" {
			c.report(at, `the document has no language, which screen readers need: write <html lang="en">, or the language that it is in`)
		}
	case "img":
		c.image(at, get)
	case "a", "area":
		if href := get("href"); href != nil {
			c.link(href)
		}
	case "input":
		if kind := get("type"); kind != nil {
			if value, static := kind.static(); static {
				c.feature(at, "input:"+value, "<input type="+value+">")
			}
		}
	}
	for i := range attributes {
		switch a := &attributes[i]; {
		case a.name == "style":
			c.style(a.valueAt, a.valueAt+len(a.value), false)
		case len(a.name) > 2 && strings.HasPrefix(a.name, "on") && isWord(a.name):
			c.report(a.at, "email clients remove "+a.name+": everything must work without scripts")
		default:
			c.feature(a.at, "attribute:"+a.name, "the attribute "+a.name)
		}
	}
}

func isWord(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 'a' || r > 'z' }) < 0
}

// image checks an image.
func (c *checker) image(at int, get func(string) *attribute) {
	if get("alt") == nil {
		c.report(at, `the image has no text for readers who don't see it: describe it with alt, or write alt="" if it is only decoration`)
	}
	if get("width") == nil && get("height") == nil {
		c.report(at, "the image has no size: write its width or height as an attribute, without which Outlook shows it in its full size")
	}
	src := get("src")
	if src == nil || src.isDynamic() {
		return
	}
	value := strings.ToLower(strings.TrimSpace(src.value))
	if strings.HasPrefix(value, "data:") {
		c.feature(src.valueAt, "image:data:", "an image within the HTML")
		return
	}
	switch scheme, absolute := schemeOf(value); {
	case scheme == "https" || absolute && strings.ContainsRune(scheme, django.MaskedVariable):
	case scheme == "http":
		c.report(src.valueAt, "the image isn't loaded securely, and some email clients don't show it: write https://")
	case scheme == "cid":
		c.report(src.valueAt, "messages have no attachments, so the image can't be one: write its https:// URL")
	default:
		c.report(src.valueAt, "an email has no address that the image's could be relative to: write its https:// URL")
	}
	path, _, _ := strings.Cut(value, "?")
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 && isExtension(path[dot+1:]) {
		c.feature(src.valueAt, "image:"+path[dot+1:], "an image in the format "+strings.ToUpper(path[dot+1:]))
	}
}

// isExtension reports whether a text is the extension of a file's name, not one that the template
// prints a part of.
func isExtension(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) < 0
}

// isDynamic reports whether the template prints the beginning of the value.
func (a *attribute) isDynamic() bool {
	value := strings.TrimLeft(a.source, htmltag.Space)
	return value == "" || value[0] == '{' && a.source != a.value
}

// schemeOf returns the scheme of a URL in lower case; absolute is false if it has none.
func schemeOf(url string) (scheme string, absolute bool) {
	scheme, _, absolute = strings.Cut(url, ":")
	if !absolute || strings.ContainsAny(scheme, "/?#") {
		return "", false
	}
	return scheme, true
}

// link checks where a link leads.
func (c *checker) link(href *attribute) {
	value := strings.ToLower(strings.TrimSpace(href.value))
	if href.isDynamic() || strings.HasPrefix(value, "#") {
		return
	}
	switch scheme, absolute := schemeOf(value); {
	case !absolute:
		c.report(href.valueAt, "an email has no address that the link could be relative to: write the whole URL, from https:// on")
	case scheme == "https" || scheme == "mailto" || scheme == "tel" || scheme == "sms" || !isScheme(scheme):
	case scheme == "http":
		c.report(href.valueAt, "the link isn't encrypted, so others can read and change what it opens: write https://")
	default:
		c.report(href.valueAt, "many email clients remove links that begin with "+scheme+": link to a page on https:// that opens it")
	}
}

// isScheme reports whether a text is the scheme of a URL, not one that the template prints
// a part of.
func isScheme(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
	}) < 0
}
