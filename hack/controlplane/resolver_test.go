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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// put creates binaries in dir, which it also creates.
func put(t *testing.T, dir string, programs ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if err := os.WriteFile(filepath.Join(dir, program), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// bringing returns a source that installs the given binaries and records its calls.
func bringing(t *testing.T, name string, calls *[]string, programs ...string) source {
	return source{name: name, fetch: func(_ context.Context, dir string, _ io.Writer) error {
		*calls = append(*calls, name)
		put(t, dir, programs...)
		return nil
	}}
}

func failing(name string, calls *[]string) source {
	return source{name: name, fetch: func(context.Context, string, io.Writer) error {
		*calls = append(*calls, name)
		return fmt.Errorf("no %s today", name)
	}}
}

func TestResolveOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		override []string // binaries in the override directory, nil for no override
		cached   []string
		sources  func(t *testing.T, calls *[]string) []source
		calls    []string
		from     string // "override" or "cache", "" for an error
		says     []string
	}{
		"the override takes precedence over the cache": {
			override: complete, cached: complete, from: "override",
		},
		"the override needs no kubectl": {
			override: required, from: "override",
		},
		"an incomplete override is an error instead of being ignored": {
			override: []string{"kube-apiserver", "kubectl"}, cached: complete,
			says: []string{"KUBEBUILDER_ASSETS", "executable etcd:", "unset"},
		},
		"an empty override lists everything that is missing": {
			override: []string{},
			says:     []string{"etcd and kube-apiserver"},
		},
		"the cache takes precedence over the sources": {
			cached: complete, from: "cache",
			sources: func(t *testing.T, calls *[]string) []source {
				return []source{bringing(t, "download", calls, complete...)}
			},
		},
		"the first source that works is used": {
			from: "cache", calls: []string{"download"},
			sources: func(t *testing.T, calls *[]string) []source {
				return []source{bringing(t, "download", calls, complete...), failing("build", calls)}
			},
		},
		"the next source is tried after a failure": {
			from: "cache", calls: []string{"download", "build"},
			sources: func(t *testing.T, calls *[]string) []source {
				return []source{failing("download", calls), bringing(t, "build", calls, complete...)}
			},
		},
		"an incomplete source has failed": {
			from: "cache", calls: []string{"download", "build"},
			sources: func(t *testing.T, calls *[]string) []source {
				return []source{bringing(t, "download", calls, "etcd"), bringing(t, "build", calls, complete...)}
			},
		},
		"an incomplete cache is replaced": {
			cached: []string{"etcd"}, from: "cache", calls: []string{"build"},
			sources: func(t *testing.T, calls *[]string) []source {
				return []source{bringing(t, "build", calls, complete...)}
			},
		},
		"if nothing works, the error has every reason and a solution": {
			calls: []string{"download", "build"},
			says: []string{"no download today", "no build today",
				"set KUBEBUILDER_ASSETS to a directory that holds etcd and kube-apiserver"},
			sources: func(_ *testing.T, calls *[]string) []source {
				return []source{failing("download", calls), failing("build", calls)}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dirs := map[string]string{"override": filepath.Join(root, "mine"), "cache": filepath.Join(root, "a", "cache")}
			r := resolver{cache: dirs["cache"], progress: io.Discard}
			if tc.override != nil {
				r.override = dirs["override"]
				put(t, r.override, tc.override...)
			}
			if tc.cached != nil {
				put(t, r.cache, tc.cached...)
			}
			var calls []string
			if tc.sources != nil {
				r.sources = tc.sources(t, &calls)
			}

			dir, err := r.resolve(t.Context())

			if !slices.Equal(calls, tc.calls) {
				t.Errorf("called sources: got %v, want %v", calls, tc.calls)
			}
			if tc.from == "" {
				if err == nil {
					t.Fatalf("got %s, want an error", dir)
				}
				for _, part := range tc.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q doesn't say %q", err, part)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if dir != dirs[tc.from] {
				t.Errorf("got %s, want %s", dir, dirs[tc.from])
			}
			if gone := missing(dir, required); len(gone) > 0 {
				t.Errorf("%s isn't in the directory", list(gone))
			}
		})
	}
}

func TestOverrideMustBeAbsolute(t *testing.T) {
	_, err := resolver{override: "bin/assets", progress: io.Discard}.resolve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("got error %v, want one that asks for an absolute path", err)
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "runs")
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := missing(dir, []string{"runs", "plain", "folder", "absent"})
	if want := []string{"plain", "folder", "absent"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Two concurrent test runs on a fresh machine must not both build.
func TestResolveFetchesOnceForConcurrentRuns(t *testing.T) {
	var (
		calls []string
		runs  sync.WaitGroup
		begun = make(chan struct{})
		cache = filepath.Join(t.TempDir(), "cache")
	)
	slow := source{name: "build", fetch: func(_ context.Context, dir string, _ io.Writer) error {
		calls = append(calls, "build") // guarded by the lock, as the race detector checks
		<-begun
		put(t, dir, complete...)
		return nil
	}}
	waiting := make(chan struct{}, 1)
	for range 4 {
		runs.Go(func() {
			r := resolver{cache: cache, sources: []source{slow}, progress: signalWriter{"waiting for another run", waiting}}
			if dir, err := r.resolve(t.Context()); err != nil || dir != cache {
				t.Errorf("got %s, %v", dir, err)
			}
		})
	}
	select {
	case <-waiting:
	case <-time.After(3 * time.Minute):
		t.Error("no run waited for another")
	}
	close(begun)
	runs.Wait()
	if len(calls) != 1 {
		t.Errorf("fetched %d times, want once", len(calls))
	}
}

// signalWriter signals when a certain text is written to it.
type signalWriter struct {
	text  string
	heard chan<- struct{}
}

func (w signalWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		select {
		case w.heard <- struct{}{}:
		default:
		}
	}
	return len(p), nil
}

// An interrupted download must not continue with a ten-minute build, and must not leave an
// incomplete cache.
func TestResolveStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cache := filepath.Join(t.TempDir(), "cache")
	var calls []string
	r := resolver{cache: cache, progress: io.Discard, sources: []source{
		{name: "download", fetch: func(ctx context.Context, dir string, _ io.Writer) error {
			put(t, dir, complete...)
			cancel()
			return ctx.Err()
		}},
		bringing(t, "build", &calls, complete...),
	}}
	if dir, err := r.resolve(ctx); err == nil {
		t.Errorf("got %s, want an error", dir)
	}
	if len(calls) > 0 {
		t.Error("the build started after the interrupt")
	}
	if _, err := os.Stat(cache); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cache exists: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(cache), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWaitingForAnotherRunStops(t *testing.T) {
	r := resolver{cache: filepath.Join(t.TempDir(), "cache"), progress: io.Discard}
	unlock, err := r.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.resolve(ctx); err == nil || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("got error %v, want one about waiting", err)
	}
}
