// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// limitFiles limits the size of the files that the running manager may write. Writes then
// fail in the system call, as on a full disk, without special privileges.
func limitFiles(t *testing.T, bytes uint64) {
	t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: math.MaxUint64}
	if err := unix.Prlimit(set.Manager.PID(), unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// testFullDisk checks that webhooks are refused and the manager is not ready while the disk
// is full, that it recovers by itself, and that no acknowledged event is lost.
func testFullDisk(t *testing.T) {
	c := newCompany(t, "full")
	rounds := 1
	if chaos {
		rounds = 10
	}
	load := c.startLoad(t, set.Manager.ServeURL)
	attempt := 0
	for range rounds {
		load.waitMore(t, 50)
		limitFiles(t, 0)
		t.Cleanup(func() { limitFiles(t, math.MaxUint64) })
		if err := set.Eventually(t.Context(), "the full disk to be noticed", func() error {
			// The load may be waiting for emails that the full disk delays.
			attempt++
			if status := c.send(t.Context(), fmt.Sprint("full-", attempt), c.text(-attempt)); status != http.StatusServiceUnavailable {
				return fmt.Errorf("a webhook was answered with %d", status)
			}
			if ready, said := probe(t.Context(), set.Manager); ready || !strings.Contains(said, "[-]ledger failed") {
				return fmt.Errorf("the manager is ready: %s", said)
			}
			return nil
		}); err != nil {
			t.Fatalf("%v\n%s", err, set.Manager.LogTail())
		}
		limitFiles(t, math.MaxUint64)
		if err := set.Eventually(t.Context(), "the manager to be ready by itself", func() error { return set.Manager.Ready(t.Context()) }); err != nil {
			t.Fatal(err)
		}
	}
	load.waitMore(t, 50)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	load.checkFew(t, 0)
	c.checkDuplicates(t, maxInFlight)
	t.Log(load)
}
