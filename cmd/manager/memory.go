// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// gcPercent is how much of the live heap may become garbage before it is
	// collected. A few tens of megabytes live, and the messages of a second are as
	// much again: Go's 100 spent an eighth of the processor on collecting. GOGC
	// overrides it.
	gcPercent = 200
	// memoryShare is the share of the container's memory that the heap may grow to
	// before garbage is collected sooner than gcPercent says: a hundred thousand
	// rules live in 400 MiB, and as much again and again of garbage would not fit
	// into the gigabyte of config/manager. The rest is for what is not in the heap, such
	// as the caches of SQLite. GOMEMLIMIT overrides it.
	memoryShare = 0.8
	// memoryLimitFile holds the limit of the container's memory (cgroup v2).
	memoryLimitFile = "/sys/fs/cgroup/memory.max"
)

// tuneGarbageCollector sets how much garbage may gather, unless the environment
// does.
func tuneGarbageCollector(lookupEnv func(string) (string, bool)) {
	if _, ok := lookupEnv("GOGC"); !ok {
		debug.SetGCPercent(gcPercent)
	}
	if _, ok := lookupEnv("GOMEMLIMIT"); !ok {
		if limit := memoryLimit(memoryLimitFile); limit > 0 {
			debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
		}
	}
}

// memoryLimit returns the bytes in a file of the kernel's, 0 if it sets no limit.
func memoryLimit(file string) int64 {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return limit
}
