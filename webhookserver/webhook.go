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
	"strings"

	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// webhook accepts an event: POST /api/webhook/. When it answers 200 the event is
// durable; everything else happens after that.
func (s *Server) webhook(ctx context.Context, c *call) (answer, error) {
	event, err := s.readEvent(c.request)
	if err != nil {
		return answer{}, err
	}
	if err := s.authenticateWebhook(ctx, event.Company, webhookSecret(c.request)); err != nil {
		return answer{}, err
	}
	if err := notify.CheckData(event.Data); err != nil {
		return answer{}, &apiError{
			status:  http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("The data of the event holds more than %d values.", notify.MaxValues),
		}
	}
	duplicate, err := s.events.AcceptEvent(ctx, event)
	if err != nil {
		// Not a 4xx whatever the reason: the platform must send it again.
		return answer{}, unavailable(fmt.Errorf("accepting the event: %w", err),
			"The event could not be stored. Try again later.")
	}
	if duplicate {
		s.metrics.duplicateEvents.Inc()
	} else {
		s.metrics.newEvents.Inc()
	}
	if log := c.log.V(1); log.Enabled() { // else what it would say would still be gathered
		log.Info("Accepted a webhook", "company", event.Company, "event", event.Name, "id", event.ID, "duplicate", duplicate)
	}
	return answer{}, nil
}

// readEvent reads and checks the body of a webhook. An event that no rule names,
// or that nobody has heard of, is as good as any other: a rule for it may be on
// its way.
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
	return event, f.err()
}

// webhookSecret returns what stands in "Authorization: Secret <secret>", empty
// when the header has another form.
func webhookSecret(r *http.Request) string {
	parts := strings.Fields(r.Header.Get("Authorization"))
	if len(parts) != 2 || !strings.EqualFold(parts[0], "secret") {
		return ""
	}
	return parts[1]
}

// authenticateWebhook checks a webhook's secret against that of the company's
// activation, both from the cache. An unknown company, an inactive one and a
// wrong secret get the same answer after the same comparison, so that nobody
// can find out who the customers are.
func (s *Server) authenticateWebhook(ctx context.Context, company, secret string) error {
	want, err := s.wantedSecret(ctx, company)
	if err != nil {
		return err
	}
	given, held := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(given[:], held[:]) != 1 || want == "" {
		return invalidField(nil, "company", "Invalid company.")
	}
	return nil
}

// wantedSecret returns the webhook secret of a company, empty when the company
// may not send webhooks.
func (s *Server) wantedSecret(ctx context.Context, company string) (string, error) {
	unreadable := func(err error) error {
		return unavailable(err, "The company could not be looked up. Try again later.")
	}
	held, err := s.activations.Find(ctx, company)
	if err != nil {
		return "", unreadable(err)
	}
	if held == nil || !held.IsActive() {
		return "", nil
	}
	credentials, err := s.activations.Credentials(ctx, held)
	if errors.Is(err, activation.ErrMissing) {
		return "", nil
	}
	if err != nil {
		return "", unreadable(err)
	}
	return credentials.WebhookSecret, nil
}
