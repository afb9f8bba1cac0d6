// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
)

// step is how many rows one transaction of a long change touches, so that
// webhooks and workers get their turn in between.
const step = 500

// CancelCompany marks the pending events and deliveries of a company cancelled,
// in small steps. Use it when its activation is gone.
func (s *Store) CancelCompany(ctx context.Context, company, reason, message string) error {
	// Events first: one that is being decided now can't bring new deliveries after.
	err := s.inSteps(ctx, `
		UPDATE events SET state = 'cancelled', message = $1, updated_at = $2, lease = 0
		WHERE id IN (SELECT id FROM events WHERE state = 'pending' AND company = $3 LIMIT $4)`,
		message, s.now(), company, step)
	if err != nil {
		return fmt.Errorf("cancelling the company's events: %w", err)
	}
	err = s.inSteps(ctx, `
		UPDATE deliveries SET state = 'cancelled', reason = $1, message = $2, updated_at = $3, lease = 0
		WHERE id IN (SELECT id FROM deliveries WHERE state = 'pending' AND company = $4 LIMIT $5)`,
		reason, message, s.now(), company, step)
	if err != nil {
		return fmt.Errorf("cancelling the company's deliveries: %w", err)
	}
	return nil
}

// ResumeCompany makes due at once what of a company waits for something that is
// mended now: events that were put back, and deliveries that were put back for one
// of the reasons. It can be called again after an error.
func (s *Store) ResumeCompany(ctx context.Context, company string, reasons ...string) error {
	err := s.inSteps(ctx, `
		UPDATE events SET next_attempt_at = $1
		WHERE id IN (SELECT id FROM events WHERE state = 'pending' AND company = $2 AND lease = 0 AND next_attempt_at > $1 LIMIT $3)`,
		s.now(), company, step)
	if err != nil {
		return fmt.Errorf("resuming the company's events: %w", err)
	}
	s.events.raise()
	for _, reason := range reasons {
		err := s.inSteps(ctx, `
			UPDATE deliveries SET next_attempt_at = $1
			WHERE id IN (SELECT id FROM deliveries WHERE state = 'pending' AND company = $2 AND lease = 0 AND next_attempt_at > $1 AND reason = $3 LIMIT $4)`,
			s.now(), company, reason, step)
		if err != nil {
			return fmt.Errorf("resuming the company's deliveries: %w", err)
		}
	}
	s.deliveries.raise()
	return nil
}

// PurgeCompany deletes every row of a company, in small steps. It can be called
// again after an error.
func (s *Store) PurgeCompany(ctx context.Context, company string) error {
	err := s.inSteps(ctx, "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the company's events: %w", err)
	}
	err = s.inSteps(ctx, "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the company's deliveries: %w", err)
	}
	err = s.inSteps(ctx, "DELETE FROM preferences WHERE id IN (SELECT id FROM preferences WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the preferences of the company's users: %w", err)
	}
	err = s.inSteps(ctx, "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting what was charged to the company's quotas: %w", err)
	}
	return nil
}

// inSteps repeats a statement that changes up to step rows until none is left.
func (s *Store) inSteps(ctx context.Context, query string, args ...any) error {
	for {
		var changed int64
		err := s.write(ctx, &job{one: true, run: func(w *writer) (err error) {
			changed, err = w.exec(query, args...)
			return err
		}})
		if err != nil || changed < step {
			return err
		}
	}
}
