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
	"github.com/rehive/extension-operator/internal/ledger/move"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
)

const migrateLedgerCommand = "migrate-ledger"

// migrateLedger moves a SQLite ledger to PostgreSQL and returns the exit code.
func migrateLedger(ctx context.Context, args []string, lookupEnv func(string) (string, bool), output, errOutput io.Writer) int {
	flags := flag.NewFlagSet(migrateLedgerCommand, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	from := flags.String("from", defaultLedgerPath, "`file` of the SQLite ledger, which no manager may be using")
	to := flags.String("to", "", "`URL` of an empty PostgreSQL database, as for --ledger-url of the manager (required)")
	passwordFile := flags.String("ledger-password-file", "", "`file` with the password of the database; without it, "+envPrefix+"LEDGER_PASSWORD is used")

	fail := func(code int, err error) int {
		fmt.Fprintf(errOutput, "manager %s: %v\n", migrateLedgerCommand, err)
		return code
	}
	if err := flags.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			return fail(2, err)
		}
		fmt.Fprintf(output, `Moves a SQLite ledger, with pending work and the log, to PostgreSQL. Stop the
manager first, and start it with --ledger-url afterwards. If the move is
interrupted, run it again. When it is done, the file is renamed to end in .moved.

Usage: manager %s --from FILE --to URL [flags]

`, migrateLedgerCommand)
		flags.SetOutput(output)
		flags.PrintDefaults()
		return 0
	}
	if flags.NArg() > 0 {
		return fail(2, fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	if err := postgres.CheckURL(*to); err != nil {
		return fail(2, fmt.Errorf("--to: %w", err))
	}
	password, _ := lookupEnv(envPrefix + "LEDGER_PASSWORD")
	password, err := readPassword("ledger-password-file", *passwordFile, password)
	if err != nil {
		return fail(2, err)
	}
	moved, err := move.ToPostgres(ctx, *from, postgres.Config{URL: *to, Password: password}, ledger.Options{})
	switch {
	case err != nil:
		return fail(1, err)
	case moved.Before:
		fmt.Fprintf(output, "%s has already been moved; there is nothing to do.\n", *from)
	default:
		fmt.Fprintf(output, "Moved %d events and %d deliveries. You can now start the manager with --ledger-url.\n", moved.Events, moved.Deliveries)
	}
	return 0
}
