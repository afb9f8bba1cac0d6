// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"fmt"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// step is how many rows each transaction of a long change affects, so that webhooks and
// workers get their turn in between.
const step = 500

const (
	selectPendingEvents     = "SELECT id FROM events WHERE state = 'pending' AND company = $1 LIMIT $2"
	selectQuarantinedEvents = "SELECT id FROM events WHERE state = 'quarantined' AND company = $1 LIMIT $2"
	cancelDeliveries        = "UPDATE deliveries SET state = 'cancelled', reason = $1, message = $2, updated_at = $3, lease = 0 WHERE id IN (SELECT id FROM deliveries WHERE "
	cancelPending           = cancelDeliveries + "state = 'pending' AND company = $4 LIMIT $5)"
	cancelQuarantined       = cancelDeliveries + "state = 'quarantined' AND company = $4 LIMIT $5)"
)

// CancelCompany implements [ledger.Companies].
func (s *Store) CancelCompany(ctx context.Context, company, reason, message string) error {
	// Events first: one that is being decided now can't bring new deliveries after.
	for _, undecided := range []string{selectPendingEvents, selectQuarantinedEvents} {
		for {
			ids, err := s.readIDs(ctx, undecided, company, step)
			if err == nil && len(ids) > 0 {
				// Nobody knows whether a rule for one of them is sensitive.
				_, err = s.eraseSome(ctx, company, ids, reason, message)
			}
			if err != nil {
				return fmt.Errorf("cancelling the company's events: %w", err)
			}
			if len(ids) == 0 {
				break
			}
		}
	}
	for _, unsent := range []string{cancelPending, cancelQuarantined, cancelFallbacks} {
		if err := s.inSteps(ctx, nil, unsent, reason, message, s.now(), company, step); err != nil {
			return fmt.Errorf("cancelling the company's deliveries: %w", err)
		}
	}
	if err := s.maskCancelled(ctx, company); err != nil {
		return fmt.Errorf("masking the company's sensitive messages: %w", err)
	}
	return nil
}

// ResumeCompany implements [ledger.Companies]. Events without an attempt are digests, which wait
// for the end of their period.
func (s *Store) ResumeCompany(ctx context.Context, company string, reasons ...string) error {
	err := s.inSteps(ctx, nil, `
		UPDATE events SET next_attempt_at = $1
		WHERE id IN (SELECT id FROM events WHERE state = 'pending' AND company = $2 AND lease = 0 AND attempts > 0 AND next_attempt_at > $1 LIMIT $3)`,
		s.now(), company, step)
	if err != nil {
		return fmt.Errorf("resuming the company's events: %w", err)
	}
	s.events.Raise()
	for _, reason := range reasons {
		err := s.inSteps(ctx, nil, `
			UPDATE deliveries SET next_attempt_at = $1
			WHERE id IN (SELECT id FROM deliveries WHERE state = 'pending' AND company = $2 AND lease = 0 AND next_attempt_at > $1 AND reason = $3 LIMIT $4)`,
			s.now(), company, reason, step)
		if err != nil {
			return fmt.Errorf("resuming the company's deliveries: %w", err)
		}
	}
	s.deliveries.Raise()
	return nil
}

// PurgeCompany implements [ledger.Companies].
func (s *Store) PurgeCompany(ctx context.Context, company string) error {
	s.flushUsage(ctx) // what the rows take, which is taken off as they are deleted
	defer s.usage.recount()
	err := s.inSteps(ctx, nil, "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the company's events: %w", err)
	}
	err = s.inSteps(ctx, nil, "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the company's deliveries: %w", err)
	}
	err = s.inSteps(ctx, nil, "DELETE FROM preferences WHERE id IN (SELECT id FROM preferences WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the preferences of the company's users: %w", err)
	}
	err = s.inSteps(ctx, nil, "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the suppressions of the company's users: %w", err)
	}
	err = s.inSteps(ctx, nil, "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting what was charged to the company's quotas: %w", err)
	}
	err = s.inSteps(ctx, nil, "DELETE FROM throttles WHERE id IN (SELECT id FROM throttles WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the counts of the company's throttled rules: %w", err)
	}
	err = s.inSteps(ctx, nil, "DELETE FROM erasures WHERE id IN (SELECT id FROM erasures WHERE company = $1 LIMIT $2)", company, step)
	if err != nil {
		return fmt.Errorf("deleting the record of the company's erasures: %w", err)
	}
	return nil
}

// wakeDeliveries leaves out what waits for its time and not for another attempt.
const wakeDeliveries = `
	UPDATE deliveries SET next_attempt_at = $1
	WHERE id IN (
		SELECT id FROM deliveries
		WHERE state = 'pending' AND company = $2 AND channel = $3 AND next_attempt_at > $1 AND lease = 0
			AND reason <> '` + ledger.ReasonFallbackUnread + `' LIMIT $4
	) AND state = 'pending' AND lease = 0`

// WakeDeliveries implements [ledger.Companies].
func (s *Store) WakeDeliveries(ctx context.Context, l ledger.Lane) error {
	err := s.inSteps(ctx, s.deliveries.Raise, wakeDeliveries, s.now(), l.Company, l.Channel, step)
	if err != nil {
		return fmt.Errorf("waking a company's deliveries: %w", err)
	}
	return nil
}

// inSteps repeats a statement that changes up to step rows until there are no more. After
// each step that changed some it calls changed, if that isn't nil.
func (s *Store) inSteps(ctx context.Context, changed func(), query string, args ...any) error {
	for {
		n, err := write(ctx, s, &driver.Job{Single: true}, func(tx driver.Tx) (int64, error) { return tx.Exec(query, args...) })
		if err != nil {
			return err
		}
		if n > 0 && changed != nil {
			changed()
		}
		if n < step {
			return nil
		}
	}
}
