// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inlinecss copies the rules of a document's style sheets into the style attributes
// of its elements, for email clients that don't read style sheets. Its work and memory are
// charged to a meter, because documents are made of what companies and their customers
// write.
package inlinecss

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"github.com/rehive/extension-operator/internal/htmltag"
	"github.com/rehive/extension-operator/internal/meter"
)

const (
	// MaxSize is the size of the largest document whose styles are copied, in bytes. Email
	// clients cut off much smaller ones.
	MaxSize = 256 << 10
	// maxDepth is how deeply elements nest; those within are not given styles.
	maxDepth = 256
	// byteTime is how many nanoseconds it takes to read a byte of HTML or CSS, twice.
	byteTime = 40
)

// ErrTooLarge means that a document is larger than [MaxSize].
var ErrTooLarge = errors.New("the document is too large")

// Document returns the document with the declarations of its style sheets in the style
// attributes of the elements that they apply to, before what these say themselves.
// Everything else is as it was, including the style sheets.
//
// It copies the rules whose selectors consist of elements, classes and identifiers, and of
// descendants and children of those. It doesn't copy the rules of at-rules such as @media, of
// style sheets for certain media, and those with other selectors.
//
// The error is ErrTooLarge, or of the meter.
func Document(m *meter.Meter, text string) (string, error) {
	if len(text) > MaxSize {
		return "", ErrTooLarge
	}
	if err := m.SpendBytes(len(text), byteTime); err != nil {
		return "", err
	}
	d := &document{meter: m, text: text}
	if err := d.collect(); err != nil {
		return "", err
	}
	if len(d.rules) == 0 {
		return text, nil
	}
	slices.SortStableFunc(d.rules, func(a, b rule) int { return cmp.Compare(a.weight, b.weight) })
	if err := d.apply(); err != nil {
		return "", err
	}
	return d.out.String(), nil
}

type document struct {
	meter *meter.Meter
	text  string
	rules []rule // in the order in which they take precedence, the last one most

	open   []element // that the current position is within
	out    strings.Builder
	copied int // how much of the text is in out
}

// element is one that is open.
type element struct {
	name, id string
	classes  []string
}

// tokens calls each for the tokens of the document, with their positions.
func (d *document) tokens(each func(kind html.TokenType, at, end int) error) error {
	tokens := html.NewTokenizer(strings.NewReader(d.text))
	for at := 0; ; {
		kind := tokens.Next()
		end := at + len(tokens.Raw())
		if kind == html.ErrorToken {
			if err := tokens.Err(); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
		if err := each(kind, at, end); err != nil {
			return err
		}
		at = end
	}
}

// collect reads the style sheets.
func (d *document) collect() error {
	inStyle := false
	return d.tokens(func(kind html.TokenType, at, end int) error {
		if kind == html.TextToken && inStyle {
			return d.sheet(d.text[at:end])
		}
		inStyle = kind == html.StartTagToken && htmltag.Name(d.text[at:end]) == "style" && forAllMedia(d.text[at:end])
		return nil
	})
}

func forAllMedia(tag string) bool {
	for _, a := range htmltag.Attributes(tag) {
		if a.Name == "media" && !strings.EqualFold(strings.TrimSpace(a.Value), "all") {
			return false
		}
	}
	return true
}

// apply writes the document with the rules in its style attributes.
func (d *document) apply() error {
	err := d.tokens(func(kind html.TokenType, at, end int) error {
		tag := d.text[at:end]
		switch kind {
		case html.EndTagToken:
			name := htmltag.Name(tag[1:])
			for i := len(d.open) - 1; i >= 0; i-- {
				if err := d.meter.Spend(1); err != nil {
					return err
				}
				if d.open[i].name == name {
					d.open = d.open[:i]
					break
				}
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			if len(d.open) == maxDepth {
				return nil
			}
			if err := d.start(tag, at); err != nil {
				return err
			}
			if kind == html.SelfClosingTagToken || isVoid(d.open[len(d.open)-1].name) {
				d.open = d.open[:len(d.open)-1]
			}
		default:
		}
		return nil
	})
	d.out.WriteString(d.text[d.copied:])
	return err
}

// start opens an element and copies its styles.
func (d *document) start(tag string, at int) error {
	attributes := htmltag.Attributes(tag)
	e := element{name: htmltag.Name(tag)}
	var own *htmltag.Attribute
	for i := range attributes {
		switch a := &attributes[i]; a.Name {
		case "id":
			e.id = a.Value
		case "class":
			e.classes = strings.Fields(a.Value)
		case "style":
			if own == nil {
				own = a
			}
		}
	}
	// Elements whose end may be left out, and that don't nest.
	if last := len(d.open) - 1; last >= 0 && d.open[last].name == e.name && slices.Contains([]string{"p", "li", "td", "th", "tr", "option"}, e.name) {
		d.open = d.open[:last]
	}
	d.open = append(d.open, e)
	if err := d.meter.Spend(5 + len(attributes)); err != nil {
		return err
	}
	var styles []declaration
	for i := range d.rules {
		matches, err := d.matches(d.rules[i].selector)
		if err != nil {
			return err
		}
		if !matches {
			continue
		}
		if err := d.meter.Spend(len(d.rules[i].styles)); err != nil {
			return err
		}
		styles = append(styles, d.rules[i].styles...)
	}
	if len(styles) == 0 {
		return nil
	}
	value, err := d.merge(styles)
	if err != nil {
		return err
	}
	if err := d.meter.Keep(len(value)); err != nil {
		return err
	}
	if own == nil {
		d.insert(at+1+len(e.name), at+1+len(e.name), ` style="`+value+`"`)
	} else {
		// The element's own declarations come last, so they take precedence.
		d.insert(at+own.At, at+own.End, `style="`+value+strings.ReplaceAll(own.Value, `"`, "&quot;")+`"`)
	}
	return nil
}

// insert writes the text up to from, and a replacement for the part up to to.
func (d *document) insert(from, to int, replacement string) {
	d.out.WriteString(d.text[d.copied:from])
	d.out.WriteString(replacement)
	d.copied = to
}

// merge writes declarations, each property once, as the beginning of a style attribute.
func (d *document) merge(styles []declaration) (string, error) {
	if err := d.meter.Spend(len(styles)); err != nil {
		return "", err
	}
	last := make(map[string]int, len(styles))
	for i := range styles {
		if before, has := last[styles[i].property]; !has || styles[i].important || !styles[before].important {
			last[styles[i].property] = i
		}
	}
	var out strings.Builder
	for i := range styles {
		if last[styles[i].property] == i {
			out.WriteString(html.EscapeString(styles[i].text))
			out.WriteByte(';')
		}
	}
	return out.String(), d.meter.SpendBytes(out.Len(), byteTime)
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr":
		return true
	}
	return false
}
