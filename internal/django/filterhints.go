// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"maps"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/spelling"
)

// foreignFilters are hints for filters of Liquid, Jinja, Twig and others that Django has by
// another name. Those without a hint look like one of Django's and mean something else.
var foreignFilters = map[string]string{
	"upcase": "write upper", "uppercase": "write upper", "toupper": "write upper", "touppercase": "write upper", "strtoupper": "write upper",
	"downcase": "write lower", "lowercase": "write lower", "tolower": "write lower", "tolowercase": "write lower", "strtolower": "write lower",
	"ucfirst": "write capfirst", "capitalizefirst": "write capfirst", "capitalize": "write lower|capfirst",
	"titlecase": "write title", "titleize": "write title", "ucwords": "write title",
	"size": "write length", "count": "write length", "len": "write length",
	"strip": stripHint, "trim": stripHint, "lstrip": "write .lstrip after the name, as in {{ name.lstrip }}", "rstrip": "write .rstrip after the name, as in {{ name.rstrip }}",
	"append": "write the text after the }}", "prepend": "write the text before the {{", "remove": "write cut",
	"truncate": "write truncatechars", "round": "write floatformat with the number of digits, as in floatformat:2",
	"striphtml": "write striptags", "nl2br": "write linebreaksbr", "newlinetobr": "write linebreaksbr",
	"e": "write escape", "raw": "write safe", "htmlsafe": "write safe", "encodeuricomponent": `write urlencode:""`,
	"reverse": "write {% for item in items reversed %}",
	"list":    "", "times": "",
}

const stripHint = "write .strip after the name, as in {{ name.strip }}"

// filterHint says what to write instead of a filter that doesn't exist; empty if that isn't clear.
func filterHint(name string) string {
	plain := plainName(name)
	if hint, ok := foreignFilters[plain]; ok {
		return hint
	}
	for _, library := range slices.Sorted(maps.Keys(libraries)) {
		if _, ok := libraries[library].filters[name]; ok {
			return "write {% load " + library + " %} before it"
		}
	}
	var similar []string
	for known := range builtins.filters {
		switch k := plainName(known); {
		case k == plain:
			return "write " + known
		case len(plain) > 3 && len(plain) <= len(k)+1 && spelling.Distance(k, plain) == 1:
			similar = append(similar, known)
		}
	}
	if len(similar) != 1 {
		return ""
	}
	return "write " + similar[0]
}

// plainName is a name without its case and underscores.
func plainName(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "") }
