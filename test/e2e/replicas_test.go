// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
	"github.com/rehive/extension-operator/test/stage"
)

// replicated is a stage with two managers that share a PostgreSQL ledger.
type replicated struct {
	*stage.Stage
	database *postgrestest.Server
	replicas [2]*stage.Manager
}

func setReplicas(t *testing.T) *replicated {
	t.Helper()
	server, err := postgrestest.Start()
	if err != nil {
		postgrestest.Skip(t, err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := server.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	options := stageOptions(t.TempDir(), program(t))
	// Another replica takes over the messages in flight of a dead one after three times the
	// send timeout.
	options.ManagerArguments = append(options.ManagerArguments, "--leader-elect", "--send-timeout=5s")
	options.ManagerEnvironment = []string{"REHIVE_EXTENSION_LEDGER_PASSWORD=" + postgrestest.Password}
	options.LedgerURL, options.LinkLedger = url, true
	s, err := stage.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	r := &replicated{Stage: s, database: server, replicas: [2]*stage.Manager{s.Manager}}
	stopAtEnd(t, s)
	if r.replicas[1], err = s.NewReplica(); err != nil {
		t.Fatal(err)
	}
	if err := r.replicas[1].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// startLoad sends a company's events to both replicas, like a load balancer.
func (r *replicated) startLoad(t *testing.T, c *company) *load {
	return c.startLoad(t, r.replicas[0].ServeURL, r.replicas[1].ServeURL)
}

// TestReplicas tests two replicas that share a ledger under the faults that they must
// survive.
func TestReplicas(t *testing.T) {
	t.Parallel()
	r := setReplicas(t)
	// The messages in flight of a killed replica wait for their leases to expire; the other
	// tests run meanwhile.
	killed := newCompanyOn(t, r.Stage, "killed-replica")
	rounds := 1
	if chaos {
		rounds = 10
	}
	load := r.startLoad(t, killed)
	var kills []span
	for round := range rounds {
		load.waitMore(t, 50)
		replica := r.replicas[(round+1)%2]
		kill, err := timed(replica.Kill)
		if err != nil {
			t.Fatal(err)
		}
		kills = append(kills, kill)
		load.waitMore(t, 50)
		if err := replica.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	survived := load.end()

	t.Run("updated one by one", r.testUpdate)
	t.Run("database restarted", r.testDatabaseRestart)
	t.Run("database read-only", r.testDatabaseReadOnly)
	t.Run("partitioned", r.testPartition)
	t.Run("API server unavailable", r.testAPIServerUnavailable)
	t.Run("started without API server", r.testStartWithoutAPIServer)

	killed.waitMailed(t, survived...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	t.Logf("%s; %d kills; %d messages arrived twice", load, len(kills), killed.checkDuplicates(t, maxInFlight, kills...))
}

// testUpdate checks that a rolling update neither loses nor duplicates a message.
func (r *replicated) testUpdate(t *testing.T) {
	c := newCompanyOn(t, r.Stage, "updated")
	load := r.startLoad(t, c)
	for _, replica := range r.replicas {
		load.waitMore(t, 50)
		if err := replica.Stop(); err != nil {
			t.Fatal(err)
		}
		load.waitMore(t, 50)
		if err := replica.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load.waitMore(t, 50)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	c.checkDuplicates(t, maxInFlight)
	t.Log(load)
}

// testDatabaseRestart restarts PostgreSQL under load, gracefully and after a crash.
func (r *replicated) testDatabaseRestart(t *testing.T) {
	c := newCompanyOn(t, r.Stage, "database-restarted")
	load := r.startLoad(t, c)
	rounds := 2
	if chaos {
		rounds = 20
	}
	var restarts []span
	for round := range rounds {
		load.waitMore(t, 50)
		restart, err := timed(func() error {
			return errors.Join(r.database.Halt(round%2 == 0), r.database.Launch())
		})
		if err != nil {
			t.Fatal(err)
		}
		restarts = append(restarts, restart)
	}
	load.waitMore(t, 50)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	t.Logf("%s; %d restarts; %d messages arrived twice", load, len(restarts), c.checkDuplicates(t, len(r.replicas)*maxInFlight, restarts...))
}

// testDatabaseReadOnly makes the database read-only, like one whose disk is full or that
// has become a standby.
func (r *replicated) testDatabaseReadOnly(t *testing.T) {
	c := newCompanyOn(t, r.Stage, "read-only")
	load := r.startLoad(t, c)
	load.waitMore(t, 50)
	readOnly, err := timed(func() error {
		if err := errors.Join(r.database.SetReadOnly(true), r.database.Disconnect()); err != nil {
			return err
		}
		for _, replica := range r.replicas {
			r.waitRefusing(t, c, replica)
		}
		return errors.Join(r.database.SetReadOnly(false), r.database.Disconnect())
	})
	if err != nil {
		t.Fatal(err)
	}
	load.waitMore(t, 50)
	r.waitAllReady(t)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	// A replica records what it sent once it can write again, unless that took longer than the
	// lease, as on a busy machine.
	t.Logf("%s; %d messages arrived twice", load, c.checkDuplicates(t, len(r.replicas)*maxInFlight, readOnly))
}

// waitRefusing waits until a replica answers webhooks with 503 and isn't ready.
func (r *replicated) waitRefusing(t *testing.T, c *company, replica *stage.Manager) {
	t.Helper()
	attempt := 0
	if err := r.Eventually(t.Context(), "the replica to refuse webhooks", func() error {
		attempt++
		if status := c.sendTo(t.Context(), replica.ServeURL, fmt.Sprint("refused-", replica.PID(), "-", attempt), c.text(-attempt)); status != http.StatusServiceUnavailable {
			return fmt.Errorf("a webhook was answered %d", status)
		}
		if ready, said := probe(t.Context(), replica); ready {
			return fmt.Errorf("/readyz says %s", said)
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, replica.LogTail())
	}
}

func (r *replicated) waitAllReady(t *testing.T) {
	t.Helper()
	for _, replica := range r.replicas {
		if err := r.Eventually(t.Context(), "the replica to be ready by itself", func() error { return replica.Ready(t.Context()) }); err != nil {
			t.Fatal(err)
		}
	}
}

// testPartition cuts one replica off from the database and the API server. The other
// replica does all the work, and the isolated one acknowledges nothing.
func (r *replicated) testPartition(t *testing.T) {
	c := newCompanyOn(t, r.Stage, "partitioned")
	load := r.startLoad(t, c)
	cuts := []func(*stage.Link){(*stage.Link).Stall}
	if chaos {
		cuts = append(cuts, (*stage.Link).Cut, (*stage.Link).Stall, (*stage.Link).Cut)
	}
	var partitions []span
	for round, cut := range cuts {
		leader := r.leader(t)
		alone, other := r.replicas[1-leader], r.replicas[leader]
		if round >= 2 {
			alone, other = other, alone
		}
		load.waitMore(t, 50)
		// The load isn't aware of the partition: half of the calls fail.
		partition, err := timed(func() error {
			cut(alone.LedgerLink)
			cut(alone.APILink)
			r.waitRefusing(t, c, alone)
			if alone == r.replicas[leader] {
				r.awaitLeaders(t, other)
			}
			// The other replica continues.
			var texts []string
			for n := range 50 {
				text := fmt.Sprintf("%s other-%d-%d", c.id, round, n)
				if err := c.sendToReady(t, other, text); err != nil {
					return fmt.Errorf("the other replica: %w", err)
				}
				texts = append(texts, text)
			}
			c.waitMailed(t, texts...)
			alone.LedgerLink.Restore()
			alone.APILink.Restore()
			return nil
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, alone.LogTail())
		}
		r.waitAllReady(t)
		partitions = append(partitions, partition)
	}
	load.waitMore(t, 50)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	t.Logf("%s; %d partitions; %d messages arrived twice", load, len(partitions), c.checkDuplicates(t, maxInFlight, partitions...))
}

// testAPIServerUnavailable cuts both replicas off from the API server for longer than their
// leader lease. Neither leads then, and both keep accepting and delivering.
func (r *replicated) testAPIServerUnavailable(t *testing.T) {
	c := newCompanyOn(t, r.Stage, "api-away")
	began := time.Now()
	r.replicas[0].APILink.Stall()
	r.replicas[1].APILink.Cut()
	restore := sync.OnceFunc(func() {
		for _, replica := range r.replicas {
			replica.APILink.Restore()
		}
	})
	defer restore()
	load := r.startLoad(t, c)
	r.awaitLeaders(t)
	load.waitMore(t, 50)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	load.checkFew(t, 0, http.StatusServiceUnavailable)
	c.sendDuringOutage(t, began, r.replicas[:]...)
	c.checkDuplicates(t, 0)

	restore()
	c.catchUp(t)
}

// testStartWithoutAPIServer restarts a replica that can't reach the API server. It must
// wait instead of exiting, so that Kubernetes' back-off doesn't delay it.
func (r *replicated) testStartWithoutAPIServer(t *testing.T) {
	replica := r.replicas[1]
	if err := replica.Stop(); err != nil {
		t.Fatal(err)
	}
	replica.APILink.Cut()
	if err := replica.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := r.Eventually(t.Context(), "the replica to wait", func() error {
		if !strings.Contains(replica.LogTail(), "Waiting for the Kubernetes API server") {
			return errors.New("the log doesn't mention it")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if ready, _ := probe(t.Context(), replica); ready {
		t.Error("the replica is ready")
	}
	replica.APILink.Restore()
	r.waitAllReady(t)
}

// awaitLeaders waits until exactly these replicas lead.
func (r *replicated) awaitLeaders(t *testing.T, want ...*stage.Manager) {
	t.Helper()
	if err := r.Eventually(t.Context(), "the leader to change", func() error {
		for i, replica := range r.replicas {
			leads, err := r.leads(t, replica)
			if err != nil {
				return err
			}
			if leads != slices.Contains(want, replica) {
				return fmt.Errorf("replica %d leads: %t", i, leads)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (r *replicated) leads(t *testing.T, replica *stage.Manager) (bool, error) {
	page, err := replica.Metrics(t.Context())
	return strings.Contains(page, `leader_election_master_status{name="extension-operator.rehive.com"} 1`), err
}

// leader returns the index of the leading replica.
func (r *replicated) leader(t *testing.T) (leader int) {
	t.Helper()
	if err := r.Eventually(t.Context(), "a leader", func() error {
		for i, replica := range r.replicas {
			leads, err := r.leads(t, replica)
			if err != nil {
				return err
			}
			if leads {
				leader = i
				return nil
			}
		}
		return errors.New("none leads")
	}); err != nil {
		t.Fatal(err)
	}
	return leader
}
