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

// overrideVariable is the variable envtest reads; a value somebody set goes
// before everything else.
const overrideVariable = "KUBEBUILDER_ASSETS"

var (
	// required is what envtest starts.
	required = []string{"etcd", "kube-apiserver"}
	// complete is what a cached directory holds: kubectl is for people.
	complete = append(required[:len(required):len(required)], "kubectl")
)

// source is one way of getting the programs. fetch leaves every program of
// complete in the existing, empty directory dir, and returns an error that says
// why it can't.
type source struct {
	name  string
	fetch func(ctx context.Context, dir string, progress io.Writer) error
}

// resolver finds the assets directory.
type resolver struct {
	// override is the directory somebody asked for, "" for none.
	override string
	// cache is the directory that holds the programs once they were fetched.
	cache string
	// sources are tried in order when the cache is empty.
	sources []source
	// progress is where a waiting person reads what goes on.
	progress io.Writer
}

// resolve returns a directory that holds the programs. It may be called by
// several processes at once: one fetches, the others wait for it.
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
	// Whoever held the lock may have done the work.
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
			return "", errors.New("stopped before the programs were there; the next run continues from what Go has cached")
		}
		failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
		if i+1 < len(r.sources) {
			fmt.Fprintf(r.progress, "controlplane: no %s, going on with a %s: %v\n", s.name, r.sources[i+1].name, err)
		}
	}
	return "", fmt.Errorf("can't get %s:\n%w\nMake one of these work, or set %s to a directory that holds %s",
		list(complete), errors.Join(failures...), overrideVariable, list(required))
}

// install fetches into a directory beside the cache and renames it, so that an
// interrupted run never leaves half a cache.
func (r resolver) install(ctx context.Context, s source) error {
	parent, name := filepath.Split(r.cache)
	// The lock is held, so what an earlier run left is nobody's.
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
		return fmt.Errorf("%s is not among what it brought", list(gone))
	}
	if err := os.RemoveAll(r.cache); err != nil {
		return fmt.Errorf("clearing an incomplete cache: %w", err)
	}
	if err := os.Rename(dir, r.cache); err != nil {
		return fmt.Errorf("moving the programs into the cache: %w", err)
	}
	return nil
}

// lock waits until no other process fetches into the same cache. The kernel
// releases the lock when a process ends, however it ends.
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
			stop = report(r.progress, func() string { return "waiting for another run that is getting the programs" })
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, errors.New("stopped while waiting for another run")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// checkOverride says what is wrong with a directory somebody asked for.
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

// missing returns those programs that are not executable files in dir.
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

// list joins names as one says them.
func list(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
