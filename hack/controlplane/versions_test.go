// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestRequiredVersion(t *testing.T) {
	const file = `module example.com/m

tool example.com/listed

require example.com/alone v1.2.3

require (
	example.com/listed v0.4.0
	example.com/listed/sub v0.5.0 // indirect
)

replace (
	example.com/replaced => example.com/replaced v0.6.0
)
`
	for module, want := range map[string]string{
		"example.com/alone":      "v1.2.3",
		"example.com/listed":     "v0.4.0",
		"example.com/listed/sub": "v0.5.0",
		"example.com/replaced":   "",
		"example.com/absent":     "",
	} {
		if got := requiredVersion(file, module); got != want {
			t.Errorf("%s: got %q, want %q", module, got, want)
		}
	}
}

// TestGoModIsConsistent catches version bumps that miss a line of go.mod: they would build
// an API server from two releases, or one that reports a wrong version.
func TestGoModIsConsistent(t *testing.T) {
	v, err := pinnedVersions()
	if err != nil {
		t.Fatal(err)
	}
	want := "v0" + strings.TrimPrefix(v.kubernetes, "v"+v.major())
	replaced := 0
	for line := range strings.Lines(goMod) {
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[1] != "=>" {
			continue
		}
		replaced++
		if fields[0] != fields[2] || fields[3] != want {
			t.Errorf("%s doesn't follow Kubernetes %s: want %s => %s %s", strings.TrimSpace(line), v.kubernetes, fields[0], fields[0], want)
		}
	}
	if replaced == 0 {
		t.Error("go.mod does not replace any module of Kubernetes")
	}
	for _, program := range complete {
		if pkg := mainPackages[program]; pkg == "" || !strings.Contains(goMod, "\n\t"+pkg+"\n") {
			t.Errorf("%s: package %q isn't a tool of go.mod", program, pkg)
		}
	}
	if key := v.cacheKey(); !strings.HasPrefix(key, v.kubernetes+"-"+v.etcd+"-") {
		t.Errorf("cache key %q doesn't name the versions", key)
	}
	for _, flag := range []string{"version.gitVersion=" + v.kubernetes, "version.gitMinor=" + v.minor()} {
		if !strings.Contains(v.linkerFlags(), "k8s.io/component-base/"+flag) {
			t.Errorf("linker flags %q don't set %s", v.linkerFlags(), flag)
		}
	}
}
