// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/notify"
)

// finding is one mistake or warning, as -o json and -o yaml print it.
type finding struct {
	File      string `json:"file"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Severity  string `json:"severity"`
	Field     string `json:"field,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	Message   string `json:"message"`

	text string // the message with its place, and the line below it
}

// Values of finding.Severity.
const (
	severityError   = "error"
	severityWarning = "warning"
)

func (o *options) lintCommand() *cobra.Command {
	var format string
	var strict bool
	command := &cobra.Command{
		Use:   "lint FILE|DIRECTORY...",
		Short: "Check rules, layouts and templates in files",
		Long: `Checks the templates, expressions, layouts and tests of rules, and warns about probable
mistakes, as the operator does when they are applied. Layouts are looked up in the same files;
a layout that is not there is a warning. It does not check the schema of the kinds beyond
unknown fields: kubectl apply --dry-run=server does.`,
		Example: `  kubectl rehive lint rules/
  kustomize build overlays/shop | kubectl rehive lint -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkFormat(format, "", "json", "yaml"); err != nil {
				return err
			}
			paint, err := o.paint()
			if err != nil {
				return err
			}
			all, err := o.read(args)
			if err != nil {
				return err
			}
			findings := []finding{}
			for i := range all {
				findings = append(findings, lintDocument(command.Context(), &all[i], all)...)
			}
			if encoded, err := encode(o.Out, format, findings); err != nil {
				return err
			} else if !encoded {
				o.printFindings(paint, findings, len(all))
			}
			for i := range findings {
				if strict || findings[i].Severity == severityError {
					return errFindings
				}
			}
			return nil
		},
	}
	command.Flags().StringVarP(&format, "output", "o", "", "print the findings as json or yaml")
	command.Flags().BoolVar(&strict, "strict", false, "exit with 1 also for warnings")
	return command
}

// lintDocument checks one object.
func lintDocument(ctx context.Context, d *document, all []document) []finding {
	base := finding{File: d.file, Kind: d.kind, Namespace: d.namespace, Name: d.name}
	if d.err != nil {
		base.Severity, base.Message, base.text = severityError, d.err.Error(), check.Printable(d.err.Error())
		return []finding{base}
	}
	report := checkDocument(ctx, d, all)
	var findings []finding
	add := func(severity string, problems notify.Problems) {
		for i := range problems {
			p := &problems[i]
			f := base
			f.Severity, f.Field, f.Line, f.Column, f.Message = severity, p.Field, p.Line, p.Column, p.Message
			f.text = check.Printable(p.Error())
			if excerpt := report.Excerpt(p); excerpt != "" {
				f.text += "\n" + excerpt
			}
			findings = append(findings, f)
		}
	}
	errors := report.Problems
	if channels(d) != 1 && len(errors) == 0 {
		errors = notify.Problems{{Field: "spec", Message: "exactly one channel must be set: email, sms, push or system"}}
	}
	if p := report.Compiled.LayoutProblem; p != nil && p.Missing {
		add(severityError, errors)
		add(severityWarning, notify.Problems{{Field: p.Problem().Field, Message: "the NotificationLayout " + d.rule.Spec.Layout() + " is not in these files"}})
	} else if p != nil {
		add(severityError, append(errors[:len(errors):len(errors)], p.Problem()))
	} else {
		add(severityError, append(errors[:len(errors):len(errors)], report.FailedTests()...))
	}
	if report.Tests.Unfinished {
		add(severityWarning, notify.Problems{{Field: "spec.tests", Message: "the tests take too long and were not all run"}})
	}
	add(severityWarning, report.Warnings)
	return findings
}

func checkDocument(ctx context.Context, d *document, all []document) *check.Report {
	switch {
	case d.rule != nil:
		return check.Rule(ctx, d.rule, layoutOf(d.rule, all), notify.CompileLayout)
	case d.layout != nil:
		return check.Layout(d.layout)
	}
	return check.Template(ctx, d.template)
}

// channels returns how many channels an object sets; 1 for a layout.
func channels(d *document) int {
	var spec v1alpha1.NotificationRuleSpec
	switch {
	case d.rule != nil:
		spec = d.rule.Spec
	case d.template != nil:
		spec = d.template.RuleSpec("company")
	default:
		return 1
	}
	n := 0
	for _, set := range []bool{spec.Email != nil, spec.SMS != nil, spec.Push != nil, spec.System != nil} {
		if set {
			n++
		}
	}
	return n
}

func (o *options) printFindings(p paint, findings []finding, objects int) {
	last, errors, warnings := "", 0, 0
	for i := range findings {
		f := &findings[i]
		if head := f.File + ": " + strings.TrimSpace(f.Kind+" "+f.Name); head != last {
			last = head
			fmt.Fprintln(o.Out, p.bold(check.Printable(head)))
		}
		label := p.red("error:  ")
		if f.Severity == severityWarning {
			label, warnings = p.yellow("warning:"), warnings+1
		} else {
			errors++
		}
		fmt.Fprintf(o.Out, "  %s %s\n", label, strings.ReplaceAll(f.text, "\n", "\n  "))
	}
	summary := fmt.Sprintf("%s checked: %s, %s", count(objects, "object"), count(errors, "error"), count(warnings, "warning"))
	if errors > 0 {
		summary = p.red(summary)
	} else {
		summary = p.green(summary)
	}
	fmt.Fprintln(o.Out, summary)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
