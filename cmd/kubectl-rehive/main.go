// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// kubectl-rehive is a plugin of kubectl for the Rehive extension operator: it checks, tests
// and previews rules without a cluster, says what works in one, and asks the running operator
// about messages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/rehive/extension-operator/internal/check"
)

// version is set by the linker.
var version = "dev"

// Exit statuses.
const (
	exitFindings = 1 // the command worked, and what it looked at does not
	exitError    = 2 // the command could not be carried out
)

// errFindings is returned when everything is printed already.
var errFindings = errors.New("there are findings")

func main() {
	os.Exit(run(ctrl.SetupSignalHandler(), os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}

// options are what all commands share.
type options struct {
	genericiooptions.IOStreams
	cluster *genericclioptions.ConfigFlags
	color   string
}

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, cluster: genericclioptions.NewConfigFlags(true).WithDiscoveryBurst(100)}
	root := &cobra.Command{
		Use:   "kubectl-rehive",
		Short: "Check, test and preview notification rules, and see what works and what was sent",
		Long: `Commands for the Rehive extension operator.

lint, test, preview and explain read files and need no cluster. activations, status and check
read the objects of a cluster with your own rights. logs, replay, erase and suppressions
ask the running operator.
register sets a company up on Rehive.

Exit status: 0 if everything is right, 1 if there are findings, 2 after an error.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl rehive"},
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.PersistentFlags().StringVar(&o.color, "color", "auto", "color the output: auto, always or never")
	root.AddCommand(o.lintCommand(), o.testCommand(), o.previewCommand(), o.explainCommand(), o.activationsCommand(), o.statusCommand(), o.checkCommand(), o.logsCommand(), o.replayCommand(), o.eraseCommand(), o.suppressionsCommand(), o.registerCommand())
	return root
}

// run carries out a command line and returns the exit status.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	root := newCommand(streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFindings):
		return exitFindings
	}
	fmt.Fprintf(streams.ErrOut, "error: %s\n", check.Printable(err.Error()))
	return exitError
}
