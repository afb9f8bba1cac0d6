// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

const (
	backupCommand  = "backup"
	restoreCommand = "restore"
)

// standardStream is the name of standard output and standard input, as with tar.
const standardStream = "-"

// backup writes a copy of a SQLite ledger and returns the exit code.
func backup(ctx context.Context, args []string, output, errOutput io.Writer) int {
	c := command{name: backupCommand, output: output, errOutput: errOutput, usage: `Writes a consistent copy of a SQLite ledger, also while a manager uses it. The
directory of the ledger needs as much free space as the ledger. Back up a ledger
on PostgreSQL with pg_dump.`}
	flags := c.flags()
	from := flags.String("from", defaultLedgerPath, "`file` of the SQLite ledger")
	to := flags.String("to", standardStream, "`file` to write, which must not exist; - is the standard output")
	if code, done := c.parse(flags, args); done {
		return code
	}
	if *to == standardStream {
		if err := sqlite.Backup(ctx, *from, output); err != nil {
			return c.fail(1, err)
		}
		return 0
	}
	if err := backupTo(ctx, *from, *to); err != nil {
		return c.fail(1, err)
	}
	fmt.Fprintf(output, "Wrote %s.\n", *to)
	return 0
}

// backupTo writes a backup to a new file. If it fails, there is no file.
func backupTo(ctx context.Context, from, to string) (err error) {
	file, err := os.OpenFile(filepath.Clean(to), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("creating the backup: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := sqlite.Backup(ctx, from, file); err != nil {
		return fmt.Errorf("backing up: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing the backup: %w", err)
	}
	return nil
}

// restore puts a backup in the place of a SQLite ledger and returns the exit code.
func restore(ctx context.Context, args []string, input io.Reader, output, errOutput io.Writer) int {
	c := command{name: restoreCommand, output: output, errOutput: errOutput, usage: `Puts a backup in the place of a SQLite ledger. Stop the manager first. The
previous ledger is kept beside it, with the suffix .before-restore.`}
	flags := c.flags()
	from := flags.String("from", standardStream, "`file` with the backup; - is the standard input")
	to := flags.String("to", defaultLedgerPath, "`file` of the SQLite ledger")
	if code, done := c.parse(flags, args); done {
		return code
	}
	if *from != standardStream {
		file, err := os.Open(filepath.Clean(*from))
		if err != nil {
			return c.fail(1, fmt.Errorf("opening the backup: %w", err))
		}
		defer file.Close()
		input = file
	}
	if err := sqlite.Restore(ctx, input, *to); err != nil {
		return c.fail(1, err)
	}
	fmt.Fprintf(output, "Restored %s. You can now start the manager.\n", *to)
	return 0
}

// command is a subcommand of the manager.
type command struct {
	name, usage       string
	output, errOutput io.Writer
}

func (c command) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parse reads the arguments. If done is true, the command ends with the code.
func (c command) parse(flags *flag.FlagSet, args []string) (code int, done bool) {
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(c.output, "%s\n\nUsage: manager %s [flags]\n\n", c.usage, c.name)
		flags.SetOutput(c.output)
		flags.PrintDefaults()
		return 0, true
	case err != nil:
		return c.fail(2, err), true
	case flags.NArg() > 0:
		return c.fail(2, fmt.Errorf("unexpected argument %q", flags.Arg(0))), true
	}
	return 0, false
}

func (c command) fail(code int, err error) int {
	fmt.Fprintf(c.errOutput, "manager %s: %v\n", c.name, err)
	return code
}
