// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

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
  kubectl rehive suppressions import team-a.yaml -n team-a --yes
  kubectl rehive suppressions remove 17 18 -n team-a`,
	}
	command.AddCommand(o.listSuppressionsCommand(), o.addSuppressionCommand(), o.importSuppressionsCommand(), o.removeSuppressionsCommand())
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
	command := &cobra.Command{
		Use: "add CHANNEL RECIPIENT", Short: "Send a recipient none of a company's messages",
		Long: "Suppresses an email address, a phone number in international format or, for push, the\nidentifier of a user on Rehive, until somebody removes the suppression.",
		Args: cobra.ExactArgs(2),
	}
	connect := o.companyFlags(command)
	command.Flags().StringVar(&request.Note, "note", "", "remark, of at most 250 characters")
	command.RunE = func(command *cobra.Command, args []string) error {
		op, target, err := connect(command.Context())
		if err != nil {
			return err
		}
		request.Target, request.Channel, request.Recipient = target, args[0], args[1]
		var added clusterapi.AddedSuppression
		if err := op.call(command.Context(), clusterapi.AddSuppression, request, &added); err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "%s receives no %s messages of %s.\n", check.Printable(added.Recipient), request.Channel, check.Printable(added.Company))
		return nil
	}
	return command
}

// maxImport bounds one request of an import, in bytes of JSON; the operator reads 64 KiB.
const maxImport = 48 << 10

func (o *options) importSuppressionsCommand() *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use: "import FILE", Short: "Add the suppressions of an export", Args: cobra.ExactArgs(1),
		Long: `Adds the suppressions that list -o yaml or -o json printed to a company, from a file or,
with -, from the standard input. Those that the company has already stay as they are. Channel,
recipient, device, reason, source, note and end are kept; a suppression begins at its import,
and one that has ended is not added.

Without --yes, the command only shows what it would add.`,
	}
	connect := o.companyFlags(command)
	command.Flags().BoolVarP(&yes, "yes", "y", false, "add the suppressions")
	command.RunE = func(command *cobra.Command, args []string) error {
		entries, invalid, err := o.readSuppressions(args[0])
		if err != nil {
			return err
		}
		op, target, err := connect(command.Context())
		if err != nil {
			return err
		}
		return o.importSuppressions(command.Context(), op, target, entries, invalid, yes)
	}
	return command
}

// numbered is a suppression of a file.
type numbered struct {
	clusterapi.Suppression

	number, size int
}

// readSuppressions reads an export. invalid are sentences about entries that can't be read.
func (o *options) readSuppressions(path string) (entries []numbered, invalid []string, err error) {
	name, content, err := o.readFile(path)
	if err != nil {
		return nil, nil, err
	}
	var list struct {
		Suppressions []json.RawMessage `json:"suppressions"`
	}
	if err := yaml.Unmarshal(content, &list); err != nil {
		return nil, nil, fmt.Errorf("%s is not a list of suppressions as kubectl rehive suppressions list -o yaml prints it: %w", name, err)
	}
	if list.Suppressions == nil {
		return nil, nil, fmt.Errorf("%s has no list named suppressions: export one with kubectl rehive suppressions list -o yaml", name)
	}
	for i, raw := range list.Suppressions {
		entry := numbered{number: i + 1, size: len(raw)}
		err := decodeJSON(raw, &entry.Suppression)
		switch {
		case err != nil:
			invalid = append(invalid, fmt.Sprintf("suppression %d: It can't be read: %s.", entry.number, check.Printable(strings.ReplaceAll(err.Error(), "\n", ", "))))
		case entry.size > maxImport/8:
			invalid = append(invalid, fmt.Sprintf("suppression %d: It is too long.", entry.number))
		default:
			entries = append(entries, entry)
		}
	}
	return entries, invalid, nil
}

// importSuppressions adds suppressions in requests that the operator accepts, or says what they
// would add.
func (o *options) importSuppressions(ctx context.Context, op *operator, target clusterapi.Target, entries []numbered, invalid []string, yes bool) error {
	added, present := 0, 0
	for len(entries) > 0 {
		request := clusterapi.SuppressionImport{Target: target, DryRun: !yes}
		n, size := 0, 0
		for n < len(entries) && n < clusterapi.MaxIDs && (n == 0 || size+entries[n].size <= maxImport) {
			request.Suppressions = append(request.Suppressions, entries[n].Suppression)
			size += entries[n].size
			n++
		}
		var done clusterapi.ImportedSuppressions
		if err := op.call(ctx, clusterapi.ImportSuppressions, request, &done); err != nil {
			if added > 0 && yes {
				return fmt.Errorf("after %s that were added: %w", count(added, "suppression"), err)
			}
			return err
		}
		if len(done.Results) != n {
			return fmt.Errorf("the operator answered about %d suppressions instead of %d", len(done.Results), n)
		}
		for i, result := range done.Results {
			switch {
			case result.Problem != "":
				invalid = append(invalid, fmt.Sprintf("suppression %d (%s): %s", entries[i].number, check.Printable(entries[i].Recipient), check.Printable(result.Problem)))
			case result.Added:
				added++
			default:
				present++
			}
		}
		entries = entries[n:]
	}
	verb := "Added"
	if !yes {
		verb = "Would add"
	}
	fmt.Fprintf(o.Out, "%s %s; %d existed already.\n", verb, count(added, "suppression"), present)
	for _, sentence := range invalid {
		fmt.Fprintln(o.ErrOut, sentence)
	}
	switch {
	case !yes && added > 0:
		fmt.Fprintln(o.ErrOut, "Nothing was added. Repeat the command with --yes to add them.")
		return errFindings
	case len(invalid) > 0:
		return errFindings
	}
	return nil
}

func (o *options) removeSuppressionsCommand() *cobra.Command {
	var request clusterapi.SuppressionRemoval
	command := &cobra.Command{
		Use: "remove ID…", Short: "Let suppressed recipients receive messages again", Args: cobra.MinimumNArgs(1),
	}
	connect := o.companyFlags(command)
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		if request.IDs, err = parseIDs("suppression", "kubectl rehive suppressions list", args); err != nil {
			return err
		}
		op, target, err := connect(command.Context())
		if err != nil {
			return err
		}
		request.Target = target
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
