// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Differences returns how an event's data differs from the description: fields that
// aren't described or are missing, and values of another kind. It is for data that is
// made up, in samples, tests and the platform simulator; the platform's own may differ.
func (e *Event) Differences(data []byte) []string {
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return []string{fmt.Sprintf("%s: %v", e.Name, err)}
	}
	return differences(e.Name, e.Fields, object)
}

func differences(where string, fields []Field, object map[string]any) (all []string) {
	described := make(map[string]bool, len(fields))
	for i := range fields {
		f := &fields[i]
		described[f.Name] = true
		if value, there := object[f.Name]; there {
			all = append(all, valueDifferences(where+"."+f.Name, f, value)...)
		} else if !f.Newer {
			all = append(all, where+" has no "+f.Name)
		}
	}
	for name := range object {
		if !described[name] {
			all = append(all, where+" has "+name+", which is not described")
		}
	}
	slices.Sort(all)
	return all
}

func valueDifferences(where string, f *Field, value any) []string {
	kind := func(right bool) []string {
		if right {
			return nil
		}
		return []string{fmt.Sprintf("%s is described as %s, and is %v", where, f.Kind, value)}
	}
	if f.Kind == Free {
		return nil
	}
	switch v := value.(type) {
	case nil:
		return kind(f.Nullable)
	case string:
		if f.Kind == Text && f.Values != nil && !slices.Contains(f.Values, v) {
			return []string{fmt.Sprintf("%s is %s, which is not among its values", where, v)}
		}
		return kind(f.Kind == Text)
	case float64:
		return kind(f.Kind.IsNumber())
	case bool:
		return kind(f.Kind == Boolean)
	case []any:
		var all []string
		for i, item := range v {
			if object, is := item.(map[string]any); is && f.Fields != nil {
				all = append(all, differences(fmt.Sprintf("%s.%d", where, i), f.Fields, object)...)
			}
		}
		return append(all, kind(f.Kind == List)...)
	case map[string]any:
		if f.Kind == Object {
			return differences(where, f.Fields, v)
		}
	}
	return kind(false)
}
