// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"runtime"
	"strings"
)

// Modules whose versions in go.mod determine what is built.
const (
	kubernetesModule = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
)

//go:embed go.mod
var goMod string

// versions are the releases that this module requires, with a leading "v".
type versions struct {
	kubernetes string
	etcd       string
}

// pinnedVersions reads the versions from go.mod, the only place that defines them.
func pinnedVersions() (versions, error) {
	v := versions{
		kubernetes: requiredVersion(goMod, kubernetesModule),
		etcd:       requiredVersion(goMod, etcdModule),
	}
	switch {
	case v.kubernetes == "" || v.minor() == "":
		return versions{}, fmt.Errorf("go.mod does not require a release of %s", kubernetesModule)
	case v.etcd == "":
		return versions{}, fmt.Errorf("go.mod does not require a release of %s", etcdModule)
	}
	return v, nil
}

// requiredVersion returns the version that a go.mod file requires of a module,
// or "" if it doesn't require it.
func requiredVersion(file, module string) string {
	for line := range strings.Lines(file) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}

// major and minor return the numbers of the Kubernetes release, "1" and "36" for v1.36.3.
func (v versions) major() string { return v.number(0) }
func (v versions) minor() string { return v.number(1) }

func (v versions) number(i int) string {
	numbers := strings.Split(strings.TrimPrefix(v.kubernetes, "v"), ".")
	if len(numbers) != 3 {
		return ""
	}
	return numbers[i]
}

// cacheKey returns the name of the directory of these versions for this platform.
func (v versions) cacheKey() string {
	return strings.Join([]string{v.kubernetes, v.etcd, runtime.GOOS, runtime.GOARCH}, "-")
}
