// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// mainPackages are the binaries and the packages they are built from. go.mod lists the same
// packages as tools, which keeps their dependencies in go.sum.
var mainPackages = map[string]string{
	"etcd":           etcdModule,
	"kube-apiserver": kubernetesModule + "/cmd/kube-apiserver",
	"kubectl":        kubernetesModule + "/cmd/kubectl",
}

// build is the source that needs only Go and a module proxy.
func (v versions) build(ctx context.Context, dir string, progress io.Writer) error {
	// A compiled copy of this program may run in a different module, in which "go build"
	// would fail.
	if here, err := os.ReadFile("go.mod"); err != nil || string(here) != goMod {
		return errors.New("run it in hack/controlplane, whose go.mod defines what to build")
	}
	what := fmt.Sprintf("etcd %s and Kubernetes %s", v.etcd, v.kubernetes)
	var packages []string
	for _, program := range complete {
		packages = append(packages, mainPackages[program])
	}

	var said lines
	stop := report(progress, func() string {
		return "reading the modules of " + what + ", downloading what Go hasn't cached"
	})
	stale, err := command(ctx, &said, goEnvironment(), "go", append([]string{"list", "-deps", "-mod=readonly", "-trimpath",
		"-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, packages...)...)
	stop()
	if err != nil {
		return fmt.Errorf("reading the modules (this needs the Go module proxy, see \"go env GOPROXY\"): %w", err)
	}
	total := len(strings.Fields(stale))

	// Each binary gets its own directory, because etcd's package path ends in "v3".
	said = lines{}
	stop = report(progress, func() string {
		built, last := said.packages()
		switch {
		case built >= total:
			last = "linking"
		case last != "":
			last = "now at " + last
		default:
			last = "starting"
		}
		return fmt.Sprintf("building %s from their modules: %d of %d packages, %s", what, built, total, last)
	})
	_, err = command(ctx, &said, goEnvironment(), "go", append([]string{"build", "-v", "-mod=readonly", "-trimpath",
		"-ldflags", v.linkerFlags(), "-o", dir + string(filepath.Separator)}, packages...)...)
	stop()
	if err != nil {
		return fmt.Errorf("building: %w", err)
	}
	// The go command names a binary after its package, which is server/v3 for etcd.
	return os.Rename(filepath.Join(dir, path.Base(path.Dir(etcdModule))), filepath.Join(dir, "etcd"))
}

// linkerFlags omit debug information and set the version that the API server and kubectl
// report. The default is v0.0.0-master, which clients that check for features treat as an
// old server.
func (v versions) linkerFlags() string {
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, field := range [][2]string{
			{"gitVersion", v.kubernetes}, {"gitMajor", v.major()}, {"gitMinor", v.minor()},
			{"gitCommit", "unknown"}, {"gitTreeState", "archive"},
		} {
			flags = append(flags, "-X", pkg+"."+field[0]+"="+field[1])
		}
	}
	return strings.Join(flags, " ")
}
