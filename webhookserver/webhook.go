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
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// fullRetryAfter is the Retry-After of a company that has used up its share of the ledger.
const fullRetryAfter = time.Minute

// webhook answers POST /api/webhook/, which accepts an event. When it answers 200, the
// event is durable; everything else happens later.
func (s *Server) webhook(ctx context.Context, c *call) (rest.Answer, error) {
	secret := credential(c.request, "secret")
	if err := s.admitWebhook(ctx, secret); err != nil {
		return rest.Answer{}, err
	}
	s.vouchFor(c.request)
	memory, err := s.reserveBody(ctx, c.request, secret)
	if err != nil {
		return rest.Answer{}, err
	}
	defer memory.Release()
	event, err := s.readEvent(c.request)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := s.authenticateWebhook(ctx, event.Company, secret); err != nil {
		return rest.Answer{}, err
	}
	if err := notify.CheckData(event.Data); err != nil {
		return rest.Answer{}, &rest.Error{
			Status:  http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("The data of the event holds more than %d values.", notify.MaxValues),
		}
	}
	duplicate, err := s.ledger.AcceptEvent(ctx, event)
	if errors.Is(err, ledger.ErrCompanyFull) {
		return rest.Answer{}, &rest.Error{
			Status: http.StatusInsufficientStorage, RetryAfter: fullRetryAfter, Cause: err,
			Message: "The company has too many events waiting or stored. Try again later.",
		}
	}
	if err != nil {
		// Never a 4xx: the platform must send it again.
		return rest.Answer{}, rest.Unavailable(fmt.Errorf("accepting the event: %w", err),
			"The event could not be stored. Try again later.")
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

// admitWebhook refuses a webhook with an unknown secret before its body is read, with the
// answer for an unknown company.
func (s *Server) admitWebhook(ctx context.Context, secret string) error {
	held, err := s.activations.HoldsWebhookSecret(ctx, secret)
	if err != nil {
		return companyUnreadable(err)
	}
	if !held {
		return rest.InvalidField(nil, "company", invalidCompany)
	}
	return nil
}

// reserveBody waits for up to QueueTime until there is memory for a webhook's body. A body
// of unknown length counts as the largest allowed.
func (s *Server) reserveBody(ctx context.Context, r *http.Request, secret string) (flow.Grant, error) {
	size := r.ContentLength
	if size < 0 {
		size = s.limits.WebhookBody
	}
	if size <= smallBody {
		return flow.Grant{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.QueueTime)
	defer cancel()
	party := sha256.Sum256([]byte(secret)) // one per company, held only as long as the body
	held, err := s.bodyBytes.Acquire(ctx, string(party[:]), size)
	if err != nil {
		return flow.Grant{}, rest.Unavailable(fmt.Errorf("waiting for memory for the body: %w", err), tooManyCalls)
	}
	return held, nil
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
