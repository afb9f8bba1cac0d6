// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// MinRetention is the shortest time that ended events and deliveries are kept.
// While the platform may repeat an event, its row is what says that it was here.
const MinRetention = 7 * 24 * time.Hour

const (
	// cleanEvery is short, so that there is never much to delete at once.
	cleanEvery = 10 * time.Minute
	// cleanLimit is how many rows are deleted before the writers get a pause.
	cleanLimit = 10 * step
	cleanPause = time.Second
)

// Cleaner deletes the events and deliveries whose time is up, every few minutes. It is a
// Runnable of the manager and runs on the leader.
type Cleaner struct {
	store *Store
	keep  time.Duration
	clock clock.Clock
	log   logr.Logger
}

// NewCleaner returns a Cleaner that keeps ended events and deliveries for a time,
// which is at least [MinRetention]. The clock is the real one if it is nil.
func NewCleaner(store *Store, keep time.Duration, c clock.Clock, log logr.Logger) (*Cleaner, error) {
	if keep < MinRetention {
		return nil, fmt.Errorf("events must be kept for at least %s, not %s: the platform may repeat them", MinRetention, keep)
	}
	if c == nil {
		c = clock.RealClock{}
	}
	return &Cleaner{store: store, keep: keep, clock: c, log: log}, nil
}

// NeedLeaderElection says that one replica is enough.
func (*Cleaner) NeedLeaderElection() bool { return true }

// Start cleans at once and then every cleanEvery, until ctx is done. What fails is
// tried again the next time.
func (c *Cleaner) Start(ctx context.Context) error {
	for {
		switch n, err := c.clean(ctx); {
		case err != nil && ctx.Err() == nil:
			c.log.Error(err, "Deleting what the ledger need not keep any more failed; it is tried again soon", "after", cleanEvery)
		case n > 0:
			c.log.Info("Deleted what the ledger need not keep any more", "rows", n)
		}
		if !c.wait(ctx, cleanEvery) {
			return nil
		}
	}
}

// clean deletes all that is old, with a pause after each few steps.
func (c *Cleaner) clean(ctx context.Context) (int, error) {
	if err := c.store.deleteCharges(ctx); err != nil {
		return 0, err
	}
	before := c.clock.Now().Add(-c.keep)
	for total := 0; ; {
		n, err := c.store.DeleteBefore(ctx, before, cleanLimit)
		total += n
		if err != nil || n < cleanLimit {
			return total, err
		}
		if !c.wait(ctx, cleanPause) {
			return total, nil
		}
	}
}

// wait returns false if ctx is done first.
func (c *Cleaner) wait(ctx context.Context, d time.Duration) bool {
	t := c.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C():
		return true
	}
}
