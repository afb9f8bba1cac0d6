// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rehive/extension-operator/internal/clusterapi"
)

// erase is what the command erase was asked for.
type erase struct {
	request         clusterapi.Erase
	emails, mobiles []string
	format          string
	yes             bool
}

func (o *options) eraseCommand() *cobra.Command {
	e := &erase{}
	command := &cobra.Command{
		Use:   "erase USER",
		Short: "Erase what the operator stores about a user",
		Long: `Erases the messages, events and preferences that the operator stores about one of a
company's users, who is named by the identifier on Rehive, a UUID. Messages and events that
have only an address are found by --email and --mobile.

Without --yes, the command shows how much would be erased. An erasure can't be undone.

You need permission to request tokens of the service account cli-editor in the company's
namespace, and to use the proxy of the operator's Service. The operator logs who erased how
much, but not whose data it was.`,
		Example: `  kubectl rehive erase -n team-a 11111111-2222-4333-8444-555555555555 --email zoe@example.com --mobile +27840000000
  kubectl rehive erase -n team-a 11111111-2222-4333-8444-555555555555 --yes`,
		Args: cobra.ExactArgs(1),
	}
	connect := o.companyFlags(command)
	flags := command.Flags()
	flags.StringArrayVar(&e.emails, "email", nil, "email address of the user; can be repeated")
	flags.StringArrayVar(&e.mobiles, "mobile", nil, "phone number of the user in international format; can be repeated")
	flags.BoolVarP(&e.yes, "yes", "y", false, "erase the data")
	flags.StringVarP(&e.format, "output", "o", "", "output format: json or yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := checkFormat(e.format, "", "json", "yaml"); err != nil {
			return err
		}
		e.request.User = args[0]
		e.request.Addresses = append(e.emails, e.mobiles...)
		e.request.DryRun = !e.yes
		op, target, err := connect(command.Context())
		if err != nil {
			return err
		}
		e.request.Target = target
		return o.erase(command.Context(), op, e)
	}
	return command
}

func (o *options) erase(ctx context.Context, op *operator, e *erase) error {
	var done clusterapi.Erased
	if err := op.call(ctx, clusterapi.EraseUser, e.request, &done); err != nil {
		return err
	}
	found := done.Messages+done.Events+done.Preferences > 0
	if encoded, err := encode(o.Out, e.format, done); err != nil {
		return err
	} else if !encoded {
		o.printErased(&done, found, e.request.DryRun)
	}
	if e.request.DryRun && found {
		fmt.Fprintln(o.ErrOut, "Nothing was erased. Repeat the command with --yes to erase it, which can't be undone.")
		return errFindings
	}
	return nil
}

func (o *options) printErased(done *clusterapi.Erased, found, dryRun bool) {
	counts := fmt.Sprintf("%s, %s and %s", count(int(done.Messages), "message"), count(int(done.Events), "event"), count(int(done.Preferences), "preference"))
	switch {
	case !found:
		fmt.Fprintln(o.Out, "Nothing is stored about the user.")
	case dryRun:
		fmt.Fprintf(o.Out, "Would erase %s.\n", counts)
	default:
		fmt.Fprintf(o.Out, "Erased %s.\n", counts)
	}
	if done.Subject != "" {
		fmt.Fprintf(o.Out, "The erasure is recorded with the subject %s.\n", done.Subject)
	}
}
