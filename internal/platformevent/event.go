// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

import (
	"embed"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/spelling"
)

// Source is how well an event's fields are known.
type Source string

// The sources.
const (
	// Observed fields are those of events that the platform sent.
	Observed Source = "observed"
	// Published fields are derived from the types that the platform publishes for the
	// resource that the event carries. No event was seen.
	Published Source = "published"
	// Assumed fields are those of the resource that the event seems to carry. Fields
	// that aren't listed may well exist.
	Assumed Source = "assumed"
)

// Event is a kind of event.
type Event struct {
	// Name identifies it in webhooks and rules, such as transaction.execute.
	Name string
	// Alias is another name that Rehive's guides use for it; empty if there is none. The
	// platform registers no webhook by that name.
	Alias string
	// Extension is the Rehive extension that raises it; empty for the platform itself.
	Extension string
	// Summary says in one sentence when it happens.
	Summary string
	// Fields are those of its data, in the order in which they are best read.
	Fields []Field
	// User is the dotted path to the user whom the data is about. It is "." where the
	// data is the user, and empty if there is none.
	User string
	// Original is the field that holds the resource as it was before an update; empty if
	// there is none.
	Original string
	// Source is how well Fields are known.
	Source Source
}

//go:embed samples/*.json
var samples embed.FS

// Sample returns the data of an example of the event: a JSON object. Its names,
// addresses, identifiers and codes are made up. Callers must not change it.
func (e *Event) Sample() []byte {
	sample, err := samples.ReadFile("samples/" + e.Name + ".json")
	if err != nil {
		panic(err) // a test reads the sample of every event
	}
	return sample
}

// All returns the events, the platform's first, sorted by name. Callers must not change them.
func All() []*Event { return catalogue }

// Platform returns the names of the events that the platform registers webhooks for,
// sorted.
func Platform() []string {
	var names []string
	for _, e := range catalogue {
		if e.Extension == "" {
			names = append(names, e.Name)
		}
	}
	return names
}

// Lookup returns the event of a name or an alias; nil if the catalogue has none.
func Lookup(name string) *Event { return byName[name] }

// Nearest returns the name that a misspelled name was probably meant to be; empty if
// none is near.
func Nearest(name string) string {
	names := make([]string, 0, len(catalogue))
	for _, e := range catalogue {
		names = append(names, e.Name)
	}
	lower := strings.ToLower(strings.TrimSpace(name))
	if slices.Contains(names, lower) {
		return lower
	}
	return spelling.Nearest(lower, names)
}

var catalogue, byName = index(events())

func index(all []*Event) ([]*Event, map[string]*Event) {
	slices.SortFunc(all, func(a, b *Event) int {
		if c := strings.Compare(a.Extension, b.Extension); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	names := make(map[string]*Event, len(all))
	for _, e := range all {
		names[e.Name] = e
		if e.Alias != "" {
			names[e.Alias] = e
		}
	}
	return all, names
}
