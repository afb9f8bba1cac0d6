// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows on this machine what the operator does, with real components: etcd and
// kube-apiserver, the CRDs and RBAC of config/default, the manager as users run it, a
// simulator of the Rehive platform and an SMTP server that keeps the emails it receives. It
// prints each step, and then keeps running until Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rehive/extension-operator/test/stage"
)

func main() {
	var o options
	flag.StringVar(&o.manager, "manager", "bin/manager", "`path` of the manager binary")
	flag.StringVar(&o.state, "state", ".run/demo", "`directory` that the demo writes to; it is emptied first")
	flag.BoolVar(&o.exit, "exit", false, "exit after the last step")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			fmt.Println("\nStopped.")
			return
		}
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	manager string
	state   string
	exit    bool
}

func run(ctx context.Context, o options) (err error) {
	state, err := filepath.Abs(o.state)
	if err != nil {
		return fmt.Errorf("finding the state directory: %w", err)
	}
	if err := os.RemoveAll(state); err != nil {
		return fmt.Errorf("emptying the state directory: %w", err)
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("creating the state directory: %w", err)
	}

	started := time.Now()
	set, err := stage.Start(ctx, stage.Options{
		State:            state,
		Manager:          o.manager,
		ManagerArguments: []string{"--log-format=console"},
		Logf:             say,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Stop()) }()
	say("Everything is up after %s.\n", time.Since(started).Round(100*time.Millisecond))

	if err := play(ctx, set); err != nil {
		if ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "\nThe end of the manager's log (%s):\n%s", set.Manager.LogFile(), set.Manager.LogTail())
		}
		return err
	}
	if o.exit {
		return nil
	}
	printEndpoints(set)
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping.")
		return nil
	case <-set.Manager.Done():
		return fmt.Errorf("the manager exited:\n%s", set.Manager.LogTail())
	}
}

// say prints a line.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
