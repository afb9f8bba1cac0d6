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

// limitFiles sets how large a file the manager may write, from outside. It is the
// closest to a full disk that needs no rights: writes fail in the system call.
func limitFiles(t *testing.T, bytes uint64) {
	t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: math.MaxUint64}
	if err := unix.Prlimit(set.Manager.PID(), unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// While the disk is full, webhooks are refused and the manager is not ready. When
// there is room it goes on by itself, and nothing that it acknowledged is lost.
func testFullDisk(t *testing.T) {
	c := newCompany(t, "full")
	rounds := 1
	if chaos {
		rounds = 10
	}
	load := c.startLoad(t, set.Manager.ServeURL)
	attempt := 0
	for range rounds {
		load.more(t, 50)
		limitFiles(t, 0)
		t.Cleanup(func() { limitFiles(t, math.MaxUint64) })
		if err := set.Eventually(t.Context(), "a full disk to be noticed", func() error {
			// The load may wait for mails that the full disk holds up.
			attempt++
			if status := c.send(t.Context(), fmt.Sprint("full-", attempt), c.text(-attempt)); status != http.StatusServiceUnavailable {
				return fmt.Errorf("a webhook was answered %d", status)
			}
			if ready, said := probe(t.Context(), set.Manager); ready || !strings.Contains(said, "[-]ledger failed") {
				return fmt.Errorf("the manager says that it is ready: %s", said)
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
	load.more(t, 50)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, http.StatusServiceUnavailable)
	c.checkDuplicates(t, maxInFlight)
	t.Log(load)
}
