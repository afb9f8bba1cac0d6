// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// suppressedOf returns a function that reads which recipients of a company are suppressed.
func (d *Dispatcher) suppressedOf(company string) func(context.Context, notify.Channel, []string) (map[string]notify.Suppression, error) {
	return func(ctx context.Context, channel notify.Channel, recipients []string) (map[string]notify.Suppression, error) {
		found, err := d.Ledger.SuppressedAmong(ctx, company, string(channel), recipients...)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		reasons := make(map[string]notify.Suppression, len(found))
		for recipient, reason := range found {
			reasons[recipient] = notify.Suppression{Reason: string(reason), Hard: reason.Hard()}
		}
		return reasons, nil
	}
}

// endBounces ends the suppression of an address that the platform has verified: a message
// arrived there. It doesn't end what the recipient wants. A replay says nothing new: the address
// may have bounced since.
func (d *Dispatcher) endBounces(ctx context.Context, e *ledger.ClaimedEvent) error {
	if e.Replay != nil {
		return nil
	}
	var channel string
	switch e.Name {
	case "email.create", "email.update":
		channel = ledger.ChannelEmail
	case "mobile.create", "mobile.update":
		channel = ledger.ChannelSMS
	default:
		return nil
	}
	var data struct {
		Email    string `json:"email"`
		Number   string `json:"number"`
		Verified bool   `json:"verified"`
		Archived bool   `json:"archived"`
	}
	// Data of another form says nothing.
	if json.Unmarshal(e.Data, &data) != nil || !data.Verified || data.Archived {
		return nil //nolint:nilerr // see above
	}
	address := data.Email
	if channel == ledger.ChannelSMS {
		address, _ = notify.Recipient(notify.ChannelSMS, "", data.Number)
	}
	n, err := d.Ledger.EndSuppressions(ctx, e.Company, channel, address, ledger.SuppressedHardBounce)
	if n > 0 {
		d.Log.Info("An address is no longer suppressed, because it was verified", "company", e.Company, "event", e.ID)
	}
	return err
}
