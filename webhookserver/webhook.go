// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/tracing"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// fullRetryAfter is the Retry-After of a company that has used up its share of the ledger.
const fullRetryAfter = time.Minute

// webhook answers POST /api/webhook/, which accepts an event. When it answers 200, the
// event is durable; everything else happens later.
func (s *Server) webhook(ctx context.Context, c *call) (rest.Answer, error) {
	secret := credential(c.request, "secret")
	sender, err := s.admitWebhook(ctx, secret)
	if err != nil {
		return rest.Answer{}, err
	}
	s.vouchFor(c.request, sender)
	party := sender.String()
	memory, err := s.acquire(ctx, c.request, s.bodyBytes, party, bodySize(c.request, s.limits.WebhookBody))
	if err != nil {
		return rest.Answer{}, err
	}
	defer memory.Release()
	event, err := s.readEvent(c.request)
	if err != nil {
		return rest.Answer{}, err
	}
	slot, err := s.acquire(ctx, c.request, s.webhookSlots, party, 1)
	if err != nil {
		return rest.Answer{}, err
	}
	defer slot.Release()
	if err := s.authenticateWebhook(ctx, event.Company, secret); err != nil {
		return rest.Answer{}, err
	}
	if err := notify.CheckData(event.Data); err != nil {
		return rest.Answer{}, &rest.Error{
			Status:  http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("The data of the event holds more than %d values.", notify.MaxValues),
		}
	}
	duplicate, err := s.accept(ctx, c, event)
	if err != nil {
		return rest.Answer{}, err
	}
	if duplicate {
		s.metrics.duplicateEvents.Inc()
	} else {
		s.metrics.newEvents.Inc()
	}
	if log := c.log.V(1); log.Enabled() { // avoids building the arguments
		log.Info("Accepted a webhook", "company", event.Company, "event", event.Name, "eventID", event.ID, "duplicate", duplicate)
	}
	return rest.Answer{}, nil
}

// accept stores the event of an authenticated webhook, and reports whether it was stored
// before.
func (s *Server) accept(ctx context.Context, c *call, event ledger.Event) (duplicate bool, err error) {
	if trace := s.traces.Event(event.Company, event.ID); trace.Recorded() {
		storing := time.Now()
		defer func() {
			status := http.StatusOK
			var refusal *rest.Error
			if errors.As(err, &refusal) {
				status = refusal.Status
			}
			trace.Accepted(tracing.Acceptance{
				Begun: c.begun, Storing: storing, Name: event.Name, Route: c.route, Status: status,
				TLS: c.request.TLS != nil, Duplicate: duplicate, Header: c.request.Header,
			})
		}()
	}
	duplicate, err = s.ledger.AcceptEvent(ctx, event)
	if errors.Is(err, ledger.ErrCompanyFull) {
		return false, &rest.Error{
			Status: http.StatusInsufficientStorage, RetryAfter: fullRetryAfter, Cause: err,
			Message: "The company has too many events waiting or stored. Try again later.",
		}
	}
	if err != nil {
		// Never a 4xx: the platform must send it again.
		return false, rest.Unavailable(fmt.Errorf("accepting the event: %w", err),
			"The event could not be stored. Try again later.")
	}
	return duplicate, nil
}

// admitWebhook returns the company whose secret a webhook carries. It refuses one with an
// unknown secret before its body is read, with the answer for an unknown company.
func (s *Server) admitWebhook(ctx context.Context, secret string) (holder, error) {
	found, err := s.activations.FindSecret(ctx, secret)
	if err != nil {
		return holder{}, companyUnreadable(err)
	}
	if found == (holder{}) {
		return holder{}, rest.InvalidField(nil, "company", invalidCompany)
	}
	return found, nil
}

// bodySize is how much memory a body needs; 0 if it is small. A body of unknown length counts
// as the largest allowed.
func bodySize(r *http.Request, largest int64) int64 {
	switch size := r.ContentLength; {
	case size < 0:
		return largest
	case size <= smallBody:
		return 0
	default:
		return size
	}
}

// acquire draws on a budget for a party's request. It waits for up to QueueTime.
func (s *Server) acquire(ctx context.Context, r *http.Request, budget *flow.Budget, party string, n int64) (flow.Grant, error) {
	if n == 0 {
		return flow.Grant{}, nil
	}
	if grant, ok := budget.TryAcquire(party, n); ok {
		return grant, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.QueueTime)
	defer cancel()
	defer waitAside(r)()
	grant, err := budget.Acquire(ctx, party, n)
	if err != nil {
		return flow.Grant{}, rest.Unavailable(fmt.Errorf("waiting for a share of the budget: %w", err), tooManyCalls)
	}
	return grant, nil
}

// companyUnreadable answers 503, because the manager's cache has not synced yet.
func companyUnreadable(cause error) error {
	return rest.Unavailable(cause, "The company could not be looked up. Try again later.")
}

// readEvent reads and validates the body of a webhook. Events without a rule, and unknown
// events, are accepted: somebody may be adding a rule for them.
func (s *Server) readEvent(r *http.Request) (ledger.Event, error) {
	f, err := s.readFields(r, "id", "event", "company", "data")
	if err != nil {
		return ledger.Event{}, err
	}
	event := ledger.Event{
		ID:         f.char("id", maxIDLength),
		Name:       f.char("event", maxEventLength),
		Company:    f.char("company", maxCompanyLength),
		Data:       f.json("data"),
		ReceivedAt: s.now(),
	}
	if err := f.err(); err != nil {
		return ledger.Event{}, err
	}
	if notify.IsOwnEvent(event.Name) {
		return ledger.Event{}, rest.InvalidField(nil, "event", "This event can't be sent as a webhook.")
	}
	return event, nil
}

// authenticateWebhook compares a webhook's secret with that of the company's activation in
// the cache. An unknown company, an inactive one and a wrong secret get the same answer
// after the same comparison, so that nobody can find out which companies exist.
func (s *Server) authenticateWebhook(ctx context.Context, company, secret string) error {
	want, err := s.expectedSecret(ctx, company)
	if err != nil {
		return err
	}
	given, held := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(given[:], held[:]) != 1 || want == "" {
		return rest.InvalidField(nil, "company", invalidCompany)
	}
	return nil
}

// expectedSecret returns the webhook secret of a company, or "" if the company may not send
// webhooks.
func (s *Server) expectedSecret(ctx context.Context, company string) (string, error) {
	held, err := s.activations.Find(ctx, company)
	if err != nil {
		return "", companyUnreadable(err)
	}
	if held == nil || !held.IsActive() {
		return "", nil
	}
	credentials, err := s.activations.Credentials(ctx, held)
	if errors.Is(err, activation.ErrMissing) {
		return "", nil
	}
	if err != nil {
		return "", companyUnreadable(err)
	}
	return credentials.WebhookSecret, nil
}
