// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
)

// sections are the kinds of a status page, in its order.
var sections = []struct{ kind, title string }{
	{"Deployment", "Operator"},
	{"ValidatingWebhookConfiguration", "Admission"},
	{"CompanyActivation", "Companies"},
	{"DeliveryProvider", "Providers"},
	{"NotificationRule", "Rules"},
	{"NotificationLayout", "Layouts"},
}

func (o *options) statusCommand() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "status",
		Short: "Show what works, what does not, and what to do",
		Args:  cobra.NoArgs,
	}
	connect := o.clusterFlags(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := checkFormat(format, "", "json", "yaml"); err != nil {
			return err
		}
		s, err := connect()
		if err != nil {
			return err
		}
		items, err := s.look(command.Context())
		if err != nil {
			return err
		}
		if encoded, err := encode(o.Out, format, items); err != nil {
			return err
		} else if !encoded {
			if err := o.printStatus(items); err != nil {
				return err
			}
		}
		return findingsIn(items)
	}
	command.Flags().StringVarP(&format, "output", "o", "", "print every object as json or yaml")
	return command
}

// findingsIn returns errFindings if something does not work.
func findingsIn(items []item) error {
	for i := range items {
		if !items[i].works() {
			return errFindings
		}
	}
	return nil
}

func (o *options) printStatus(items []item) error {
	p, err := o.paint()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	for _, section := range sections {
		counts, total, last := map[string]int{}, 0, ""
		for i := range items {
			if items[i].Kind == section.kind {
				counts[items[i].State]++
				total++
				last = items[i].Message
			}
		}
		text := "none"
		switch {
		case total == 1 && (section.kind == "Deployment" || section.kind == "ValidatingWebhookConfiguration"):
			text = last
		case total > 0:
			var parts []string
			for _, state := range []string{stateOK, stateWarning, stateWaiting, stateFailed} {
				if n := counts[state]; n > 0 {
					parts = append(parts, fmt.Sprintf("%d %s", n, state))
				}
			}
			text = strings.Join(parts, ", ")
		}
		fmt.Fprintf(table, "%s\t%s\n", section.title, check.Printable(text))
		if section.kind == "CompanyActivation" {
			printUse(table, items)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, group := range []struct {
		state, title string
		paint        func(string) string
	}{
		{stateFailed, "Does not work until somebody acts:", p.red},
		{stateWaiting, "Does not work yet:", p.yellow},
		{stateWarning, "Works, with warnings:", p.yellow},
	} {
		first := true
		for i := range items {
			it := &items[i]
			if it.State != group.state {
				continue
			}
			if first {
				first = false
				fmt.Fprintf(o.Out, "\n%s\n", group.paint(group.title))
			}
			fmt.Fprintf(o.Out, "  %s: %s: %s\n", p.bold(label(it)), it.Reason, check.Printable(it.Message))
		}
	}
	return nil
}

// printUse prints which company has used most of a quota, and the next token rotation.
func printUse(out io.Writer, items []item) {
	var most, next *item
	for i := range items {
		it := &items[i]
		if it.quotaShare > 0 && (most == nil || it.quotaShare > most.quotaShare) {
			most = it
		}
		if it.NextTokenRotation != nil && (next == nil || it.NextTokenRotation.Before(next.NextTokenRotation)) {
			next = it
		}
	}
	if most != nil {
		fmt.Fprintf(out, "Quotas\t%s used at most: %s/%s, %s today\n", percent(most.quotaShare), most.Namespace, most.Name, check.Printable(most.QuotaUse))
	}
	if next != nil {
		fmt.Fprintf(out, "Tokens\tnext rotation expected at %s: %s/%s\n", next.NextTokenRotation.UTC().Format(time.RFC3339), next.Namespace, next.Name)
	}
}

// percent rounds down, so that only a quota that is used up shows 100 %.
func percent(share float64) string { return fmt.Sprintf("%d %%", int64(100*share)) }

func label(it *item) string {
	name := it.Name
	if it.Namespace != "" {
		name = it.Namespace + "/" + name
	}
	return it.Kind + " " + strings.TrimSuffix(name, "*")
}

func (o *options) checkCommand() *cobra.Command {
	var wait bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "check",
		Short: "Check an installation, or wait until it works",
		Long: `Checks that the kinds are installed, the operator is available, the API server is configured
to ask it, and every company, provider, rule and layout works. With --wait, it waits until all
of that is true.`,
		Example: `  kubectl rehive check -n rehive-system --wait --timeout 5m`,
		Args:    cobra.NoArgs,
	}
	connect := o.clusterFlags(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		s, err := connect()
		if err != nil {
			return err
		}
		ctx := command.Context()
		if wait {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		return o.check(ctx, s, wait)
	}
	command.Flags().BoolVar(&wait, "wait", false, "wait until everything works")
	command.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait")
	return command
}

// checkPeriod is the pause between two looks at the cluster.
const checkPeriod = 2 * time.Second

// check prints the first result and, while it waits, each change. Errors of the API server
// count as not working yet while it waits.
func (o *options) check(ctx context.Context, s *scope, wait bool) error {
	p, err := o.paint()
	if err != nil {
		return err
	}
	printed := ""
	for {
		items, err := s.look(ctx)
		var text string
		if err != nil {
			text = p.red("FAIL") + " " + err.Error() + "\n"
		}
		for i := range items {
			it := &items[i]
			mark := p.green("ok  ")
			if !it.works() {
				mark = p.red("FAIL")
			}
			line := mark + " " + label(it)
			if it.State != stateOK {
				line += ": " + it.Reason + ": " + check.Printable(it.Message)
			}
			text += line + "\n"
		}
		if text != printed && ctx.Err() == nil {
			printed = text
			fmt.Fprint(o.Out, text)
		}
		if err == nil && findingsIn(items) == nil {
			fmt.Fprintln(o.Out, p.green("Everything works."))
			return nil
		}
		if !wait {
			if err != nil {
				return err
			}
			return errFindings
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(o.ErrOut, "Gave up waiting.")
			return errFindings
		case <-time.After(checkPeriod):
		}
	}
}

func (o *options) activationsCommand() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:     "activations",
		Aliases: []string{"activation"},
		Short:   "List the companies that activated the extension",
		Args:    cobra.NoArgs,
	}
	connect := o.clusterFlags(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := checkFormat(format, "", "wide", "json", "yaml"); err != nil {
			return err
		}
		s, err := connect()
		if err != nil {
			return err
		}
		list := &v1alpha1.CompanyActivationList{}
		if err := s.client.List(command.Context(), list, client.InNamespace(s.namespace)); err != nil {
			return fmt.Errorf("listing CompanyActivations: %w", err)
		}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("CompanyActivationList"))
		for i := range list.Items {
			list.Items[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("CompanyActivation"))
		}
		if encoded, err := encode(o.Out, format, list); encoded {
			return err
		}
		return o.printActivations(list, format == "wide")
	}
	command.Flags().StringVarP(&format, "output", "o", "", "output format: wide, json or yaml")
	return command
}

