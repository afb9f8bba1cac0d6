// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/outbound"
)

const (
	// receiptDelay is how long Expo asks to wait before a receipt is read.
	receiptDelay = 15 * time.Minute
	// receiptExpiry is how long Expo keeps receipts.
	receiptExpiry = 24 * time.Hour
	// receiptInterval is how often due receipts are read.
	receiptInterval = time.Minute
	// maxReceiptBatch is how many receipts are read in one call; Expo takes 1000.
	maxReceiptBatch = 300
	// maxPendingReceipts bounds memory, at about 300 bytes each.
	maxPendingReceipts = 20_000
)

// pendingReceipt is a ticket whose receipt is still to be read.
type pendingReceipt struct {
	id, company, user, token, key string

	accepted, due time.Time
}

// pendingReceipts are kept in memory in the order they fall due, and lost when the
// operator stops: receipts tell about tokens to be removed and credentials to be
// mended, which the next message tells again. Beyond the bound the first go.
type pendingReceipts struct {
	mu    sync.Mutex
	queue []pendingReceipt
}

func (p *pendingReceipts) add(now time.Time, r pendingReceipt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.accepted.IsZero() {
		r.accepted = now
	}
	r.due = now.Add(receiptDelay)
	if len(p.queue) >= maxPendingReceipts {
		p.queue = append([]pendingReceipt(nil), p.queue[maxPendingReceipts/10:]...)
	}
	p.queue = append(p.queue, r)
}

// take takes out those that are due, up to a batch.
func (p *pendingReceipts) take(now time.Time) []pendingReceipt {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.queue) && n < maxReceiptBatch && !now.Before(p.queue[n].due) {
		n++
	}
	due := p.queue[:n:n]
	p.queue = p.queue[n:]
	return due
}

// Start reads receipts as they fall due, until ctx is done. It is a
// manager.Runnable. Without it receipts are never read.
func (e *Expo) Start(ctx context.Context) error {
	ticker := e.config.Clock.NewTicker(receiptInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			// What could not be read is read the next time.
			_ = e.CheckReceipts(ctx)
		}
	}
}

// NeedLeaderElection says that every replica reads the receipts of what it sent.
func (e *Expo) NeedLeaderElection() bool { return false }

// CheckReceipts reads the receipts that are due and tells the feedback. Those that
// can't be read yet are asked for again a quarter of an hour later, for a day.
func (e *Expo) CheckReceipts(ctx context.Context) error {
	for {
		now := e.config.Clock.Now()
		due := e.receipts.take(now)
		if len(due) == 0 {
			return nil
		}
		missing, err := e.checkBatch(ctx, due)
		for _, r := range missing {
			if now.Sub(r.accepted) < receiptExpiry {
				e.receipts.add(now, r)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (e *Expo) checkBatch(ctx context.Context, due []pendingReceipt) (missing []pendingReceipt, err error) {
	ids := make([]string, len(due))
	for i, r := range due {
		ids[i] = r.id
	}
	body, err := toJSON(map[string][]string{"ids": ids})
	if err != nil {
		return nil, err
	}
	resp, err := e.api.call(ctx, http.MethodPost, "/--/api/v2/push/getReceipts", "application/json", body)
	if err != nil {
		return due, err
	}
	receipts, err := e.readReceipts(resp)
	if err != nil {
		return due, err
	}
	for _, r := range due {
		receipt, found := receipts[r.id]
		switch {
		case !found:
			missing = append(missing, r)
		case receipt.Status == "ok":
		case receipt.Details.Error == "DeviceNotRegistered":
			e.dead(ctx, r.company, r.user, r.token)
		case e.config.Feedback != nil:
			e.config.Feedback.Undelivered(ctx, r.company, r.key, undeliveredReason(receipt.Details.Error))
		}
	}
	return missing, nil
}

// undeliveredReason is the word for an error of a receipt. It becomes the label of a
// metric, so only words that are known pass: whoever answers could choose any.
func undeliveredReason(code string) string {
	switch code {
	case "MessageTooBig", "MessageRateExceeded", "MismatchSenderId", "InvalidCredentials", "DeveloperError", "ExpoError", "ProviderError":
		return code
	case "":
		return "Unknown"
	}
	return "Other"
}

func (e *Expo) readReceipts(resp *outbound.Response) (map[string]expoTicket, error) {
	if resp.Status != http.StatusOK {
		return nil, e.callError(resp, "")
	}
	var answer struct {
		Data map[string]expoTicket `json:"data"`
	}
	if err := json.Unmarshal(resp.Body, &answer); err != nil || answer.Data == nil {
		return nil, Transient("UnexpectedAnswer", "Expo answered with something that isn't its API's.", 0)
	}
	return answer.Data, nil
}
