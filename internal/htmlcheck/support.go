// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package htmlcheck

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// table is written by hack/caniemail. Its license is in caniemail.LICENSE.
//
//go:embed caniemail.tsv
var table string

// support are the results of the tests of one feature, in the order of the clients: y, a
// (partly), n, or u for unknown.
type support string

// known is the table.
type known struct {
	clients  []string // as client.platform
	features map[string]support
}

var readTable = sync.OnceValue(func() *known {
	k := &known{features: map[string]support{}}
	for line := range strings.Lines(table) {
		if columns := strings.Split(strings.TrimSpace(line), "\t"); strings.HasPrefix(line, "#") {
			continue
		} else if k.clients == nil {
			k.clients = columns[1:]
		} else {
			k.features[columns[0]] = support(columns[1])
		}
	}
	return k
})

// enough is the share of clients, in percent, that must support a feature.
const enough = 90

// feature reports something that too few clients support, or Gmail in browsers doesn't.
func (c *checker) feature(at int, feature, name string) {
	if c.said[feature] {
		return
	}
	k := readTable()
	s, tested := k.features[feature]
	if _, bare, _ := strings.Cut(feature, ":"); !tested || harmless[bare] {
		return
	}
	yes, total := 0, 0
	for i := range s {
		if s[i] == 'y' || s[i] == 'a' {
			yes++
		}
		if s[i] != 'u' {
			total++
		}
	}
	gmail := slices.Index(k.clients, "gmail.desktop-webmail")
	if total == 0 || 100*yes >= enough*total && s[gmail] != 'n' {
		return
	}
	c.said[feature] = true
	message := fmt.Sprintf("%s does not work in %s, and in %d%% of the tested email clients", name, k.without(s), 100*(total-yes)/total)
	if instead := advice(feature); instead != "" {
		message += ": " + instead
	}
	c.report(at, message)
}

// families are the clients by their names, the most used ones first.
var families = [][2]string{
	{"gmail", "Gmail"}, {"apple-mail", "Apple Mail"}, {"outlook", "Outlook"}, {"yahoo", "Yahoo Mail"}, {"samsung-email", "Samsung Email"},
	{"aol", "AOL"}, {"thunderbird", "Thunderbird"}, {"protonmail", "Proton Mail"}, {"gmx", "GMX"}, {"web-de", "WEB.DE"}, {"mail-ru", "Mail.ru"},
	{"orange", "Orange"}, {"sfr", "SFR"}, {"laposte", "Laposte"}, {"fastmail", "Fastmail"}, {"hey", "HEY"},
}

// maxNamed is how many clients a message names.
const maxNamed = 3

// without returns the most used clients that don't support a feature.
func (k *known) without(s support) string {
	var names []string
	for _, family := range families {
		all, missing := 0, []string{}
		for i, client := range k.clients {
			name, platform, _ := strings.Cut(client, ".")
			if name != family[0] || s[i] == 'u' {
				continue
			}
			if all++; s[i] == 'n' {
				missing = append(missing, platformName(platform))
			}
		}
		switch {
		case len(missing) == 0:
			continue
		case len(missing) == all:
			names = append(names, family[1])
		default:
			names = append(names, fmt.Sprintf("%s (%s)", family[1], strings.Join(missing, ", ")))
		}
		if len(names) == maxNamed {
			break
		}
	}
	if len(names) == 0 {
		return "some clients"
	}
	return strings.Join(names, ", ")
}

func platformName(platform string) string {
	switch platform {
	case "ios":
		return "iOS"
	case "android":
		return "Android"
	case "macos":
		return "macOS"
	case "windows":
		return "Windows"
	case "windows-mail":
		return "Windows Mail"
	case "outlook-com":
		return "Outlook.com"
	case "mobile-webmail":
		return "mobile browsers"
	}
	return "browsers"
}

// harmless are the properties, values and selectors that improve a message where they work,
// and without which it is as readable.
var harmless = wordSet(`
	accent-color animation backdrop-filter background-blend-mode background-clip background-origin background-size background-image
	border-radius border-start-start-radius height min-height border-start-end-radius border-end-start-radius border-end-end-radius border-image
	box-shadow box-sizing caption-side clip-path color-scheme cursor empty-cells filter font-kerning font-stretch font-size-adjust
	hyphenate-character hyphenate-limit-chars hyphens linear-gradient radial-gradient conic-gradient
	list-style-image mix-blend-mode opacity orphans outline outline-offset overflow-wrap resize scroll-snap-type scroll-snap-align
	shape-margin shape-outside tab-size table-layout text-align-last text-decoration-color text-decoration-line text-decoration-skip-ink
	text-decoration-style text-decoration-thickness text-emphasis text-emphasis-position text-justify text-overflow text-shadow
	text-underline-offset text-underline-position text-wrap transition user-select white-space-collapse widows word-break word-spacing word-wrap
	:hover :focus :focus-visible :focus-within :active :visited :link :target ::marker ::placeholder ::first-letter ::first-line :lang
	@media @supports @font-face @keyframes
	abbr acronym address bdi code dfn picture rp rt ruby small wbr
	srcset inert
`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

// advice says what to write instead of a feature.
func advice(feature string) string {
	kind, name, _ := strings.Cut(feature, ":")
	switch kind {
	case "value":
		return "lay it out as a table"
	case "unit":
		return "write px"
	case "image":
		return "link to a PNG or JPEG file"
	case "input":
		return "link to a page with the form"
	case "pseudo":
		return "give the element a style of its own"
	}
	switch name {
	case "position", "left", "right", "top", "bottom", "align-items", "justify-content", "gap", "row-gap", "column-gap", "object-fit",
		"flex-direction", "flex-wrap", "grid-template", "grid-template-columns", "grid-template-rows", "grid-template-areas":
		return "lay it out as a table"
	case "form", "button", "select", "textarea":
		return "link to a page with the form"
	case "link", "@import":
		return "write the styles into a <style> element"
	case "svg":
		return "link to a PNG file"
	case "video", "audio":
		return "link to it"
	case "base":
		return "write whole URLs"
	case "var", "calc", "clamp", "min", "max", "light-dark":
		return "write the value itself"
	case "lch", "oklch", "lab", "oklab", "rgba":
		return "write the color as #rrggbb"
	case "block-size", "inline-size":
		return "write height and width"
	}
	if side, is := strings.CutSuffix(name, "-inline"); is {
		return "write " + side + "-left and " + side + "-right"
	}
	if side, _, is := strings.Cut(name, "-inline-"); is {
		return "write " + side + "-left or " + side + "-right"
	}
	if side, _, is := strings.Cut(name, "-block"); is {
		return "write " + side + "-top and " + side + "-bottom"
	}
	return ""
}
