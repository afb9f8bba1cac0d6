// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
)

// testResult is one test of an object.
type testResult struct {
	File    string `json:"file"`
	Kind    string `json:"kind"`
	Object  string `json:"object"`
	Test    string `json:"test"`
	Passed  bool   `json:"passed"`
	Message string `json:"message,omitempty"`
	Diff    string `json:"diff,omitempty"`
}

func (o *options) testCommand() *cobra.Command {
	var paths []string
	var format, junit string
	command := &cobra.Command{
		Use:   "test -f FILE|DIRECTORY",
		Short: "Run the tests of rules and templates in files",
		Long: `Runs spec.tests of the rules and templates in files, without a cluster. Layouts are looked
up in the same files. An object that can't work, or whose layout is missing, counts as a test
that fails if it has tests.`,
		Example: `  kubectl rehive test -f rules/
  kubectl rehive test -f rules/ --junit report.xml`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkFormat(format, "", "json", "yaml"); err != nil {
				return err
			}
			paint, err := o.paint()
			if err != nil {
				return err
			}
			start := time.Now()
			all, err := o.read(append(paths, args...))
			if err != nil {
				return err
			}
			results := []testResult{}
			for i := range all {
				d := &all[i]
				if d.err != nil {
					results = append(results, testResult{File: d.file, Kind: d.kind, Object: d.name, Message: check.Printable(d.err.Error())})
					continue
				}
				results = append(results, testDocument(d, checkDocument(command.Context(), d, all))...)
			}
			if junit != "" {
				if err := writeJUnit(junit, results, time.Since(start)); err != nil {
					return err
				}
			}
			if encoded, err := encode(o.Out, format, results); err != nil {
				return err
			} else if !encoded {
				o.printTests(paint, results)
			}
			for i := range results {
				if !results[i].Passed {
					return errFindings
				}
			}
			return nil
		},
	}
	command.Flags().StringArrayVarP(&paths, "filename", "f", nil, "file or directory with rules, layouts and templates, or - for the standard input; can be repeated")
	command.Flags().StringVarP(&format, "output", "o", "", "print the results as json or yaml")
	command.Flags().StringVar(&junit, "junit", "", "also write the results to this file, in JUnit's format")
	return command
}

// testDocument returns the results of an object's tests.
func testDocument(d *document, report *check.Report) []testResult {
	var tests []v1alpha1.RuleTest
	switch {
	case d.rule != nil:
		tests = d.rule.Spec.Tests
	case d.template != nil:
		tests = d.template.Spec.Tests
	}
	results := make([]testResult, len(tests))
	for i := range tests {
		results[i] = testResult{File: d.file, Kind: d.kind, Object: d.name, Test: tests[i].Name, Passed: true}
		switch {
		case report.Tests.Tests == 0:
			results[i].Passed, results[i].Message = false, check.Printable(report.Refusal())
		case report.Tests.Unfinished:
			results[i].Passed, results[i].Message = false, "The tests of the object take too long."
		}
	}
	for i := range report.Tests.Failures {
		f := &report.Tests.Failures[i]
		r := &results[f.Index]
		r.Passed, r.Message, r.Diff = false, check.Printable(f.Message), check.Printable(f.Diff)
	}
	return results
}

func (o *options) printTests(p paint, results []testResult) {
	failed, last := 0, ""
	for i := range results {
		r := &results[i]
		if head := r.File + ": " + r.Kind + " " + r.Object; head != last {
			last = head
			fmt.Fprintln(o.Out, p.bold(check.Printable(head)))
		}
		if r.Passed {
			fmt.Fprintf(o.Out, "  %s %s\n", p.green("ok  "), check.Printable(r.Test))
			continue
		}
		failed++
		fmt.Fprintf(o.Out, "  %s %s\n       %s\n", p.red("FAIL"), check.Printable(r.Test), r.Message)
		for line := range strings.SplitSeq(r.Diff, "\n") {
			switch {
			case strings.HasPrefix(line, "- "):
				fmt.Fprintln(o.Out, "       "+p.red(line))
			case strings.HasPrefix(line, "+ "):
				fmt.Fprintln(o.Out, "       "+p.green(line))
			}
		}
	}
	summary := fmt.Sprintf("%s: %d passed, %d failed", count(len(results), "test"), len(results)-failed, failed)
	if failed > 0 {
		fmt.Fprintln(o.Out, p.red(summary))
	} else {
		fmt.Fprintln(o.Out, p.green(summary))
	}
}

// JUnit's format as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Classname string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Failure   *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeJUnit(path string, results []testResult, took time.Duration) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return errors.Join(encodeJUnit(file, results, took), file.Close())
}

func encodeJUnit(out io.Writer, results []testResult, took time.Duration) error {
	suites := junitSuites{Time: fmt.Sprintf("%.3f", took.Seconds())}
	for i := range results {
		r := &results[i]
		name := r.Kind + " " + r.Object
		if n := len(suites.Suites); n == 0 || suites.Suites[n-1].Name != name {
			suites.Suites = append(suites.Suites, junitSuite{Name: name})
		}
		suite := &suites.Suites[len(suites.Suites)-1]
		c := junitCase{Name: r.Test, Classname: name, File: r.File}
		if !r.Passed {
			c.Failure = &junitFailure{Message: r.Message, Text: r.Diff}
			suite.Failures++
			suites.Failures++
		}
		suite.Cases = append(suite.Cases, c)
		suite.Tests++
		suites.Tests++
	}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	encoder := xml.NewEncoder(out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suites); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return nil
}
