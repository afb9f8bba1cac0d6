// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// feedbackStep is how many reports a transaction records.
	feedbackStep = 100
	// reasonUnknown is the reason of a delivery that its provider may have accepted.
	reasonUnknown = "OutcomeUnknown"
	// A delivery that is being sent again right now will say itself that it was sent.
	settleUnknown = `
		UPDATE deliveries SET state = 'sent', reason = '', message = '', updated_at = $1
		WHERE id = $2 AND reason = '` + reasonUnknown + `' AND (state = 'failed' OR state = 'pending' AND lease = 0)`
	// selectTargets reads what [Store.scanTarget] expects.
	selectTargets = "SELECT id, company, event_id, event_name, rule, copy, channel, recipient, user_id, state, reason, provider_id, outcome," +
		" sensitive, created_at, updated_at FROM deliveries "
)

// recordOutcome records an outcome of a higher rank. Its rank is the last parameter.
var recordOutcome = func() string {
	var rank strings.Builder
	for _, o := range ledger.DeliveryOutcomes {
		_, _ = fmt.Fprintf(&rank, " WHEN '%s' THEN %d", o, o.Rank())
	}
	return `
		UPDATE deliveries SET outcome = $1, outcome_detail = $2, outcome_at = $3
		WHERE id = $4 AND company = $5 AND state NOT IN ('skipped', 'quarantined') AND CASE outcome` + rank.String() + " ELSE 0 END < $6"
}()

// FeedbackTargets implements [ledger.FeedbackLog].
func (s *Store) FeedbackTargets(ctx context.Context, ids []int64) (found []ledger.Delivery, err error) {
	for some := range slices.Chunk(ids, maxAmong) {
		var c conditions
		places := make([]string, len(some))
		for i, id := range some {
			places[i] = c.place(id)
		}
		if found, err = s.readTargets(ctx, found, selectTargets+"WHERE id IN ("+join(places)+")", c.values); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *Store) readTargets(ctx context.Context, found []ledger.Delivery, query string, args []any) (_ []ledger.Delivery, err error) {
	rows, err := s.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, unavailable("reading deliveries", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d ledger.Delivery
		if err := s.scanTarget(rows, &d); err != nil {
			return nil, unavailable("reading deliveries", err)
		}
		found = append(found, d)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading deliveries", err)
	}
	return found, nil
}

// scanTarget reads a delivery without its content.
func (s *Store) scanTarget(rows *sql.Rows, d *ledger.Delivery) error {
	var created, updated, sensitive int64
	err := rows.Scan(&d.ID, &d.Company, &d.EventID, &d.EventName, &d.RuleName, &d.Copy, &d.Channel, &d.Recipient, &d.UserID,
		&d.State, &d.Reason, &d.ProviderID, &d.Outcome, &sensitive, &created, &updated)
	if err != nil {
		return err
	}
	d.Sensitive, d.CreatedAt, d.UpdatedAt = sensitive != 0, schema.Time(created), schema.Time(updated)
	setBack(d, s.clock.Ahead())
	return nil
}

// Unreported implements [ledger.FeedbackLog]. The database doesn't filter the deliveries: it
// would read any number of them to find a page of those that match.
func (s *Store) Unreported(ctx context.Context, company, channel string, createdAfter time.Time, after int64) (found []ledger.Delivery, next int64, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	var c conditions
	c.compare("company =", company)
	c.after("id", after, false)
	l := listing[ledger.Delivery]{name: "deliveries", query: selectTargets, where: c.where(), order: "id DESC", args: c.arguments(), scan: s.scanTarget}
	page, more, err := l.read(ctx, s, 0, maxLogPage)
	if err != nil {
		return nil, 0, err
	}
	for i := range page {
		d := &page[i]
		if !d.CreatedAt.After(createdAfter) {
			return found, 0, nil
		}
		if d.Channel == channel && d.State == ledger.DeliverySent && d.Outcome == ledger.OutcomeNone {
			found = append(found, *d)
		}
	}
	if more {
		next = page[len(page)-1].ID
	}
	return found, next, nil
}

// RecordFeedback implements [ledger.FeedbackLog].
func (s *Store) RecordFeedback(ctx context.Context, reports []ledger.Feedback) ([]bool, error) {
	changed := make([]bool, 0, len(reports))
	for some := range slices.Chunk(reports, feedbackStep) {
		done, err := s.recordSome(ctx, some)
		if err != nil {
			return changed, fmt.Errorf("recording what a provider reported: %w", err)
		}
		changed = append(changed, done...)
	}
	return changed, nil
}

func (s *Store) recordSome(ctx context.Context, reports []ledger.Feedback) ([]bool, error) {
	ids := make([]int64, len(reports))
	for i := range reports {
		ids[i] = reports[i].Delivery
	}
	targets, err := s.FeedbackTargets(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]*ledger.Delivery, len(targets))
	for i := range targets {
		byID[targets[i].ID] = &targets[i]
	}
	// Most repeated reports end here, without a write.
	if !slices.ContainsFunc(reports, func(f ledger.Feedback) bool {
		d := byID[f.Delivery]
		return d != nil && d.Company == f.Company && f.Outcome.Rank() > d.Outcome.Rank()
	}) {
		return make([]bool, len(reports)), nil
	}
	freed, settled := map[string]int64{}, false
	committed := func() {
		for i := range reports {
			if d := byID[reports[i].Delivery]; d != nil && reports[i].Suppress != "" {
				s.suppressed.add(ledger.Lane{Company: d.Company, Channel: d.Channel})
			}
		}
		if settled {
			s.deliveries.Raise() // messages that stand in for others have a time now
		}
	}
	changed, err := write(ctx, s, &driver.Job{Background: true, Committed: committed}, func(tx driver.Tx) ([]bool, error) {
		clear(freed)
		settled = false
		changed := make([]bool, len(reports))
		for i := range reports {
			d := byID[reports[i].Delivery]
			if d == nil {
				continue
			}
			var err error
			if changed[i], err = s.recordOne(tx, &reports[i], d); err != nil {
				return nil, err
			}
			if changed[i] && d.Reason == reasonUnknown {
				bytes, err := s.settle(tx, d)
				if err != nil {
					return nil, err
				}
				freed[d.Company] += bytes
				settled = true
			}
		}
		return changed, nil
	})
	if err != nil {
		return nil, err
	}
	for company, bytes := range freed {
		s.usage.add(company, 0, -bytes)
	}
	return changed, nil
}

