// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

// Time is a stored time, by the ledger's clock.
func Time(milliseconds int64) time.Time { return time.UnixMilli(milliseconds).UTC() }

// The columns of a claimed event, before and after the number of unfinished claims.
const (
	claimedEventHead = "id, event_id, name, received_at, attempts, "
	claimedEventTail = ", CASE WHEN length(data) <= 65536 THEN data END, length(data)"
)

// ClaimedEventColumns are those that [ScanClaimedEvents] reads, with an expression for
// the number of unfinished claims. Data larger than [ledger.MaxClaimedData] is NULL.
func ClaimedEventColumns(unfinished string) string {
	return claimedEventHead + unfinished + claimedEventTail
}

// ScanClaimedEvents reads the result of a query for [ClaimedEventColumns] and closes it.
// The events lack their company.
func ScanClaimedEvents(rows *sql.Rows, failed error) (found []ledger.ClaimedEvent, err error) {
	if failed != nil {
		return nil, failed
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ledger.ClaimedEvent
		var received int64
		if err := rows.Scan(&e.Key, &e.ID, &e.Name, &received, &e.Attempts, &e.Unfinished, &e.Data, &e.Size); err != nil {
			return nil, err
		}
		e.ReceivedAt = Time(received)
		found = append(found, e)
	}
	return found, rows.Err()
}

// NoDigest marks texts that were masked without a key.
const NoDigest = "-"

const (
	deliveryHead = "deliveries.id, company, event_id, event_name, event_received_at, rule, copy, channel, recipient, user_id," +
		" state, reason, message, attempts, "
	deliveryDates = ", next_attempt_at, provider_id, received_at, created_at, updated_at, expires_at, sensitive, outcome, outcome_detail, outcome_at, fallback_of, "
	wholeContent  = "COALESCE(sender, ''), COALESCE(subject, ''), COALESCE(text, ''), COALESCE(html, ''), COALESCE(sms, ''), COALESCE(digest, ''), sealed, "
	smallContent  = "COALESCE(sender, '')," +
		" CASE WHEN octet_length(subject) <= 32768 THEN subject ELSE '' END," +
		" CASE WHEN octet_length(text) <= 32768 THEN text ELSE '' END," +
		" CASE WHEN octet_length(html) <= 32768 THEN html ELSE '' END, COALESCE(sms, ''), COALESCE(digest, '')," +
		" CASE WHEN octet_length(sealed) <= 98304 THEN sealed END, "
	contentSize = "COALESCE(octet_length(subject), 0) + COALESCE(octet_length(text), 0) + COALESCE(octet_length(html), 0) + COALESCE(octet_length(sealed), 0)"
)

const (
	// DeliveryColumns are those that [ScanDelivery] reads, from deliveries
	// [WithContents].
	DeliveryColumns = deliveryHead + "unfinished" + deliveryDates + wholeContent + contentSize
	// WithContents joins deliveries with what they say.
	WithContents = " LEFT JOIN contents ON contents.id = content "
	// SelectDeliveries reads [DeliveryColumns].
	SelectDeliveries = "SELECT " + DeliveryColumns + " FROM deliveries" + WithContents
)

// ClaimedDeliveryColumns are [DeliveryColumns] without texts larger than 32 KiB, with an
// expression for the number of unfinished claims.
func ClaimedDeliveryColumns(unfinished string) string {
	return deliveryHead + unfinished + deliveryDates + smallContent + contentSize
}

// ScanDelivery reads a row of [DeliveryColumns], with the ledger's times.
func ScanDelivery(rows *sql.Rows, d *ledger.Delivery) error {
	var received, next, seen, created, updated, expires, sensitive, outcome int64
	var sms string
	err := rows.Scan(&d.ID, &d.Company, &d.EventID, &d.EventName, &received, &d.RuleName, &d.Copy, &d.Channel, &d.Recipient, &d.UserID,
		&d.State, &d.Reason, &d.Message, &d.Attempts, &d.Unfinished, &next, &d.ProviderID, &seen, &created, &updated, &expires, &sensitive, &d.Outcome, &d.OutcomeDetail, &outcome, &d.FallbackOf,
		&d.Content.From, &d.Content.Subject, &d.Content.Text, &d.Content.HTML, &sms, &d.Digest, &d.Sealed, &d.Size)
	if err != nil {
		return err
	}
	if len(d.Sealed) == 0 {
		d.Sealed = nil
	}
	if err := DecodeSMS(sms, &d.Content.SMS); err != nil {
		return err
	}
	d.EventReceivedAt, d.NextAttemptAt = Time(received), Time(next)
	d.CreatedAt, d.UpdatedAt = Time(created), Time(updated)
	if d.Digest == NoDigest {
		d.Digest = ""
	}
	if d.Sensitive = sensitive != 0; expires != 0 {
		d.ExpiresAt = Time(expires)
	}
	if seen != 0 {
		d.ReceivedAt = Time(seen)
	}
	if outcome != 0 {
		d.OutcomeAt = Time(outcome)
	}
	return nil
}

// EncodeSMS returns how an SMS is sent as its column holds it: as JSON, or nothing if it is
// sent as its text.
func EncodeSMS(o ledger.SMSOptions) (string, error) {
	if o == (ledger.SMSOptions{}) {
		return "", nil
	}
	encoded, err := json.Marshal(o)
	return string(encoded), err
}

// DecodeSMS reads the column that [EncodeSMS] wrote.
func DecodeSMS(text string, o *ledger.SMSOptions) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), o); err != nil {
		return fmt.Errorf("reading how an SMS is sent: %w", err)
	}
	return nil
}

// ScanDeliveries reads the result of a query for [DeliveryColumns] and closes it.
func ScanDeliveries(rows *sql.Rows, failed error) (found []ledger.Delivery, err error) {
	if failed != nil {
		return nil, failed
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d ledger.Delivery
		if err := ScanDelivery(rows, &d); err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, rows.Err()
}
