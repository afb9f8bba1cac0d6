// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// MinRetention is the shortest time for which completed events and deliveries are kept.
// While the platform may repeat an event, its row shows that it was accepted.
const MinRetention = 7 * 24 * time.Hour

const (
	// cleanInterval is short, so that there is never much to delete at once.
	cleanInterval = 10 * time.Minute
	// cleanLimit is how many rows are deleted before other writers get a pause.
	cleanLimit = 5000
	cleanPause = time.Second
)

// Cleaner deletes events and deliveries at the end of their retention, every few minutes.
// It is a Runnable of the manager and runs on the leader.
type Cleaner struct {
	ledger Retention
	keep   time.Duration
	clock  clock.Clock
	log    logr.Logger
}

// NewCleaner returns a Cleaner that keeps completed events and deliveries for a time of at
// least [MinRetention]. The clock is the machine's if it is nil.
func NewCleaner(l Retention, keep time.Duration, c clock.Clock, log logr.Logger) (*Cleaner, error) {
	if keep < MinRetention {
		return nil, fmt.Errorf("events must be kept for at least %s, not %s: the platform may repeat them", MinRetention, keep)
	}
	if c == nil {
		c = clock.RealClock{}
	}
	return &Cleaner{ledger: l, keep: keep, clock: c, log: log}, nil
}

// NeedLeaderElection says that one replica is enough.
func (*Cleaner) NeedLeaderElection() bool { return true }

// Start cleans at once and then every cleanInterval, until ctx is done. After an error it
// tries again the next time.
func (c *Cleaner) Start(ctx context.Context) error {
	for {
		next := c.clock.Now().Add(cleanInterval)
		switch n, err := c.clean(ctx, next); {
		case err != nil && ctx.Err() == nil:
			c.log.Error(err, "Deleting expired rows of the ledger failed; retrying soon", "after", cleanInterval)
		case n > 0:
			c.log.Info("Deleted expired rows of the ledger", "rows", n)
		}
		if !c.wait(ctx, max(next.Sub(c.clock.Now()), cleanPause)) {
			return nil
		}
	}
}

// clean deletes all expired rows, with a pause after every few steps.
func (c *Cleaner) clean(ctx context.Context, next time.Time) (int, error) {
	n, err := c.deleteOld(ctx)
	return n, errors.Join(err, c.reencrypt(ctx, next), c.ledger.Scrub(ctx))
}

// reencrypt encrypts rows with the newest key, with a pause after every few steps. It ends
// when it is time to clean again, which must not wait for all rows of a large ledger, and
// continues then.
func (c *Cleaner) reencrypt(ctx context.Context, next time.Time) error {
	total := 0
	for {
		n, more, err := c.ledger.Reencrypt(ctx, cleanLimit)
		total += n
		if err != nil {
			return fmt.Errorf("after %d rows: %w", total, err)
		}
		if !more || !c.clock.Now().Before(next) || !c.wait(ctx, cleanPause) {
			break
		}
	}
	if total > 0 {
		c.log.Info("Encrypted rows of the ledger with the newest key", "rows", total)
	}
	return nil
}

func (c *Cleaner) deleteOld(ctx context.Context) (int, error) {
	expired, err := c.ledger.ExpireDeliveries(ctx)
	if expired > 0 {
		c.log.Info("Messages expired before they could be sent", "messages", expired)
	}
	if err != nil {
		return 0, err
	}
	if err := c.ledger.DeleteCharges(ctx); err != nil {
		return 0, err
	}
	if err := c.ledger.DeleteThrottles(ctx); err != nil {
		return 0, err
	}
	if err := c.ledger.DeleteSuppressions(ctx); err != nil {
		return 0, err
	}
	before := c.clock.Now().Add(-c.keep)
	for total := 0; ; {
		n, err := c.ledger.DeleteBefore(ctx, before, cleanLimit)
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
