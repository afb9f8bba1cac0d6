// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/rehive/extension-operator/internal/ledger"
)

const migrateLedgerCommand = "migrate-ledger"

// migrateLedger moves a SQLite ledger to PostgreSQL and returns the exit code.
func migrateLedger(ctx context.Context, args []string, lookupEnv func(string) (string, bool), output, errOutput io.Writer) int {
	flags := flag.NewFlagSet(migrateLedgerCommand, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	from := flags.String("from", defaultLedgerPath, "`file` of the SQLite ledger; no manager may run on it")
	to := flags.String("to", "", "`URL` of an empty PostgreSQL database, as for the manager's --ledger-url (required)")
	passwordFile := flags.String("ledger-password-file", "", "`file` that holds the password of the database, else "+envPrefix+"LEDGER_PASSWORD is taken")

	fail := func(code int, err error) int {
		fmt.Fprintf(errOutput, "manager %s: %v\n", migrateLedgerCommand, err)
		return code
	}
	if err := flags.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			return fail(2, err)
		}
		fmt.Fprintf(output, `Moves a SQLite ledger, with its work and its log, to PostgreSQL. Stop the manager
before, and start it with --ledger-url after. If the move is interrupted, run it
again. In the end the file gets the suffix .moved.

Usage: manager %s --from FILE --to URL [flags]

`, migrateLedgerCommand)
		flags.SetOutput(output)
		flags.PrintDefaults()
		return 0
	}
	if flags.NArg() > 0 {
		return fail(2, fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	if err := ledger.CheckURL(*to); err != nil {
		return fail(2, fmt.Errorf("--to: %w", err))
	}
	password, _ := lookupEnv(envPrefix + "LEDGER_PASSWORD")
	password, err := readPassword("ledger-password-file", *passwordFile, password)
	if err != nil {
		return fail(2, err)
	}
	moved, err := ledger.Move(ctx, *from, ledger.Options{URL: *to, Password: password})
	switch {
	case err != nil:
		return fail(1, err)
	case moved.Before:
		fmt.Fprintf(output, "%s was moved before; nothing is left to do.\n", *from)
	default:
		fmt.Fprintf(output, "Moved %d events and %d deliveries. Start the manager with --ledger-url now.\n", moved.Events, moved.Deliveries)
	}
	return 0
}
