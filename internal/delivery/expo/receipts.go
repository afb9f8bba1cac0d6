// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expo

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
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

// pendingReceipts are kept in memory, those of each company in the order in which they fall due.
// Beyond the bound, the oldest of the company with the most are dropped. After a restart,
// [Config.Earlier] knows a ticket of each message.
type pendingReceipts struct {
	mu     sync.Mutex
	queues map[string][]pendingReceipt // by company; none is empty
	total  int
}

func (p *pendingReceipts) add(now time.Time, r pendingReceipt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.accepted.IsZero() {
		r.accepted = now
	}
	r.due = now.Add(receiptDelay)
	p.push(r)
	p.drop()
}

// restore adds earlier tickets, unless they are among those that are pending.
func (p *pendingReceipts) restore(earlier []Ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := make(map[string]bool, p.total)
	for _, queue := range p.queues {
		for i := range queue {
			known[queue[i].id] = true
		}
	}
	for _, t := range earlier {
		if !known[t.ID] && t.ID != "" {
			p.push(pendingReceipt{
				id: t.ID, company: t.Company, user: t.User, key: t.Key, delivery: t.Delivery, accepted: t.Accepted, due: t.Accepted.Add(receiptDelay),
			})
		}
	}
	for _, queue := range p.queues {
		slices.SortStableFunc(queue, func(a, b pendingReceipt) int { return a.due.Compare(b.due) })
	}
	p.drop()
}

// push adds a receipt to its company's queue. The caller holds the lock.
func (p *pendingReceipts) push(r pendingReceipt) {
	if p.queues == nil {
		p.queues = make(map[string][]pendingReceipt)
	}
	p.queues[r.company] = append(p.queues[r.company], r)
	p.total++
}

// remove removes the first receipts of a company's queue. The caller holds the lock.
func (p *pendingReceipts) remove(company string, n int) {
	rest := slices.Delete(p.queues[company], 0, n) // unlike a slice of the queue, it keeps none of them in memory
	p.total -= n
	if len(rest) == 0 {
		delete(p.queues, company)
		return
	}
	p.queues[company] = rest
}

// drop enforces the bound. It drops a tenth of a company's receipts at once, so that it doesn't
// search for the company each time. The caller holds the lock.
func (p *pendingReceipts) drop() {
	for p.total > maxPendingReceipts {
		company, most := "", 0
		for c, queue := range p.queues {
			if len(queue) > most {
				company, most = c, len(queue)
			}
		}
		p.remove(company, min(most/10+1, most))
	}
}

// take removes and returns receipts that are due, up to a batch. Companies share the batch: what
// one with few leaves is for those with more.
func (p *pendingReceipts) take(now time.Time) []pendingReceipt {
	p.mu.Lock()
	defer p.mu.Unlock()
	type part struct {
		company string
		due     int
	}
	var parts []part
	for company, queue := range p.queues {
		due, _ := slices.BinarySearchFunc(queue, now, func(r pendingReceipt, now time.Time) int {
			if now.Before(r.due) {
				return 1
			}
			return -1
		})
		if due > 0 {
			parts = append(parts, part{company, due})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(a.due-b.due, strings.Compare(a.company, b.company)) })
	var batch []pendingReceipt
	for i, part := range parts {
		room := maxReceiptBatch - len(batch)
		n := min(part.due, max(1, room/(len(parts)-i)), room)
		batch = append(batch, p.queues[part.company][:n]...)
		p.remove(part.company, n)
	}
	return batch
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
// Those that don't exist yet, and those whose outcomes can't be recorded, are requested again
// after receiptDelay, until they expire.
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
	if p.config.Report && p.config.Feedback != nil {
		if outcomes := outcomesOf(due, receipts); len(outcomes) > 0 {
			if err := p.config.Feedback.Outcomes(ctx, outcomes); err != nil {
				return due, err // Expo is asked again, and then they are recorded
			}
		}
	}
	for _, r := range due {
		receipt, found := receipts[r.id]
		switch {
		case !found:
			missing = append(missing, r)
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
	}
	return missing, nil
}

// outcomesOf returns what receipts say about their messages, each of which can have several
// devices: one that accepted it is enough.
func outcomesOf(due []pendingReceipt, receipts map[string]ticket) (outcomes []Outcome) {
	type message struct {
		company  string
		delivery int64
	}
	at := make(map[message]int)
	for i := range due {
		r := &due[i]
		receipt, found := receipts[r.id]
		if !found {
			continue
		}
		of := message{r.company, r.delivery}
		n, known := at[of]
		if !known {
			n = len(outcomes)
			at[of], outcomes = n, append(outcomes, Outcome{Company: r.company, Delivery: r.delivery})
		}
		o := &outcomes[n]
		switch {
		case receipt.Status == "ok":
			o.Delivered, o.Reason = true, ""
		case o.Delivered:
		case receipt.error() == "DeviceNotRegistered":
			o.Reason = receipt.error()
		default:
			o.Reason = undeliveredReason(receipt.error())
		}
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
