// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
)

// deletedUser returns the user whom an event reports as deleted, whose data must not be kept.
func deletedUser(event *ledger.ClaimedEvent) (ledger.Subject, bool) {
	// Nearly every user.update is about another change, and has a retention_state all the same:
	// looking for both texts is much faster than parsing.
	if event.Name != rehive.EventUserUpdate || event.Replay != nil ||
		!bytes.Contains(event.Data, []byte(`"deleted"`)) || !bytes.Contains(event.Data, []byte(`"retention_state"`)) {
		return ledger.Subject{}, false
	}
	type addresses struct{ Email, Mobile string }
	var user struct {
		addresses

		ID             string    `json:"id"`
		RetentionState string    `json:"retention_state"`
		Original       addresses `json:"original_user"`
	}
	if json.Unmarshal(event.Data, &user) != nil || user.RetentionState != "deleted" || uuid.Validate(user.ID) != nil {
		return ledger.Subject{}, false
	}
	subject := ledger.Subject{Company: event.Company, UserID: strings.ToLower(user.ID)}
	for _, address := range []string{user.Email, user.Mobile, user.Original.Email, user.Original.Mobile} {
		if address != "" && !slices.Contains(subject.Addresses, address) {
			subject.Addresses = append(subject.Addresses, address)
		}
	}
	return subject, true
}

// erase erases the data of a deleted user, except for an event, in the turn of the company:
// the ledger reads everything that it holds of the company. After an error, including the
// end of the time, the next attempt continues with the remaining data.
func (d *Dispatcher) erase(ctx context.Context, until time.Time, subject ledger.Subject, except int64) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	turn, err := d.processors.Acquire(ctx, subject.Company, 1)
	if err != nil {
		return err
	}
	defer turn.Release()
	_, err = d.Ledger.EraseUser(ctx, subject, ledger.ErasedByPlatform, except)
	return err
}

// withoutSubject returns the deliveries that are not sent to a user who was deleted. The
// others, to a back office for instance, no longer name the user once they have ended.
func withoutSubject(deliveries []ledger.NewDelivery, subject *ledger.Subject) []ledger.NewDelivery {
	is := func(recipient string) bool {
		return strings.EqualFold(recipient, subject.UserID) ||
			slices.ContainsFunc(subject.Addresses, func(address string) bool { return strings.EqualFold(recipient, address) })
	}
	deliveries = slices.DeleteFunc(deliveries, func(d ledger.NewDelivery) bool { return is(d.Recipient) })
	for i := range deliveries {
		if d := &deliveries[i]; is(d.UserID) {
			d.UserID, d.Sensitive = "", d.Channel != ledger.ChannelSystem
		}
	}
	return deliveries
}
