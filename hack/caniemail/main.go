// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command caniemail prints the table of which email client supports what, which
// internal/htmlcheck embeds, from a checkout of the repository hteumeuleu/caniemail:
//
//	go run ./hack/caniemail CHECKOUT >internal/htmlcheck/caniemail.tsv
//
// It copies facts only: the results of tests, and none of the texts of the pages.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: caniemail CHECKOUT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "caniemail:", err)
		os.Exit(1)
	}
}

// features are the names, in the table, of the pages whose name doesn't say what they are
// about; several are separated by spaces. An empty name leaves a page out, because what it is
// about is never found in a document or never matters.
var features = map[string]string{
	"_template": "", "amp": "", "bimi": "", "css-important": "", "css-comments": "",
	"html-comments": "", "html-doctype": "", "html-anchor-links": "", "html-mailto-links": "",
	"html-style": "", "html-body": "", "html-img": "", "html-div": "", "html-p": "", "html-span": "", "html-table": "",
	"html-lang": "", "html-dir": "", "html-role": "", "html-meta-color-scheme": "", "html-lists": "",
	"css-selector-type": "", "css-selector-class": "", "css-selector-chaining": "", "css-selector-grouping": "",
	"css-selector-descendant": "", "css-selector-universal": "", "css-pseudo-class-link": "",
	"css-unit-percent": "", "css-unit-px": "", "css-unit-initial": "", "css-modern-color": "function:lch function:oklch function:lab function:oklab",
	"css-nesting": "", "css-inert-attribute": "attribute:inert", "css-intrinsic-size": "", "css-unit-calc": "function:calc",
	"css-variables": "function:var", "css-rgb": "function:rgb", "css-rgba": "function:rgba",
	"css-linear-gradient": "function:linear-gradient", "css-radial-gradient": "function:radial-gradient", "css-conic-gradient": "function:conic-gradient",
	"css-at-media-device-pixel-ratio": "", "css-at-media-hover": "", "css-at-media-orientation": "",
	"css-at-media-prefers-color-scheme": "", "css-at-media-prefers-reduced-motion": "",
	"css-display-flex": "value:display:flex value:display:inline-flex", "css-display-grid": "value:display:grid value:display:inline-grid",
	"css-display-none": "value:display:none", "css-flex-direction": "property:flex-direction", "css-flex-wrap": "property:flex-wrap",
	"css-gap": "property:gap property:column-gap property:row-gap", "css-grid-template": "property:grid-template property:grid-template-columns property:grid-template-rows property:grid-template-areas",
	"css-left-right-top-bottom":    "property:left property:right property:top property:bottom",
	"css-column-layout-properties": "property:columns property:column-width", "css-scroll-snap": "property:scroll-snap-type property:scroll-snap-align",
	"css-block-inline-size": "property:block-size property:inline-size", "css-inline-size": "",
	"css-border-inline-block": "property:border-inline property:border-block", "css-border-inline-block-individual": "", "css-border-inline-block-longhand": "",
	"css-border-radius-logical":  "property:border-start-start-radius property:border-start-end-radius property:border-end-start-radius property:border-end-end-radius",
	"css-margin-block-start-end": "property:margin-block-start property:margin-block-end", "css-margin-inline-block": "property:margin-inline property:margin-block",
	"css-margin-inline-start-end": "property:margin-inline-start property:margin-inline-end",
	"css-padding-block-start-end": "property:padding-block-start property:padding-block-end", "css-padding-inline-block": "property:padding-inline property:padding-block",
	"css-padding-inline-start-end":  "property:padding-inline-start property:padding-inline-end",
	"css-selector-adjacent-sibling": "", "css-selector-attribute": "", "css-selector-child": "", "css-selector-general-sibling": "", "css-selector-id": "",
	"css-pseudo-class-lang": "pseudo::lang",
	"html-align":            "", "html-valign": "", "html-width": "", "html-height": "", "html-cellpadding": "", "html-cellspacing": "",
	"html-background": "attribute:background", "html-hidden": "attribute:hidden", "html-loading-attribute": "", "html-popover": "attribute:popover",
	"html-required": "", "html-srcset": "attribute:srcset", "html-target": "",
	"html-aria-describedby": "", "html-aria-hidden": "", "html-aria-label": "", "html-aria-labelledby": "", "html-aria-live": "",
	"html-button-reset": "", "html-button-submit": "element:button", "html-h1-h6": "", "html-image-maps": "element:map",
	"html-input-checkbox": "input:checkbox", "html-input-hidden": "", "html-input-radio": "input:radio", "html-input-reset": "", "html-input-submit": "input:submit", "html-input-text": "input:text",
	"html-semantics": "", "image-apng": "image:apng", "image-base64": "image:data:", "image-hdr": "", "image-mp4": "image:mp4", "image-jpg": "", "image-png": "", "image-gif": "",
}

