// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command controlplane finds, downloads or builds the etcd, kube-apiserver and
// kubectl that the tests and the demo run against, on any machine that has Go
// and can reach the Go module proxy.
//
//	KUBEBUILDER_ASSETS=$(go run -C hack/controlplane . assets)
//
// It prints only the directory to standard output, and progress to standard error.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `Usage: go run . assets

Prints the directory that holds etcd, kube-apiserver and kubectl, the value to
give to KUBEBUILDER_ASSETS. Uses KUBEBUILDER_ASSETS if it is set, then the
user's cache directory, then a download, and else builds the programs from
their Go modules (about ten minutes on two cores, once).
`

func main() {
	if len(os.Args) != 2 || os.Args[1] != "assets" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	dir, err := assets(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "controlplane: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}

// assets resolves the assets directory with this machine's environment.
func assets(ctx context.Context) (string, error) {
	pinned, err := pinnedVersions()
	if err != nil {
		return "", err
	}
	r := resolver{
		override: os.Getenv(overrideVariable),
		sources: []source{
			{name: "download", fetch: pinned.download},
			{name: "build", fetch: pinned.build},
		},
		progress: os.Stderr,
	}
	if r.override == "" {
		userCache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding the user's cache directory (set HOME or XDG_CACHE_HOME, or %s to a directory that holds %s): %w",
				overrideVariable, list(required), err)
		}
		r.cache = filepath.Join(userCache, "rehive-extension-operator", "controlplane", pinned.cacheKey())
	}
	return r.resolve(ctx)
}
