// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/ruletest"
)

// previewView is the result of a rule for an event, as -o json and -o yaml print it.
type previewView struct {
	Rule       string           `json:"rule"`
	Event      string           `json:"event"`
	Expression string           `json:"expression,omitempty"`
	Messages   []previewMessage `json:"messages"`
	NotSent    []previewNotSent `json:"notSent,omitempty"`
	Warnings   []string         `json:"warnings,omitempty"`
}

type previewMessage struct {
	Channel    string   `json:"channel"`
	Recipients []string `json:"recipients"`
	From       string   `json:"from,omitempty"`
	Subject    string   `json:"subject,omitempty"`
	Text       string   `json:"text"`
	HTML       string   `json:"html,omitempty"`
}

type previewNotSent struct {
	Channel   string `json:"channel,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail,omitempty"`
}

func (o *options) previewCommand() *cobra.Command {
	var paths []string
	var format, sample, changes, data string
	var digest bool
	command := &cobra.Command{
		Use:   "preview -f FILE|DIRECTORY [NAME]",
		Short: "Show the messages of a rule for an event, without sending them",
		Long: `Evaluates a rule or template for an event and prints the messages. The event is the sample of
the rule's own event unless --event or --data is set. Nothing is sent, and no cluster is
needed. The company is always Northwind.

With --digest, the message is the digest of the rule's throttle, as if the event had been
collected three times.`,
		Example: `  kubectl rehive preview -f rule.yaml
  kubectl rehive preview -f rules/ payment-received --changes '{"amount": 2500}'
  kubectl rehive preview -f rule.yaml --data @event.json -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkFormat(format, "", "json", "yaml"); err != nil {
				return err
			}
			all, err := o.read(paths)
			if err != nil {
				return err
			}
			chosen, err := choose(all, args)
			if err != nil {
				return err
			}
			event := v1alpha1.RuleTestEvent{Sample: sample}
			if event.Changes, err = argument("changes", changes); err != nil {
				return err
			}
			if event.Data, err = argument("data", data); err != nil {
				return err
			}
			if event.Changes != nil && event.Data != nil {
				return errors.New("--changes and --data can't be combined: --data is the whole event")
			}
			report := checkDocument(command.Context(), chosen, all)
			if text := report.Explanation(); len(report.Problems) > 0 || report.Compiled.LayoutProblem != nil {
				return errors.New(check.Printable(text))
			}
			var name string
			if chosen.rule != nil {
				name = chosen.rule.Spec.Event
			} else {
				name = chosen.template.Spec.Event
			}
			var trial *ruletest.Trial
			if digest {
				trial, err = ruletest.TryDigest(command.Context(), &event, name, &report.Compiled, 3)
			} else {
				trial, err = ruletest.Try(command.Context(), &event, name, &report.Compiled)
			}
			if err != nil {
				return err
			}
			v := viewOf(chosen, trial, report)
			if encoded, err := encode(o.Out, format, v); encoded {
				return err
			}
			return o.printPreview(&v)
		},
	}
	command.Flags().StringArrayVarP(&paths, "filename", "f", nil, "file or directory with the rule and its layout, or - for the standard input; can be repeated")
	command.Flags().StringVarP(&format, "output", "o", "", "print the result as json or yaml")
	command.Flags().StringVar(&sample, "event", "", "name of the event whose sample is used")
	command.Flags().StringVar(&changes, "changes", "", "changes to the sample as JSON or YAML, or @ and a file")
	command.Flags().StringVar(&data, "data", "", "data of the event as JSON or YAML, or @ and a file, instead of a sample")
	command.Flags().BoolVar(&digest, "digest", false, "preview the digest of the rule's throttle")
	_ = command.RegisterFlagCompletionFunc("event", completeEvents)
	return command
}

// choose returns the rule or template that is meant.
func choose(all []document, args []string) (*document, error) {
	var found []*document
	var names []string
	for i := range all {
		d := &all[i]
		if d.layout != nil || len(args) == 1 && d.name != args[0] {
			continue
		}
		found, names = append(found, d), append(names, d.name)
	}
	switch {
	case len(found) == 0:
		return nil, errors.New("there is no such NotificationRule or NotificationTemplate in the files")
	case len(found) > 1:
		return nil, fmt.Errorf("there are several rules: name one of %s", strings.Join(names, ", "))
	case found[0].err != nil:
		return nil, found[0].err
	}
	return found[0], nil
}

// argument reads a flag that is JSON or YAML, or @ and the name of a file with it.
func argument(flag, value string) (*runtime.RawExtension, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // it is not set
	}
	content := []byte(value)
	if name, is := strings.CutPrefix(value, "@"); is {
		var err error
		if content, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
	}
	raw, err := yaml.YAMLToJSON(content)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, sentence(err))
	}
	return &runtime.RawExtension{Raw: raw}, nil
}

func viewOf(d *document, trial *ruletest.Trial, report *check.Report) previewView {
	v := previewView{Rule: d.name, Event: trial.Event, Expression: trial.Expression.Text, Messages: []previewMessage{}}
	var email notify.Problems
	for i := range trial.Messages {
		m := &trial.Messages[i]
		if n := len(v.Messages); n > 0 && v.Messages[n-1].Channel == string(m.Channel) {
			v.Messages[n-1].Recipients = append(v.Messages[n-1].Recipients, m.Recipient)
			continue
		}
		v.Messages = append(v.Messages, previewMessage{
			Channel: string(m.Channel), Recipients: []string{m.Recipient}, From: m.From, Subject: m.Subject, Text: m.Text, HTML: m.HTML,
		})
		email = append(email, report.Message(m.HTML)...)
	}
	for _, not := range trial.NotSent {
		v.NotSent = append(v.NotSent, previewNotSent{string(not.Channel), not.Recipient, string(not.Reason), not.Detail})
	}
	for i := range report.Warnings {
		v.Warnings = append(v.Warnings, report.Warnings[i].Error())
	}
	for i := range email {
		v.Warnings = append(v.Warnings, email[i].Error())
	}
	for _, path := range trial.Missing {
		v.Warnings = append(v.Warnings, "the event's data has no "+path)
	}
	return v
}

func (o *options) printPreview(v *previewView) error {
	p, err := o.paint()
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s on %s\n", p.bold(check.Printable(v.Rule)), check.Printable(v.Event))
	if v.Expression != "" {
		fmt.Fprintln(o.Out, "Expression: "+check.Printable(v.Expression))
	}
	for i := range v.Messages {
		m := &v.Messages[i]
		fmt.Fprintf(o.Out, "\n%s\n", p.green(m.Channel+" to "+check.Printable(strings.Join(m.Recipients, ", "))))
		for _, line := range [][2]string{{"From", m.From}, {"Subject", m.Subject}} {
			if line[1] != "" {
				fmt.Fprintf(o.Out, "%s: %s\n", line[0], check.Printable(line[1]))
			}
		}
		fmt.Fprintf(o.Out, "\n%s\n", check.Printable(strings.TrimRight(m.Text, "\n")))
		if m.HTML != "" {
			fmt.Fprintf(o.Out, "\n%s\n%s\n", p.bold("HTML"), check.Printable(strings.TrimRight(m.HTML, "\n")))
		}
	}
	for _, not := range v.NotSent {
		label := "Not sent: "
		if not.Channel != "" {
			label = "Not sent by " + not.Channel + ": "
		}
		fmt.Fprintln(o.Out, p.yellow(notify.Sentence(strings.TrimSuffix(label+not.Reason+", "+check.Printable(not.Detail), ", "))))
	}
	for _, w := range v.Warnings {
		fmt.Fprintln(o.Out, p.yellow("warning: ")+check.Printable(w))
	}
	return nil
}
