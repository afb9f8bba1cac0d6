// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package e2e

// The same flags as in the Makefile.
func init() {
	const unwatched = "-race=false -d=checkptr=0,ssa/intrinsics/off"
	buildFlags = append(buildFlags, "-race", "-gcflags=all="+unwatched, "-gcflags=std=", "-gcflags=github.com/rehive/...=",
		"-gcflags=encoding/json="+unwatched)
}
