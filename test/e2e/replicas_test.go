// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger/postgrestest"
	"github.com/rehive/extension-operator/test/stage"
)

// takeOver is how long it takes, with a margin, until a dead replica's leases have
// ended and another has done its work.
const takeOver = 3 * time.Minute

// setReplicas sets a stage of its own on which two managers share a PostgreSQL
// ledger, and gives it to the test in place of the common one.
func setReplicas(t *testing.T) (replicas [2]*stage.Manager) {
	t.Helper()
	server, err := postgrestest.Start()
	if err != nil {
		postgrestest.Skip(t, err)
	}
	url, err := server.NewDatabase()
	if err != nil {
		t.Fatal(errors.Join(err, server.Stop()))
	}
	own, err := stage.Set(t.Context(), stage.Options{
		Root:               "../..",
		State:              t.TempDir(),
		Manager:            managerProgram,
		ManagerArguments:   []string{"--resync-period=30s", "--leader-elect"},
		ManagerEnvironment: []string{"REHIVE_EXTENSION_LEDGER_PASSWORD=" + postgrestest.Password},
		LedgerURL:          url,
	})
	if err != nil {
		t.Fatal(errors.Join(err, server.Stop()))
	}
	common := set
	set = own
	t.Cleanup(func() {
		set = common
		var err error
		if replicas[1] != nil {
			err = replicas[1].Stop()
		}
		if err := errors.Join(err, own.Clear(), server.Stop()); err != nil {
			t.Error(err)
		}
	})
	replicas[0] = own.Manager
	if replicas[1], err = own.NewReplica(); err != nil {
		t.Fatal(err)
	}
	if err := replicas[1].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return replicas
}

// Replicas that share a ledger are updated one by one, without a message lost or
// doubled. When one is killed in the middle of its work, the other takes it over.
func TestReplicas(t *testing.T) {
	clear(parsedMessages) // another stage numbers its messages from the start
	defer clear(parsedMessages)
	replicas := setReplicas(t)
	c := newCompany(t, "replicas")

	var mu sync.Mutex
	var acknowledged []string
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acknowledged) }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var senders sync.WaitGroup
	next := 0
	for sender := range 6 {
		senders.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				// As a load balancer, and the platform behind it, do: the other replica is
				// asked when one does not answer.
				for try := sender; ctx.Err() == nil; try++ {
					if c.sendTo(ctx, replicas[try%2].ServeURL, fmt.Sprint("event-", n), c.text(n)) == http.StatusOK {
						mu.Lock()
						acknowledged = append(acknowledged, c.text(n))
						mu.Unlock()
						break
					}
				}
			}
		})
	}
	load := func() {
		t.Helper()
		before := count()
		if err := set.Eventually(t.Context(), "load", func() error {
			if n := count() - before; n < 30 {
				return fmt.Errorf("only %d events were acknowledged", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, replica := range replicas {
		load()
		if err := replica.Stop(); err != nil {
			t.Fatal(err)
		}
		load()
		if err := replica.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if testing.Short() {
		stop()
		senders.Wait()
	}
	mu.Lock()
	rolled := append([]string(nil), acknowledged...)
	mu.Unlock()
	for text, n := range c.waitMailed(t, rolled) {
		if n > 1 {
			t.Errorf("%q came %d times though nothing was killed", text, n)
		}
	}
	if testing.Short() {
		return
	}

	if err := replicas[1].Kill(); err != nil {
		t.Fatal(err)
	}
	load()
	stop()
	senders.Wait()
	var counts map[string]int
	missing := len(acknowledged)
	for deadline := time.Now().Add(takeOver); missing > 0; time.Sleep(200 * time.Millisecond) {
		if counts, missing = c.mailed(t), 0; time.Now().After(deadline) {
			t.Fatalf("messages of the killed replica are missing\n%s", set.Manager.LogTail())
		}
		for _, text := range acknowledged {
			if counts[text] == 0 {
				missing++
			}
		}
	}
	twice := 0
	for text, n := range counts {
		if n > 2 {
			t.Errorf("%q came %d times, and there was one kill", text, n)
		}
		if n == 2 {
			twice++
		}
	}
	t.Logf("%d events acknowledged, %d messages twice", len(acknowledged), twice)
}