func (o *options) printActivations(list *v1alpha1.CompanyActivationList, wide bool) error {
	if len(list.Items) == 0 {
		fmt.Fprintln(o.ErrOut, "No company activated the extension.")
		return nil
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	head := "NAMESPACE\tNAME\tCOMPANY\tREADY\tREASON\tAGE"
	if wide {
		head += "\tQUOTAS\tTOKEN AGE\tNEXT ROTATION\tMESSAGE"
	}
	fmt.Fprintln(table, head)
	for i := range list.Items {
		a := &list.Items[i]
		ready := meta.FindStatusCondition(a.GetConditions(), v1alpha1.ReadyCondition)
		if ready == nil {
			ready = &metav1.Condition{Status: metav1.ConditionUnknown, Reason: "Pending", Message: "The operator has not processed it yet."}
		}
		row := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", a.Namespace, a.Name, a.Spec.Company, ready.Status, ready.Reason, duration.HumanDuration(time.Since(a.CreationTimestamp.Time)))
		if wide {
			row += "\t" + strings.Join([]string{check.Printable(orNone(a.Status.Activity.QuotaUse)), age(a.Status.Token.ReceivedTime), timestamp(a.Status.Token.NextRotationTime), check.Printable(ready.Message)}, "\t")
		}
		fmt.Fprintln(table, row)
	}
	return table.Flush()
}

// orNone, age and timestamp print values that may be unset as kubectl does.
func orNone(text string) string {
	if text == "" {
		return "<none>"
	}
	return text
}

func age(at *metav1.Time) string {
	if at == nil {
		return "<none>"
	}
	return duration.HumanDuration(time.Since(at.Time))
}

func timestamp(at *metav1.Time) string {
	if at == nil {
		return "<none>"
	}
	return at.UTC().Format(time.RFC3339)
}
