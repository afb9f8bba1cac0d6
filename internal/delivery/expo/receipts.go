// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expo

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/httpapi"
	"github.com/rehive/extension-operator/internal/outbound"
)

const (
	// receiptDelay is how long Expo asks to wait before a receipt is read.
	receiptDelay = 15 * time.Minute
	// receiptExpiry is how long Expo keeps receipts.
	receiptExpiry = 24 * time.Hour
	// receiptInterval is how often due receipts are read.
	receiptInterval = time.Minute
	// maxReceiptBatch is how many receipts are read in one call; Expo allows no more.
	maxReceiptBatch = 1000
	// maxPendingReceipts bounds memory, at about 300 bytes each.
	maxPendingReceipts = 20_000
)

// pendingReceipt is a ticket whose receipt is still to be read.
type pendingReceipt struct {
	id, company, user, token, key string
	delivery                      int64

	accepted, due time.Time
}

// pendingReceipts are kept in memory, in the order in which they fall due. Beyond the bound the
// oldest are dropped. After a restart, [Config.Earlier] knows a ticket of each message.
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

// restore adds earlier tickets, unless they are among those that are pending.
func (p *pendingReceipts) restore(earlier []Ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := make(map[string]bool, len(p.queue))
	for i := range p.queue {
		known[p.queue[i].id] = true
	}
	for _, t := range earlier {
		if !known[t.ID] && t.ID != "" {
			p.queue = append(p.queue, pendingReceipt{
				id: t.ID, company: t.Company, user: t.User, key: t.Key, delivery: t.Delivery, accepted: t.Accepted, due: t.Accepted.Add(receiptDelay),
			})
		}
	}
	slices.SortStableFunc(p.queue, func(a, b pendingReceipt) int { return a.due.Compare(b.due) })
	p.queue = p.queue[max(0, len(p.queue)-maxPendingReceipts):]
}

// take removes and returns those that are due, up to a batch.
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

// Run reads receipts as they fall due, until ctx is done. Without it receipts are never
// read.
func (p *Provider) Run(ctx context.Context) {
	ticker := p.config.Clock.NewTicker(receiptInterval)
	defer ticker.Stop()
	restored := !p.config.Report || p.config.Earlier == nil
	for {
		if !restored {
			// If it fails, it is repeated the next time.
			earlier, err := p.config.Earlier(ctx, p.config.Clock.Now().Add(-receiptExpiry))
			if restored = err == nil; restored {
				p.receipts.restore(earlier)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			// Receipts that could not be read are read the next time.
			_ = p.checkReceipts(ctx)
		}
	}
}

// checkReceipts reads the receipts that are due and passes what they say to the feedback.
// Those that don't exist yet are requested again after receiptDelay, until they expire.
func (p *Provider) checkReceipts(ctx context.Context) error {
	for {
		now := p.config.Clock.Now()
		due := p.receipts.take(now)
		if len(due) == 0 {
			return nil
		}
		missing, err := p.checkBatch(ctx, due)
		for _, r := range missing {
			if now.Sub(r.accepted) < receiptExpiry {
				p.receipts.add(now, r)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *Provider) checkBatch(ctx context.Context, due []pendingReceipt) (missing []pendingReceipt, err error) {
	ids := make([]string, len(due))
	for i, r := range due {
		ids[i] = r.id
	}
	body, err := httpapi.JSON(map[string][]string{"ids": ids})
	if err != nil {
		return nil, err
	}
	resp, err := p.api.Call(ctx, http.MethodPost, "/--/api/v2/push/getReceipts", "application/json", body)
	if err != nil {
		return due, err
	}
	receipts, err := p.readReceipts(resp)
	if err != nil {
		return due, err
	}
	var outcomes []Outcome
	for _, r := range due {
		receipt, found := receipts[r.id]
		switch {
		case !found:
			missing = append(missing, r)
			continue
		case receipt.Status == "ok":
		case receipt.error() == "DeviceNotRegistered":
			token := r.token
			if token == "" && tokenPattern.MatchString(receipt.Details.Token) {
				token = receipt.Details.Token
			}
			p.markDead(ctx, r.company, r.user, token)
		case p.config.Feedback != nil:
			p.config.Feedback.Undelivered(ctx, r.company, r.key, undeliveredReason(receipt.error()))
		}
		outcomes = addOutcome(outcomes, &r, &receipt)
	}
	if p.config.Report && p.config.Feedback != nil && len(outcomes) > 0 {
		p.config.Feedback.Outcomes(ctx, outcomes)
	}
	return missing, nil
}

// addOutcome adds what a receipt says about its message. The receipts of the devices of one
// message follow one another; one device that accepted it is enough.
func addOutcome(outcomes []Outcome, r *pendingReceipt, receipt *ticket) []Outcome {
	if n := len(outcomes); n == 0 || outcomes[n-1].Delivery != r.delivery || outcomes[n-1].Company != r.company {
		outcomes = append(outcomes, Outcome{Company: r.company, Delivery: r.delivery})
	}
	last := &outcomes[len(outcomes)-1]
	switch {
	case receipt.Status == "ok":
		last.Delivered, last.Reason = true, ""
	case !last.Delivered && receipt.error() == "DeviceNotRegistered":
		last.Reason = receipt.error()
	case !last.Delivered:
		last.Reason = undeliveredReason(receipt.error())
	}
	return outcomes
}

// undeliveredReason returns the error of a receipt as one of a fixed set of words: it
// becomes the label of a metric, and the server could answer with any text.
func undeliveredReason(code string) string {
	switch code {
	case "MessageTooBig", "MessageRateExceeded", "MismatchSenderId", "InvalidCredentials", "DeveloperError", "ExpoError", "ProviderError":
		return code
	case "":
		return "Unknown"
	}
	return "Other"
}

func (p *Provider) readReceipts(resp *outbound.Response) (map[string]ticket, error) {
	if resp.Status != http.StatusOK {
		return nil, p.callError(resp, "")
	}
	var answer struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := httpapi.Decode(resp.Body, &answer); err != nil || answer.Data == nil {
		return nil, p.api.UnexpectedAnswer()
	}
	receipts := make(map[string]ticket, len(answer.Data))
	for id, raw := range answer.Data {
		var receipt ticket
		// Members of an unexpected type keep their zero values.
		if _ = json.Unmarshal(raw, &receipt); receipt.Status != "" {
			receipts[id] = receipt
		}
	}
	return receipts, nil
}
