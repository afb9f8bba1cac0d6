// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// methodNames are the methods of each type. The forbidden ones (format,
// format_map, mro and everything that begins with an underscore) are not here.
var methodNames = map[string]map[string]bool{}

// dataNames are attributes that are not methods.
var dataNames = map[string]map[string]bool{}

func init() {
	for typ, names := range map[string]string{
		"str": `capitalize casefold center count encode endswith expandtabs find index isalnum isalpha
			isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper
			join ljust lower lstrip maketrans partition removeprefix removesuffix replace rfind rindex
			rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title translate
			upper zfill`,
		"bytes": `capitalize center count decode endswith expandtabs find fromhex hex index isalnum isalpha
			isascii isdigit islower isspace istitle isupper join ljust lower lstrip partition
			removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split
			splitlines startswith strip swapcase title upper zfill`,
		"list":  `append clear copy count extend index insert pop remove reverse sort`,
		"tuple": `count index`,
		"dict":  `clear copy fromkeys get items keys pop popitem setdefault update values`,
		"set": `add clear copy difference difference_update discard intersection intersection_update
			isdisjoint issubset issuperset pop remove symmetric_difference
			symmetric_difference_update union update`,
		"int":        `as_integer_ratio bit_count bit_length conjugate from_bytes to_bytes`,
		"float":      `as_integer_ratio conjugate fromhex hex is_integer`,
		"complex":    `conjugate`,
		"dict_keys":  `isdisjoint`,
		"dict_items": `isdisjoint`,
	} {
		methodNames[typ] = words(names)
	}
	methodNames["bool"] = methodNames["int"]
	dataNames["int"] = words("real imag numerator denominator")
	dataNames["float"] = words("real imag")
}

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// method is a method of a type, bound to self, or unbound if self is nil.
type method struct {
	typ, name string
	self      python.Value
}

func (m method) call(e *evaluator, args arguments) (python.Value, error) {
	self := m.self
	if self == nil {
		switch m.name {
		case "fromkeys", "maketrans", "from_bytes", "fromhex": // of the class
		default:
			if len(args.positional) == 0 {
				return nil, typeError("%s.%s() needs an argument", m.typ, m.name)
			}
			self = args.positional[0]
			if t := self.TypeName(); t != m.typ && (m.typ != "int" || t != "bool") {
				return nil, typeError("%s.%s() does not apply to a '%s' object", m.typ, m.name, t)
			}
			args.positional = args.positional[1:]
		}
	}
	return e.callMethod(m.typ, m.name, self, args)
}

// attribute returns value.name: an attribute or, of a dict, a key.
func (e *evaluator) attribute(n *attributeNode) (python.Value, error) {
	name := n.name
	if strings.HasPrefix(name, "_") || strings.HasPrefix(name, "func_") {
		return nil, faultf(FeatureNotAvailable, n.offset(), "names that begin with '_' or 'func_' are not available after a dot")
	}
	switch name {
	case "format", "format_map", "mro":
		return nil, faultf(FeatureNotAvailable, n.offset(), "the method '%s' is not available", name)
	}
	v, err := e.eval(n.value)
	if err != nil {
		return nil, err
	}
	if c, ok := v.(*class); ok {
		if methodNames[c.name][name] || dataNames[c.name][name] {
			return &builtin{method{typ: c.name, name: name}}, nil
		}
		return nil, faultf(AttributeNotFound, n.offset(), "'%s' has no attribute '%s'", c.name, name)
	}
	typ := v.TypeName()
	if methodNames[typ][name] {
		return &builtin{method{typ: typ, name: name, self: v}}, nil
	}
	if a, ok := python.Attr(v, name); ok {
		return a, nil
	}
	if d, ok := v.(*python.Dict); ok {
		if val, ok := d.GetStr(name); ok {
			return val, nil
		}
		return nil, faultf(AttributeNotFound, n.offset(), "the dict has neither an attribute nor a key '%s'", name)
	}
	return nil, faultf(AttributeNotFound, n.offset(), "a value of type '%s' has no attribute '%s'", typ, name)
}
