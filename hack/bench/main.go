// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the operator with real components on this machine: etcd and
// kube-apiserver, the manager as users run it, a simulator of the Rehive platform and an
// SMTP server. It prints tables and writes each as JSON. docs/performance.md
// says how to read them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// part is one of the measurements.
type part struct {
	name string
	what string
	run  func(*bench, context.Context) error
	// asked means that the part only runs if it is named.
	asked bool
}

var parts = []part{
	{name: "templates", what: "templates and expressions, compared with Django and pongo2", run: (*bench).templates},
	{name: "ingest", what: "webhooks acknowledged, from 1 to 1,024 connections", run: (*bench).ingest},
	{name: "ingest-postgres", what: "the same on PostgreSQL", run: (*bench).ingestPostgres},
	{name: "message", what: "from a webhook to an email, sustained and at low load", run: (*bench).message},
	{name: "neighbour", what: "one company's burst, another's latency", run: (*bench).neighbour},
	{name: "isolation", what: "one company's large events, another's webhooks", run: (*bench).isolation},
	{name: "api", what: "lists of notifications for admins, with 10,000 rules", run: (*bench).api},
	{name: "controlplane", what: "activations and rules to Ready, memory, start-up", run: (*bench).controlPlane},
	{name: "soak", what: "steady load for -soak: memory, goroutines, files, ledger", run: (*bench).soak, asked: true},
}

// options are the flags.
type options struct {
	run         string
	manager     string
	out         string
	root        string
	short       bool
	profile     bool
	activations int
	soak        time.Duration
}

func main() {
	var o options
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flag.StringVar(&o.run, "run", "", "comma-separated `parts` to run: "+strings.Join(names, ", ")+"; all but soak if empty")
	flag.StringVar(&o.manager, "manager", "bin/manager", "`path` of the manager binary")
	flag.StringVar(&o.out, "out", ".run/bench", "`directory` for tables and profiles")
	flag.StringVar(&o.root, "root", ".", "`directory` of the repository")
	flag.BoolVar(&o.short, "short", false, "take less time, for less precise figures")
	flag.BoolVar(&o.profile, "profile", false, "write CPU profiles of the manager under load")
	flag.IntVar(&o.activations, "activations", 1000, "`number` of activations, with 10 rules each, in the part controlplane")
	flag.DurationVar(&o.soak, "soak", time.Hour, "`duration` of the part soak")
	bareDatabase := flag.String(bareServerFlag, "", "serve webhooks by inserting them into a `database` only; used internally")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return runParts(ctx, o) }
	if *bareDatabase != "" {
		run = func() error { return serveBare(ctx, *bareDatabase) }
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func runParts(ctx context.Context, o options) (err error) {
	chosen, err := choose(o.run)
	if err != nil {
		return err
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return fmt.Errorf("finding the output directory: %w", err)
	}
	b := &bench{options: o, state: filepath.Join(o.out, "state")}
	if err := os.RemoveAll(b.state); err != nil {
		return fmt.Errorf("emptying the state directory: %w", err)
	}
	if err := os.MkdirAll(b.state, 0o700); err != nil {
		return fmt.Errorf("creating the state directory: %w", err)
	}
	defer func() {
		if err = errors.Join(err, b.clear()); err == nil {
			err = os.RemoveAll(b.state)
		}
	}()
	if b.machine, err = describeMachine(b.state); err != nil {
		return err
	}
	fmt.Println(b.machine)
	began := time.Now()
	for _, p := range chosen {
		started := time.Now()
		fmt.Printf("\n== %s: %s\n", p.name, p.what)
		switch err := p.run(b, ctx); {
		case errors.As(err, new(skipped)):
			fmt.Printf("  Not measured: %v\n", err)
		case err != nil:
			return fmt.Errorf("%s: %w", p.name, err)
		default:
			fmt.Printf("  (%s)\n", time.Since(started).Round(time.Second))
		}
	}
	if err := b.summarise(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("\nIt took %s. The tables are in %s, as JSON.\n", time.Since(began).Round(time.Second), o.out)
	return nil
}

// skipped is an error that says in one sentence what a part lacks on this machine.
type skipped struct{ error }

func choose(names string) ([]part, error) {
	var chosen []part
	if names == "" {
		for _, p := range parts {
			if !p.asked {
				chosen = append(chosen, p)
			}
		}
		return chosen, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q", name)
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}
