// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// setupEnvtest is the downloader of the envtest project. It isn't a tool of
// go.mod because its requirements would move those of Kubernetes.
const setupEnvtest = "sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1"

// noDownloadVariable is the variable with which setup-envtest is told not to
// download; here it saves getting setup-envtest, too.
const noDownloadVariable = "ENVTEST_INSTALLED_ONLY"

// Limits of the download. The first question shows whether there is a way out
// to the internet: a firewall that drops packets must not cost minutes.
const (
	downloaderTimeout = 3 * time.Minute
	questionTimeout   = 15 * time.Second
	downloadTimeout   = 5 * time.Minute
)

// download is the source for machines with internet access. It brings the
// newest published patch release of the Kubernetes minor release that go.mod
// asks for: not every patch release is published.
func (v versions) download(ctx context.Context, dir string, progress io.Writer) error {
	if os.Getenv(noDownloadVariable) != "" {
		return fmt.Errorf("%s is set", noDownloadVariable)
	}
	work := filepath.Dir(dir)
	store := filepath.Join(work, "download")
	release := v.major() + "." + v.minor() + ".x"
	steps := []struct {
		say     string
		limit   time.Duration
		env     []string
		program string
		args    []string
	}{
		{"getting setup-envtest", downloaderTimeout, goEnvironment("GOBIN=" + work), "go", []string{"install", setupEnvtest}},
		{"asking for Kubernetes " + release, questionTimeout, nil, filepath.Join(work, "setup-envtest"),
			[]string{"list", release, "--bin-dir", store}},
		{"downloading Kubernetes " + release, downloadTimeout, nil, filepath.Join(work, "setup-envtest"),
			[]string{"use", release, "--bin-dir", store, "--print", "path"}},
	}
	var out string
	for _, step := range steps {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, step.limit)
			defer cancel()
			defer report(progress, func() string { return step.say })()
			var said lines
			var err error
			out, err = command(ctx, &said, step.env, step.program, step.args...)
			return err
		}()
		if err != nil {
			return fmt.Errorf("%s: %w", step.say, err)
		}
	}
	brought := strings.TrimSpace(out)
	// setup-envtest leaves it read-only, which would keep its files in it.
	if err := os.Chmod(brought, 0o700); err != nil {
		return fmt.Errorf("opening the download: %w", err)
	}
	for _, program := range complete {
		if err := os.Rename(filepath.Join(brought, program), filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("taking %s out of the download: %w", program, err)
		}
	}
	return nil
}
