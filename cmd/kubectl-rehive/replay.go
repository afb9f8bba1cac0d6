// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/clusterapi"
)

// replay is what the command replay was asked for.
type replay struct {
	request                        clusterapi.Replay
	since                          time.Duration
	format                         string
	failed, cancelled, quarantined bool
	yes                            bool
}

func (o *options) replayCommand() *cobra.Command {
	r := &replay{}
	command := &cobra.Command{
		Use:   "replay ID… | --failed | --quarantined | --cancelled",
		Short: "Send messages again, or release what is quarantined",
		Long: `Sends messages again, by the IDs that kubectl rehive logs shows, or all that are failed,
cancelled or quarantined. A message that was sent already is sent once more, as a copy.
Quarantined events are evaluated again.

Many messages are sent only with --yes; without it, the command shows how many there are.

You need permission to request tokens of the service account cli-editor in the company's
namespace, and to use the proxy of the operator's Service. The operator logs who sent what.`,
		Example: `  kubectl rehive replay -n team-a 4711
  kubectl rehive replay -n team-a --failed --rule payment --since 2h --yes
  kubectl rehive replay -n team-a --quarantined --yes`,
	}
	connect := o.companyFlags(command)
	selectionFlags(command, &r.request.Selection, &r.since)
	flags := command.Flags()
	flags.BoolVar(&r.failed, "failed", false, "send all failed messages")
	flags.BoolVar(&r.cancelled, "cancelled", false, "send all cancelled messages")
	flags.BoolVar(&r.quarantined, "quarantined", false, "release everything that is quarantined")
	flags.BoolVar(&r.request.DryRun, "dry-run", false, "only show what would be sent")
	flags.BoolVarP(&r.yes, "yes", "y", false, "send many messages")
	flags.StringVarP(&r.format, "output", "o", "", "output format: json or yaml")
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		if err := checkFormat(r.format, "", "json", "yaml"); err != nil {
			return err
		}
		if r.request.IDs, err = parseIDs("message", "kubectl rehive logs", args); err != nil {
			return err
		}
		for state, chosen := range map[string]bool{"failed": r.failed, "cancelled": r.cancelled, "quarantined": r.quarantined} {
			if chosen {
				r.request.States = append(r.request.States, state)
			}
		}
		if (len(r.request.IDs) == 0) == (len(r.request.States) == 0) {
			return errors.New("name messages by their IDs, or choose --failed, --cancelled or --quarantined")
		}
		op, target, err := connect(command.Context())
		if err != nil {
			return err
		}
		r.request.Target = target
		return o.replay(command.Context(), op, r)
	}
	return command
}

func (o *options) replay(ctx context.Context, op *operator, r *replay) error {
	if r.since > 0 {
		r.request.Since = time.Now().Add(-r.since)
	}
	asked := r.request.DryRun
	r.request.DryRun = asked || len(r.request.IDs) == 0 && !r.yes
	var total clusterapi.Replayed
	for {
		var done clusterapi.Replayed
		if err := op.call(ctx, clusterapi.ReplayMessages, r.request, &done); err != nil {
			if total.Count > 0 {
				return fmt.Errorf("after %s that are sent again: %w", count(total.Count, "message"), err)
			}
			return err
		}
		total.Count, total.Events = total.Count+done.Count, total.Events+done.Events
		total.Refused = append(total.Refused, done.Refused...)
		if done.Next == 0 {
			total.More = done.More
			break
		}
		r.request.After = done.Next
	}
	if encoded, err := encode(o.Out, r.format, total); err != nil {
		return err
	} else if !encoded {
		o.printReplayed(&total, r.request.DryRun)
	}
	switch {
	case len(total.Refused) > 0:
		return errFindings
	case r.request.DryRun && !asked && total.Count+total.Events > 0:
		fmt.Fprintln(o.ErrOut, "Nothing was sent. Repeat the command with --yes to send them.")
		return errFindings
	}
	return nil
}

func (o *options) printReplayed(total *clusterapi.Replayed, dryRun bool) {
	verb := "Sending"
	if dryRun {
		verb = "Would send"
	}
	if total.Count > 0 || total.Events == 0 {
		fmt.Fprintf(o.Out, "%s %s again.\n", verb, count(total.Count, "message"))
	}
	if total.Events > 0 {
		verb = "Evaluating"
		if dryRun {
			verb = "Would evaluate"
		}
		fmt.Fprintf(o.Out, "%s %s again.\n", verb, count(total.Events, "quarantined event"))
	}
	switch {
	case total.More && dryRun:
		fmt.Fprintln(o.Out, "There are more.")
	case total.More:
		fmt.Fprintln(o.Out, "There are more: repeat the command.")
	}
	for _, refusal := range total.Refused {
		fmt.Fprintf(o.ErrOut, "message %d: %s\n", refusal.ID, check.Printable(refusal.Message))
	}
}
