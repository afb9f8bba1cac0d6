// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// command runs a program to completion and returns its standard output. Its standard error
// goes to said; the last lines become the error.
func command(ctx context.Context, said *lines, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	// An interrupt lets the go command remove its temporary files.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var out strings.Builder
	cmd.Stdout = &out
	cmd.Stderr = said
	err := cmd.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", errors.New("no answer in time")
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said.tail())
	}
	return out.String(), nil
}

// goEnvironment returns an environment for building static binaries for this machine,
// regardless of the caller's settings.
func goEnvironment(more ...string) []string {
	return append([]string{
		"CGO_ENABLED=0",
		"GOOS=" + runtime.GOOS,
		"GOARCH=" + runtime.GOARCH,
		"GOWORK=off",
	}, more...)
}

// lines is a writer for a program's output that keeps what progress reports and error
// messages need. It is safe for concurrent use.
type lines struct {
	mu      sync.Mutex
	partial string
	recent  []string
	count   int
}

var _ io.Writer = (*lines)(nil)

// keptLines is how many lines of output an error includes.
const keptLines = 5

// Write implements io.Writer; it never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := strings.Split(l.partial+string(p), "\n")
	l.partial = whole[len(whole)-1]
	for _, line := range whole[:len(whole)-1] {
		l.recent = append(l.recent, line)
		// Messages of the go command itself aren't packages.
		if !strings.HasPrefix(line, "go: ") && !strings.HasPrefix(line, "#") {
			l.count++
		}
	}
	if extra := len(l.recent) - keptLines; extra > 0 {
		l.recent = l.recent[extra:]
	}
	return len(p), nil
}

// packages returns how many packages "go build -v" has listed, and the last line.
func (l *lines) packages() (count int, last string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) > 0 {
		last = l.recent[len(l.recent)-1]
	}
	return l.count, last
}

// tail returns the end of the output.
func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.recent
	if l.partial != "" {
		end = append(end[:len(end):len(end)], l.partial)
	}
	return strings.Join(end, "\n")
}
