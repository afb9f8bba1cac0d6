// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/clusterapi"
)

func (o *options) suppressionsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "suppressions",
		Short: "Show and change which recipients receive no messages",
		Long: `Shows the recipients that receive none of a company's messages, with the reason, and adds
and removes some. The output of list with -o yaml or -o json is complete.

You need permission to request tokens of the service accounts cli-viewer or, to change
something, cli-editor in the company's namespace, and to use the proxy of the operator's
Service.`,
		Example: `  kubectl rehive suppressions list -n team-a --channel email
  kubectl rehive suppressions list -A -o yaml
  kubectl rehive suppressions add email jo@example.com -n team-a --note "asked by phone"
  kubectl rehive suppressions remove 17 18 -n team-a`,
	}
	command.AddCommand(o.listSuppressionsCommand(), o.addSuppressionCommand(), o.removeSuppressionsCommand())
	return command
}

func (o *options) listSuppressionsCommand() *cobra.Command {
	var query clusterapi.SuppressionQuery
	var company, format string
	command := &cobra.Command{
		Use: "list", Short: "Show the suppressed recipients, the newest first", Args: cobra.NoArgs,
	}
	connect := o.operatorFlags(command)
	flags := command.Flags()
	flags.StringVar(&query.Channel, "channel", "", "only recipients of this channel: email, sms or push")
	flags.StringVar(&query.Reason, "reason", "", "only recipients that are suppressed for this reason: HardBounce, DeadToken, SpamComplaint, Stop or Manual")
	flags.StringVar(&query.Recipient, "recipient", "", "only this address, number or user")
	flags.StringVar(&company, "company", "", "only recipients of this company")
	flags.StringVarP(&format, "output", "o", "", "output format: wide, json or yaml")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := checkFormat(format, "", "wide", "json", "yaml"); err != nil {
			return err
		}
		op, err := connect(command.Context())
		if err != nil {
			return err
		}
		targets, err := op.targets(command.Context(), company)
		if err != nil {
			return err
		}
		all := []clusterapi.Suppression{}
		for _, target := range targets {
			query.Target = target
			found, err := op.suppressions(command.Context(), query)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		return o.printSuppressions(format, all)
	}
	return command
}

// suppressions reads all pages.
func (op *operator) suppressions(ctx context.Context, query clusterapi.SuppressionQuery) (found []clusterapi.Suppression, err error) {
	for {
		var page clusterapi.SuppressionList
		if err := op.call(ctx, clusterapi.ListSuppressions, query, &page); err != nil {
			return nil, err
		}
		found = append(found, page.Suppressions...)
		if !page.More || len(page.Suppressions) == 0 {
			return found, nil
		}
		query.After = page.Suppressions[len(page.Suppressions)-1].ID
	}
}

func (o *options) printSuppressions(format string, all []clusterapi.Suppression) error {
	if encoded, err := encode(o.Out, format, clusterapi.SuppressionList{Suppressions: all}); encoded {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(o.ErrOut, "No suppressions found.")
		return nil
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	head := "ID\tCHANNEL\tRECIPIENT\tREASON\tSINCE\tUNTIL"
	if format == "wide" {
		head += "\tCOMPANY\tSOURCE\tDEVICE\tNOTE"
	}
	fmt.Fprintln(table, head)
	for i := range all {
		s := &all[i]
		until := "-"
		if !s.Until.IsZero() {
			until = s.Until.Local().Format(time.RFC3339)
		}
		row := strconv.FormatInt(s.ID, 10)
		columns := []string{s.Channel, check.Printable(s.Recipient), s.Reason, s.Since.Local().Format(time.RFC3339), until}
		if format == "wide" {
			columns = append(columns, check.Printable(s.Company), s.Source, orDash(s.Device), orDash(s.Note))
		}
		for _, column := range columns {
			row += "\t" + column
		}
		fmt.Fprintln(table, row)
	}
	return table.Flush()
}

func (o *options) addSuppressionCommand() *cobra.Command {
	var request clusterapi.NewSuppression
	var company string
	command := &cobra.Command{
		Use: "add CHANNEL RECIPIENT", Short: "Send a recipient none of a company's messages",
		Long: "Suppresses an email address, a phone number in international format or, for push, the\nidentifier of a user on Rehive, until somebody removes the suppression.",
		Args: cobra.ExactArgs(2),
	}
	connect := o.operatorFlags(command)
	command.Flags().StringVar(&company, "company", "", "the company, if the namespace has several")
	command.Flags().StringVar(&request.Note, "note", "", "remark, of at most 250 characters")
	command.RunE = func(command *cobra.Command, args []string) error {
		op, err := connect(command.Context())
		if err != nil {
			return err
		}
		if request.Target, err = op.target(command.Context(), company); err != nil {
			return err
		}
		request.Channel, request.Recipient = args[0], args[1]
		var added clusterapi.AddedSuppression
		if err := op.call(command.Context(), clusterapi.AddSuppression, request, &added); err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "%s receives no %s messages of %s.\n", check.Printable(added.Recipient), request.Channel, check.Printable(added.Company))
		return nil
	}
	return command
}

func (o *options) removeSuppressionsCommand() *cobra.Command {
	var request clusterapi.SuppressionRemoval
	var company string
	command := &cobra.Command{
		Use: "remove ID…", Short: "Let suppressed recipients receive messages again", Args: cobra.MinimumNArgs(1),
	}
	connect := o.operatorFlags(command)
	command.Flags().StringVar(&company, "company", "", "the company, if the namespace has several")
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		if request.IDs, err = parseIDs("suppression", "kubectl rehive suppressions list", args); err != nil {
			return err
		}
		op, err := connect(command.Context())
		if err != nil {
			return err
		}
		if request.Target, err = op.target(command.Context(), company); err != nil {
			return err
		}
		var done clusterapi.RemovedSuppressions
		if err := op.call(command.Context(), clusterapi.RemoveSuppressions, request, &done); err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "Removed %s.\n", count(len(done.Removed), "suppression"))
		for _, id := range done.Unknown {
			fmt.Fprintf(o.ErrOut, "suppression %d: There is no such suppression.\n", id)
		}
		if len(done.Unknown) > 0 {
			return errFindings
		}
		return nil
	}
	return command
}