func (s *Store) recordOne(tx driver.Tx, f *ledger.Feedback, d *ledger.Delivery) (changed bool, err error) {
	n, err := tx.Exec(recordOutcome, f.Outcome, f.Detail, s.stored(f.At), f.Delivery, f.Company, f.Outcome.Rank())
	if err != nil || n == 0 {
		return false, err
	}
	if f.Suppress == "" {
		return true, nil
	}
	err = s.suppress(tx, ledger.Suppression{
		Company: d.Company, Channel: d.Channel, Address: d.Recipient, Reason: f.Suppress, Source: ledger.SourceFeedback,
	}, f.Suppress.KeepFor())
	if errors.Is(err, ledger.ErrSuppressionsFull) {
		err = nil // the outcome is recorded all the same
	}
	return true, err
}

// settle marks a delivery as sent that its provider turned out to have accepted, as
// [Store.MarkSent] does. It returns how many bytes less are stored.
func (s *Store) settle(tx driver.Tx, d *ledger.Delivery) (freed int64, err error) {
	now := s.now()
	n, err := tx.Exec(settleUnknown, now, d.ID)
	if err != nil || n == 0 {
		return 0, err
	}
	if d.Sensitive {
		if freed, err = s.mask(tx, d.ID); err != nil {
			return 0, err
		}
	}
	n, err = s.endFallbacks(tx, d.ID, ledger.DeliverySent, "", now)
	return freed + n, err
}

func join(places []string) string { return strings.Join(places, ", ") }
