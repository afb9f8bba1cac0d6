// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

// promises are what the ledger acknowledged.
type promises struct {
	mu                sync.Mutex
	accepted, decided map[string]bool
	sent              map[int64]bool
}

func newPromises() *promises {
	return &promises{accepted: map[string]bool{}, decided: map[string]bool{}, sent: map[int64]bool{}}
}

func (p *promises) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.accepted)
}

func (p *promises) clone() *promises {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &promises{accepted: maps.Clone(p.accepted), decided: maps.Clone(p.decided), sent: maps.Clone(p.sent)}
}

func (p *promises) acknowledged(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// load accepts, decides and sends until ctx ends, and notes what was acknowledged.
// Each event has two deliveries.
func (p *promises) load(ctx context.Context, s *opened, round int) {
	var workers sync.WaitGroup
	for g := range 6 {
		workers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d-%d", round, g, i)
				if _, err := s.AcceptEvent(bg, ledger.Event{Company: fmt.Sprint("company-", g%3), ID: id, Name: "x", Data: make([]byte, rand.IntN(4000))}); err == nil {
					p.acknowledged(func() { p.accepted[id] = true })
				}
			}
		})
	}
	for range 2 {
		workers.Go(func() {
			for ctx.Err() == nil {
				events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 5, Lease: time.Hour})
				if err != nil {
					return
				}
				for _, e := range events {
					if s.CompleteEvent(bg, e, []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com"), ledgertest.Email("b", "joe@example.com")}) == nil {
						p.acknowledged(func() { p.decided[e.ID] = true })
					}
				}
				deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 5, Lease: time.Hour})
				if err != nil {
					return
				}
				for _, d := range deliveries {
					if s.MarkSent(bg, d, "id") == nil {
						p.acknowledged(func() { p.sent[d.ID] = true })
					}
				}
			}
		})
	}
	workers.Wait()
}

