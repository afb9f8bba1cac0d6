// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command eventdocs writes docs/events.md from the catalogue of events.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/platformevent"
)

const page = "docs/events.md"

const introduction = `# Events

<!-- Generated from internal/platformevent by make generate. Do not edit. -->

These are the events that a NotificationRule can name in ` + "`spec.event`" + `, and the fields of each that templates and expressions can read. ` +
	"A preview with the name of an event and no data uses the sample in [internal/platformevent/samples](../internal/platformevent/samples).\n\n" +
	"Paths start at the event's data: `{{ user.email }}`, `{{ currency.code }}`. In addition, every event has `context.company.id`, " +
	"`context.company.name` and `context.company.system_email` (and, unlike on Rehive, `logo`, `website` and `support_email`), and events about a transaction have `computed.fee` and `computed.total_amount`.\n\n" +
	"A rule that reads an unlisted field gets a warning but still works, because Rehive may add fields at any time.\n\n" +
	`Types:

- **text**. In an expression, it needs quotes: ` + "`'{{ status }}' == 'Complete'`" + `.
- **integer**, **amount**, **time**, **boolean**. They need no quotes: ` + "`{{ amount }} > 1000`, `not {{ temporary }}`" + `. An amount is in the smallest unit of the currency; print it with ` +
	"`{{ amount|money:currency.divisibility }}`. A time is in milliseconds since the epoch; print it with `{{ created|timestamp|date:'j F Y' }}`." + `
- **object** and **list**. Access their fields with dots: ` + "`currency.code`, `user.groups.0.name`" + `.
- **free**. Any value that the company or another system stores.

"Or null" values print ` + "`None`" + `: use ` + "`{{ note|default_if_none:'' }}`" + `. "Newer" fields are documented by Rehive, but did not occur in the events on which this page is based.
`

func main() {
	log.SetFlags(0)
	if err := os.WriteFile(page, render(), 0o644); err != nil { //nolint:gosec // documentation is public
		log.Fatalf("writing the page of events: %v", err)
	}
}

func render() []byte {
	b := bytes.NewBufferString(introduction)
	groups := grouped(platformevent.All())
	overview(b, groups)
	shapes(b)
	for _, group := range groups {
		section(b, group)
	}
	return b.Bytes()
}

// grouped groups events whose data has the same fields, except for the original.
func grouped(all []*platformevent.Event) (groups [][]*platformevent.Event) {
	for _, e := range all {
		i := slices.IndexFunc(groups, func(g []*platformevent.Event) bool {
			return g[0].Extension == e.Extension && g[0].User == e.User && reflect.DeepEqual(fields(g[0]), fields(e))
		})
		if i >= 0 {
			groups[i] = append(groups[i], e)
		} else {
			groups = append(groups, []*platformevent.Event{e})
		}
	}
	return groups
}

func fields(e *platformevent.Event) []platformevent.Field {
	return slices.DeleteFunc(slices.Clone(e.Fields), func(f platformevent.Field) bool { return f.Name == e.Original && e.Original != "" })
}

func overview(b *bytes.Buffer, groups [][]*platformevent.Event) {
	b.WriteString("\n## Overview\n\n| event | when | the user |\n|---|---|---|\n")
	for _, group := range groups {
		for _, e := range group {
			user := "`" + e.User + "`"
			switch e.User {
			case "":
				user = "none"
			case ".":
				user = "the data itself"
			}
			name := e.Name
			if e.Extension != "" {
				name += " (" + e.Extension + ")"
			}
			fmt.Fprintf(b, "| [%s](#%s) | %s | %s |\n", name, anchor(group), e.Summary, user)
		}
	}
	b.WriteString("\nEvents with a name in brackets come from that Rehive extension. The platform has no webhooks for them.\n")
}

func title(group []*platformevent.Event) string {
	names := make([]string, len(group))
	for i, e := range group {
		names[i] = e.Name
	}
	return strings.Join(names, ", ")
}

// anchor returns GitHub's anchor of a title.
func anchor(group []*platformevent.Event) string {
	return strings.NewReplacer(".", "", ",", "", " ", "-").Replace(title(group))
}

// shapes describes objects that several events share.
func shapes(b *bytes.Buffer) {
	for _, shape := range []struct{ event, field, title, text string }{
		{"address.create", "user", "Owner", "The user that a resource belongs to, at `user`."},
		{"user.email.verify", "user", "User", "The complete user: the data of `user.create` and `user.update`, and `user` in the events that ask a user to verify or confirm something."},
		{"transaction.create", "currency", "Currency", ""},
	} {
		found, _ := platformevent.Lookup(shape.event).Find(shape.field)
		fmt.Fprintf(b, "\n## %s\n\n", shape.title)
		if shape.text != "" {
			b.WriteString(shape.text + "\n\n")
		}
		table(b, found.Fields)
	}
}

func section(b *bytes.Buffer, group []*platformevent.Event) {
	e := group[0]
	fmt.Fprintf(b, "\n## %s\n\n", title(group))
	for _, one := range group {
		if one.Alias != "" {
			fmt.Fprintf(b, "Rehive's guide calls %s `%s`; use `%s` in rules.\n\n", one.Name, one.Alias, one.Name)
		}
	}
	var published []string
	for _, one := range group {
		if one.Source == platformevent.Published {
			published = append(published, one.Name)
		}
	}
	switch {
	case e.Source == platformevent.Assumed:
		b.WriteString("Not observed: the fields are those that the extension documents for the resource that the event seems to carry. There may be others.\n\n")
	case len(published) == len(group):
		b.WriteString("Not observed: the fields are those that Rehive documents for the resource.\n\n")
	case published != nil:
		fmt.Fprintf(b, "Not observed, but assumed to have the same fields: %s.\n\n", strings.Join(published, ", "))
	}
	for _, one := range group {
		if one.Original != "" {
			fmt.Fprintf(b, "%s also has `%s`, with the same fields before the change.\n\n", one.Name, one.Original)
		}
	}
	if e.User == "." {
		b.WriteString("The data is the [user](#user): write `{{ email }}`, not `{{ user.email }}`.\n")
		return
	}
	table(b, fields(e))
}

func table(b *bytes.Buffer, fields []platformevent.Field) {
	b.WriteString("| field | type | |\n|---|---|---|\n")
	rows(b, "", fields)
}

func rows(b *bytes.Buffer, prefix string, fields []platformevent.Field) {
	for i := range fields {
		f := &fields[i]
		var notes []string
		if f.Values != nil {
			notes = append(notes, "`"+strings.Join(f.Values, "`, `")+"`.")
		}
		if f.Note != "" {
			notes = append(notes, f.Note)
		}
		if f.Shape != "" {
			what := f.Shape
			if slices.Contains([]string{"owner", "user", "currency"}, f.Shape) {
				what = fmt.Sprintf("[%s](#%s)", f.Shape, f.Shape)
			}
			notes = append(notes, "See "+what+".")
		}
		if f.Newer {
			notes = append(notes, "Newer.")
		}
		kind := string(f.Kind)
		if f.Nullable {
			kind += " or null"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, f.Name, kind, strings.Join(notes, " "))
		if f.Shape != "" {
			continue
		}
		switch f.Kind {
		case platformevent.Object:
			rows(b, prefix+f.Name+".", f.Fields)
		case platformevent.List:
			rows(b, prefix+f.Name+".0.", f.Fields)
		}
	}
}
