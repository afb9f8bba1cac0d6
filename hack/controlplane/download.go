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

// setupEnvtest is the downloader of the envtest project. It isn't a tool in go.mod because
// its requirements would change those of Kubernetes.
const setupEnvtest = "sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1"

// noDownloadVariable is the environment variable that stops setup-envtest from downloading;
// here it also skips the installation of setup-envtest.
const noDownloadVariable = "ENVTEST_INSTALLED_ONLY"

// Timeouts of the download. The first request shows whether the internet is reachable: a
// firewall that drops packets must not delay the build by minutes.
const (
	downloaderTimeout = 3 * time.Minute
	questionTimeout   = 15 * time.Second
	downloadTimeout   = 5 * time.Minute
)

// download is the source for machines with internet access. It gets the newest published
// patch release of the Kubernetes minor release in go.mod, because not every patch release
// is published.
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
	// setup-envtest makes it read-only, which would prevent moving the files.
	if err := os.Chmod(brought, 0o700); err != nil {
		return fmt.Errorf("making the download writable: %w", err)
	}
	for _, program := range complete {
		if err := os.Rename(filepath.Join(brought, program), filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("moving %s out of the download: %w", program, err)
		}
	}
	return nil
}