// broken returns the promises that a ledger doesn't keep, and other errors.
func (p *promises) broken(path string) (found []error) {
	s, err := openWith(path, ledger.Options{}, settings{})
	if err != nil {
		return []error{err}
	}
	defer func() { found = append(found, errorsOf(s.Close())...) }()
	var verdict string
	if err := s.d.reader.QueryRowContext(bg, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil || verdict != "ok" {
		return []error{fmt.Errorf("the ledger is damaged: %s: %w", verdict, err)}
	}
	count := func(query string, args ...any) (n int) {
		if err := s.d.reader.QueryRowContext(bg, query, args...).Scan(&n); err != nil {
			found = append(found, err)
		}
		return n
	}
	// In one look: a row at a time is slow.
	there := func(query string) map[string]bool {
		var all string
		if err := s.d.reader.QueryRowContext(bg, query).Scan(&all); err != nil {
			found = append(found, err)
		}
		keys := map[string]bool{}
		for key := range strings.SplitSeq(all, ",") {
			keys[key] = true
		}
		return keys
	}
	accepted := there("SELECT COALESCE(group_concat(event_id), '') FROM events")
	decided := there("SELECT COALESCE(group_concat(event_id), '') FROM events WHERE state = 'done'")
	sent := there("SELECT COALESCE(group_concat(id), '') FROM deliveries WHERE state = 'sent'")
	for id := range p.accepted {
		if !accepted[id] {
			found = append(found, fmt.Errorf("event %s is lost", id))
		}
	}
	for id := range p.decided {
		if !decided[id] {
			found = append(found, fmt.Errorf("what was decided of event %s is lost", id))
		}
	}
	for id := range p.sent {
		if !sent[fmt.Sprint(id)] {
			found = append(found, fmt.Errorf("that delivery %d was sent is forgotten", id))
		}
	}
	if n := count(`SELECT COUNT(*) FROM events WHERE (SELECT COUNT(*) FROM deliveries WHERE event = events.id)
		<> CASE state WHEN 'done' THEN 2 ELSE 0 END`); n > 0 {
		found = append(found, fmt.Errorf("%d events are half decided", n))
	}
	if n := count("SELECT COUNT(*) FROM deliveries WHERE content NOT IN (SELECT id FROM contents)"); n > 0 {
		found = append(found, fmt.Errorf("%d deliveries say nothing", n))
	}
	return found
}

func errorsOf(err error) []error {
	if err == nil {
		return nil
	}
	return []error{err}
}

// cutPower runs a ledger until a moment that cut chooses, before a change of a file,
// and returns where that leaves its files. Cut learns how many writes to the database
// itself, which are those of a checkpoint, are not synced.
func (p *promises) cutPower(t *testing.T, dir string, round int, o settings, chance float64, cut func(unsynced int) bool) (next string, kept *promises) {
	t.Helper()
	g := NewWithT(t)
	disk, err := newTestDisk(dir)
	g.Expect(err).NotTo(HaveOccurred())
	next = filepath.Join(t.TempDir(), "state")
	ctx, off := context.WithTimeout(bg, time.Minute)
	defer off()
	var failed error
	disk.before = func() {
		if kept == nil && cut(len(disk.files["ledger.db"].pending)) {
			kept = p.clone() // what comes later is nobody's promise
			failed = disk.after(next, chance)
			off()
		}
	}
	o.vfs = powerCutVFS
	s, err := openWith(filepath.Join(dir, "ledger.db"), ledger.Options{}, o)
	g.Expect(err).NotTo(HaveOccurred())
	p.load(ctx, s, round)
	g.Expect(errors.Join(failed, s.Close())).To(Succeed())
	g.Expect(kept).NotTo(BeNil())
	return next, kept
}

// The power fails again and again, at any moment: nothing that was acknowledged is
// lost, and nothing is there by half.
func TestPowerCutsLoseNothingThatWasAcknowledged(t *testing.T) {
	var p *promises
	var dir string
	checkpoints, sent := 0, 0
	rounds := ledgertest.Longer(8, 200)
	// Where the machine is slow, a few rounds more get as far as sending.
	for round := 0; round < rounds || (sent == 0 || checkpoints == 0) && round < 10*rounds; round++ {
		left, inCheckpoint := rand.IntN(800), round%3 == 1
		if round%20 == 0 { // a new one, else it grows and grows
			p, dir = newPromises(), filepath.Join(t.TempDir(), "state")
			left += 300 // past the making of the tables
		}
		often := settings{pragmas: []string{"wal_autocheckpoint(40)"}} // pages
		next, kept := p.cutPower(t, dir, round, often, []float64{0, 1, .5, .9}[round%4], func(unsynced int) bool {
			if left--; left >= 0 {
				return false
			}
			if inCheckpoint && unsynced == 0 && left > -5000 {
				return false
			}
			if unsynced > 0 {
				checkpoints++
			}
			return true
		})
		dir, p = next, kept
		sent = max(sent, len(p.sent))
		for _, err := range p.broken(filepath.Join(dir, "ledger.db")) {
			t.Errorf("round %d: %v", round, err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d events accepted, %d decided, %d messages sent; %d cuts in a checkpoint", len(p.accepted), len(p.decided), len(p.sent), checkpoints)
	if sent == 0 || checkpoints == 0 {
		t.Error("nothing was tested")
	}
}

// The same test sees what is lost if commits don't wait for the disk.
func TestPowerCutLosesWhatIsNotSynced(t *testing.T) {
	for _, synchronous := range []string{"OFF", "NORMAL"} {
		t.Run(synchronous, func(t *testing.T) {
			p, never := newPromises(), settings{synchronous: synchronous, pragmas: []string{"wal_autocheckpoint(0)"}}
			dir, kept := p.cutPower(t, filepath.Join(t.TempDir(), "state"), 0, never, 0, func(int) bool { return p.count() > 100 })
			found := kept.broken(filepath.Join(dir, "ledger.db"))
			if len(found) == 0 {
				t.Fatal("nothing is lost without sync: the test can't tell")
			}
			t.Logf("%d promises broken, such as: %v", len(found), found[0])
		})
	}
}