// names returns the features that a page is about.
func names(page string) []string {
	if list, special := features[page]; special {
		return strings.Fields(list)
	}
	for _, rule := range [][2]string{
		{"css-at-", "at:@"}, {"css-pseudo-class-", "pseudo::"}, {"css-pseudo-element-", "pseudo:::"}, {"css-function-", "function:"},
		{"css-unit-", "unit:"}, {"css-", "property:"}, {"html-", "element:"}, {"image-", "image:"},
	} {
		if rest, is := strings.CutPrefix(page, rule[0]); is {
			return []string{rule[1] + rest}
		}
	}
	return nil
}

// page is what a page says of the clients.
type page struct {
	names   []string
	tested  string
	results map[string]string // y, a (partly), n or u (unknown), by client and platform
}

func run(checkout string) error {
	files, err := filepath.Glob(filepath.Join(checkout, "_features", "*.md"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no pages in %s: %w", checkout, err)
	}
	var pages []page
	var clients []string
	newest := ""
	for _, file := range files {
		p, err := read(file)
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if len(p.names) == 0 {
			continue
		}
		newest = max(newest, p.tested)
		for client := range p.results {
			if !slices.Contains(clients, client) {
				clients = append(clients, client)
			}
		}
		pages = append(pages, p)
	}
	slices.Sort(clients)
	fmt.Printf("# Which email client supports what, as tested by https://www.caniemail.com until %s.\n", newest)
	fmt.Print("# Data: MIT License, Copyright (c) 2019 Rémi Parmentier. Made by hack/caniemail: do not edit.\n")
	fmt.Printf("# y: supported, a: partly, n: not supported, u: unknown\nfeature\t%s\n", strings.Join(clients, "\t"))
	var lines []string
	for _, p := range pages {
		var results strings.Builder
		for _, client := range clients {
			if result := p.results[client]; result != "" {
				results.WriteString(result)
			} else {
				results.WriteByte('u')
			}
		}
		for _, name := range p.names {
			lines = append(lines, name+"\t"+results.String())
		}
	}
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
	return nil
}

func read(file string) (page, error) {
	p := page{names: names(strings.TrimSuffix(filepath.Base(file), ".md")), results: map[string]string{}}
	raw, err := os.ReadFile(file)
	if err != nil || len(p.names) == 0 {
		return p, err
	}
	_, rest, _ := bytes.Cut(raw, []byte("---\n"))
	head, _, _ := bytes.Cut(rest, []byte("\n---"))
	var document, stats yaml.Node // not a struct: some pages have a member twice
	if err := yaml.Unmarshal(bytes.ReplaceAll(head, []byte("\t"), []byte(" ")), &document); err != nil || len(document.Content) == 0 {
		return p, err
	}
	if err := members(document.Content[0], func(key string, value *yaml.Node) error {
		switch key {
		case "last_test_date":
			p.tested = value.Value
		case "stats":
			stats = *value
		}
		return nil
	}); err != nil {
		return p, err
	}
	err = members(&stats, func(client string, platforms *yaml.Node) error {
		return members(platforms, func(platform string, versions *yaml.Node) error {
			return members(versions, func(_ string, result *yaml.Node) error {
				if result.Value != "" {
					p.results[client+"."+platform] = result.Value[:1] // the last one is of the newest version
				}
				return nil
			})
		})
	})
	return p, err
}

// members calls each for the members of a mapping, in their order.
func members(mapping *yaml.Node, each func(key string, value *yaml.Node) error) error {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if err := each(mapping.Content[i].Value, mapping.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}
