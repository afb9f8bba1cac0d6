// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// overrideVariable is the environment variable that envtest reads. If set, it takes
// precedence over everything else.
const overrideVariable = "KUBEBUILDER_ASSETS"

var (
	// required are the binaries that envtest starts.
	required = []string{"etcd", "kube-apiserver"}
	// complete are the binaries in a cached directory: kubectl is for people.
	complete = append(required[:len(required):len(required)], "kubectl")
)

// source is a way to obtain the binaries. fetch installs every binary of complete in the
// existing, empty directory dir.
type source struct {
	name  string
	fetch func(ctx context.Context, dir string, progress io.Writer) error
}

// resolver finds the assets directory.
type resolver struct {
	// override is the value of overrideVariable, or "".
	override string
	// cache is the directory for the fetched binaries.
	cache string
	// sources are tried in order when the cache is empty.
	sources []source
	// progress receives progress reports.
	progress io.Writer
}

// resolve returns a directory with the binaries. Several processes may call it at once: one
// fetches, and the others wait for it.
func (r resolver) resolve(ctx context.Context) (string, error) {
	if r.override != "" {
		return r.override, checkOverride(r.override)
	}
	if len(missing(r.cache, complete)) == 0 {
		return r.cache, nil
	}
	if err := os.MkdirAll(filepath.Dir(r.cache), 0o750); err != nil {
		return "", fmt.Errorf("creating the cache directory: %w", err)
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	// The previous holder of the lock may have done the work.
	if len(missing(r.cache, complete)) == 0 {
		return r.cache, nil
	}
	var failures []error
	for i, s := range r.sources {
		err := r.install(ctx, s)
		if err == nil {
			fmt.Fprintf(r.progress, "controlplane: %s are in %s\n", list(complete), r.cache)
			return r.cache, nil
		}
		if ctx.Err() != nil {
			return "", errors.New("interrupted before the binaries were complete; the next run resumes from Go's build cache")
		}
		failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
		if i+1 < len(r.sources) {
			fmt.Fprintf(r.progress, "controlplane: %s failed, trying a %s: %v\n", s.name, r.sources[i+1].name, err)
		}
	}
	return "", fmt.Errorf("can't get %s:\n%w\nFix one of these, or set %s to a directory that holds %s",
		list(complete), errors.Join(failures...), overrideVariable, list(required))
}

// install fetches into a temporary directory and renames it, so that an interrupted run
// never leaves an incomplete cache.
func (r resolver) install(ctx context.Context, s source) error {
	parent, name := filepath.Split(r.cache)
	// The lock is held, so leftovers of earlier runs can be removed.
	work := filepath.Join(parent, "."+name+".partial")
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("clearing an unfinished installation: %w", err)
	}
	dir := filepath.Join(work, "assets")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("creating a work directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := s.fetch(ctx, dir, r.progress); err != nil {
		return err
	}
	if gone := missing(dir, complete); len(gone) > 0 {
		return fmt.Errorf("the result lacks %s", list(gone))
	}
	if err := os.RemoveAll(r.cache); err != nil {
		return fmt.Errorf("clearing an incomplete cache: %w", err)
	}
	if err := os.Rename(dir, r.cache); err != nil {
		return fmt.Errorf("moving the binaries into the cache: %w", err)
	}
	return nil
}

// lock waits until no other process is fetching into the same cache. The kernel releases
// the lock when a process ends for any reason.
func (r resolver) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(r.cache+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	stop := func() {}
	defer func() { stop() }()
	for waited := false; ; waited = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = file.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		if !waited {
			stop = report(r.progress, func() string { return "waiting for another run that is getting the binaries" })
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, errors.New("stopped while waiting for another run")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// checkOverride returns an error if the directory in overrideVariable is unusable.
func checkOverride(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%s is %q: tests run in many directories, so it must be an absolute path", overrideVariable, dir)
	}
	if gone := missing(dir, required); len(gone) > 0 {
		return fmt.Errorf("%s is %q, which doesn't hold an executable %s: put it there, or unset %s to use the cache, a download or a build",
			overrideVariable, dir, list(gone), overrideVariable)
	}
	return nil
}

// missing returns the binaries that are not executable files in dir.
func missing(dir string, programs []string) []string {
	var gone []string
	for _, program := range programs {
		info, err := os.Stat(filepath.Join(dir, program))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			gone = append(gone, program)
		}
	}
	return gone
}

// list joins names with commas and "and".
func list(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
