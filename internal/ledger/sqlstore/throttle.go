// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// countThrottled counts one message to a recipient of a rule, unless the limit is reached or
// the event, which may be decided again, has the message already.
const countThrottled = `
	INSERT INTO throttles (company, rule, channel, recipient, ends_at, n)
	SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), 1
	WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE event = $6 AND rule = $2 AND channel = $3 AND recipient = $7 AND copy = 0)
	ON CONFLICT (company, rule, channel, recipient) DO UPDATE SET
		n = CASE WHEN throttles.ends_at <= $8 THEN 1 ELSE throttles.n + 1 END,
		ends_at = CASE WHEN throttles.ends_at <= $8 THEN excluded.ends_at ELSE throttles.ends_at END,
		digest = CASE WHEN throttles.ends_at <= $8 THEN 0 ELSE throttles.digest END
	WHERE throttles.ends_at <= $8 OR throttles.n < $9`

// isThrottled reports whether a delivery is a message with a limit.
func isThrottled(d *ledger.NewDelivery) bool {
	if d.Throttle == nil {
		return false
	}
	state, _, _ := d.Outcome()
	return state == ledger.DeliveryPending
}

// throttled reports whether any of the deliveries is a message with a limit.
func (c *completion) throttled() bool {
	for i := range c.deliveries {
		if isThrottled(&c.deliveries[i]) {
			return true
		}
	}
	return false
}

// throttle counts the messages whose rules limit them, and returns what is stored instead:
// those beyond the limit are recorded as skipped, and collected if they have a digest. It counts
// in the transaction that stores the messages, so that a message is counted once however often
// its event is decided. Stored is how many bytes are stored for new digests.
func (s *Store) throttle(tx driver.Tx, e *ledger.ClaimedEvent, now int64, c *completion) (_ *completion, stored int64, err error) {
	kept := *c // the job may run again
	kept.deliveries, kept.says = slices.Clone(c.deliveries), slices.Clone(c.says)
	var limited []int
	for i := range kept.deliveries {
		if isThrottled(&kept.deliveries[i]) {
			limited = append(limited, i)
		}
	}
	// In one order in all transactions, which otherwise could deadlock.
	slices.SortStableFunc(limited, func(i, j int) int {
		a, b := &kept.deliveries[i], &kept.deliveries[j]
		return cmp.Or(strings.Compare(a.RuleName, b.RuleName), strings.Compare(a.Channel, b.Channel), strings.Compare(a.Throttle.Key, b.Throttle.Key))
	})
	for _, i := range limited {
		d := &kept.deliveries[i]
		t := d.Throttle
		recipient := c.hidden(d.Channel, t.Key)
		n, err := tx.Exec(countThrottled, e.Company, d.RuleName, d.Channel, recipient, now+t.Period.Milliseconds(), e.Key, d.Recipient, now, t.Messages)
		if err != nil {
			return nil, 0, err
		}
		if n > 0 {
			continue
		}
		d.Content, kept.says[i] = ledger.Content{}, 0
		if t.Digest != nil {
			message, bytes, err := s.collect(tx, e, now, d, recipient)
			if err != nil {
				return nil, 0, err
			}
			stored += bytes
			if message != "" {
				d.SkipReason, d.SkipMessage = ledger.ReasonCollected, message
				continue
			}
		}
		d.SkipReason = ledger.ReasonThrottled
		d.SkipMessage = fmt.Sprintf("spec.throttle allows %d messages to one recipient per %s", t.Messages, period(t.Period))
	}
	kept.dropUnused()
	return &kept, stored, nil
}

// period writes a duration without units that are zero.
func period(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// DeleteThrottles implements [ledger.Retention].
func (s *Store) DeleteThrottles(ctx context.Context) error {
	err := s.inSteps(ctx, nil, "DELETE FROM throttles WHERE id IN (SELECT id FROM throttles WHERE ends_at <= $1 LIMIT $2)", s.now(), step)
	if err != nil {
		return fmt.Errorf("deleting counts of throttled rules: %w", err)
	}
	return nil
}
