// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rehive/extension-operator/internal/platformevent"
)

// eventView is an event as -o json and -o yaml print it.
type eventView struct {
	Name      string          `json:"name"`
	Alias     string          `json:"alias,omitempty"`
	Extension string          `json:"extension,omitempty"`
	Summary   string          `json:"summary"`
	Source    string          `json:"source"`
	Fields    []fieldView     `json:"fields"`
	Sample    json.RawMessage `json:"sample"`
}

type fieldView struct {
	Path     string   `json:"path"`
	Kind     string   `json:"kind"`
	Nullable bool     `json:"nullable,omitempty"`
	Values   []string `json:"values,omitempty"`
	Note     string   `json:"note,omitempty"`
}

func (o *options) explainCommand() *cobra.Command {
	var format string
	var sample bool
	command := &cobra.Command{
		Use:   "explain [EVENT]",
		Short: "Describe the platform's events and their fields",
		Long:  "Lists the events that rules can name or, with the name of one, describes its fields.",
		Example: `  kubectl rehive explain
  kubectl rehive explain transaction.execute
  kubectl rehive explain transaction.execute --sample`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeEvents,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkFormat(format, "", "json", "yaml"); err != nil {
				return err
			}
			if len(args) == 0 {
				return o.listEvents(format)
			}
			event := platformevent.Lookup(args[0])
			if event == nil {
				if nearest := platformevent.Nearest(args[0]); nearest != "" {
					return fmt.Errorf("no event %s is known: did you mean %s?", args[0], nearest)
				}
				return fmt.Errorf("no event %s is known: kubectl rehive explain lists all of them", args[0])
			}
			if sample {
				var indented bytes.Buffer
				if err := json.Indent(&indented, event.Sample(), "", "  "); err != nil {
					return fmt.Errorf("reading the sample: %w", err)
				}
				fmt.Fprintln(o.Out, strings.TrimSpace(indented.String()))
				return nil
			}
			return o.explain(event, format)
		},
	}
	command.Flags().StringVarP(&format, "output", "o", "", "print the event as json or yaml, with its sample")
	command.Flags().BoolVar(&sample, "sample", false, "print an example of the event's data")
	return command
}

func completeEvents(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		for _, e := range platformevent.All() {
			names = append(names, e.Name+"\t"+e.Summary)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func view(e *platformevent.Event) eventView {
	v := eventView{Name: e.Name, Alias: e.Alias, Extension: e.Extension, Summary: e.Summary, Source: string(e.Source), Sample: e.Sample()}
	var walk func(prefix string, fields []platformevent.Field)
	walk = func(prefix string, fields []platformevent.Field) {
		for i := range fields {
			f := &fields[i]
			values := f.Values
			if values == nil {
				values = f.Common
			}
			v.Fields = append(v.Fields, fieldView{Path: prefix + f.Name, Kind: string(f.Kind), Nullable: f.Nullable, Values: values, Note: f.Note})
			switch {
			case prefix == "" && f.Name == e.Original: // it has the same fields
			case f.Kind == platformevent.Object:
				walk(prefix+f.Name+".", f.Fields)
			case f.Kind == platformevent.List:
				walk(prefix+f.Name+".0.", f.Fields)
			}
		}
	}
	walk("", e.Fields)
	return v
}

func (o *options) listEvents(format string) error {
	var views []eventView
	for _, e := range platformevent.All() {
		views = append(views, view(e))
	}
	if encoded, err := encode(o.Out, format, views); encoded {
		return err
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSUMMARY")
	for i := range views {
		fmt.Fprintf(table, "%s\t%s\n", views[i].Name, views[i].Summary)
	}
	return table.Flush()
}

func (o *options) explain(event *platformevent.Event, format string) error {
	v := view(event)
	if encoded, err := encode(o.Out, format, v); encoded {
		return err
	}
	p, err := o.paint()
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s\n%s\n", p.bold(v.Name), v.Summary)
	if v.Alias != "" {
		fmt.Fprintf(o.Out, "Rehive's guides also call it %s.\n", v.Alias)
	}
	if v.Extension != "" {
		fmt.Fprintf(o.Out, "It is an event of Rehive's %s extension: the platform itself sends no webhook for it.\n", v.Extension)
	}
	switch event.Source {
	case platformevent.Published:
		fmt.Fprintln(o.Out, "The fields are derived from the types that the platform publishes; no event was seen.")
	case platformevent.Assumed:
		fmt.Fprintln(o.Out, "The fields are assumed; others may exist.")
	case platformevent.Observed:
	}
	fmt.Fprintln(o.Out)
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "FIELD\tTYPE\tNOTES")
	for i := range v.Fields {
		f := &v.Fields[i]
		var notes []string
		if len(f.Values) > 0 {
			notes = append(notes, strings.Join(f.Values, ", "))
		}
		if f.Note != "" {
			notes = append(notes, f.Note)
		}
		if f.Nullable {
			notes = append(notes, "may be null")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Path, f.Kind, strings.Join(notes, "; "))
	}
	fmt.Fprintln(table, "context.company\tobject\tid, name, system_email, logo, website, support_email")
	return table.Flush()
}
