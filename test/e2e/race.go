// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package e2e

// The same flags as in the Makefile.
func init() {
	buildFlags = append(buildFlags, "-race", "-gcflags=modernc.org/...=-race=false -d=checkptr=0")
	for _, pattern := range []string{"encoding/json", "sigs.k8s.io/json/...", "go.yaml.in/yaml/..."} {
		buildFlags = append(buildFlags, "-gcflags="+pattern+"=-race=false -d=checkptr=0,ssa/intrinsics/off")
	}
}
