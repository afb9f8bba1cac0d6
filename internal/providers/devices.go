// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
)

// Reasons why messages wait for the platform.
const (
	// ReasonPlatformBusy is the reason of a message for which the platform can't be asked yet,
	// because the company's calls to the platform have used up their share.
	ReasonPlatformBusy = "PlatformBusy"
	// ReasonTokenMissing and ReasonTokenRefused are the reasons of a message that waits for a
	// new token of its company.
	ReasonTokenMissing = "TokenMissing"
	ReasonTokenRefused = "TokenRefused"
	// ReasonPermissionMissing is the reason of a message that waits for a permission of the
	// extension on Rehive.
	ReasonPermissionMissing = "PermissionMissing"
)

// Devices reads the devices of users from the platform, with the token of the message's
// company, so that no company can reach another's users.
type Devices struct {
	Platform  *rehive.Client
	Companies Companies
}

// PushTokens implements [expo.Devices].
func (d Devices) PushTokens(ctx context.Context, company, user string) ([]string, error) {
	a, err := d.Companies.Activation(ctx, company)
	if err != nil {
		return nil, fmt.Errorf("finding the company's activation: %w", err)
	}
	token, err := d.Companies.Token(ctx, a)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the company's token: %w", err)
	case token == "":
		return nil, provider.Misconfigured(ReasonTokenMissing, "The company has no token to read the user's devices with.")
	}
	devices, err := d.Platform.WithToken(token).Paced().UserDevices(ctx, user)
	switch {
	case rehive.IsUnauthorized(err):
		return nil, provider.Misconfigured(ReasonTokenRefused, "Rehive refuses the company's token, so the user's devices can't be read.")
	case rehive.IsForbidden(err):
		return nil, provider.Misconfigured(ReasonPermissionMissing, "Rehive doesn't let the extension read devices: it needs the admin permission to view devices.")
	case rehive.IsPermanent(err):
		return nil, provider.Permanent("RecipientInvalid", "Rehive knows no such user.")
	case rehive.IsHeldBack(err):
		return nil, provider.HeldBack(ReasonPlatformBusy, "The user's devices are read when it is the company's turn to call the platform.", rehive.RetryAfter(err))
	case err != nil:
		return nil, provider.Transient(provider.ReasonDevicesUnavailable, "The user's devices can't be read from the platform.", rehive.RetryAfter(err))
	}
	var tokens []string
	for _, device := range devices {
		// If the platform ignored the filter, it would return the devices of all users.
		if device.Archived || device.User.ID != "" && !strings.EqualFold(device.User.ID, user) {
			continue
		}
		for _, app := range device.Apps {
			if app.Type == "expo" && app.Token != "" {
				tokens = append(tokens, app.Token)
			}
		}
	}
	return tokens, nil
}

// DeadTokens stores the push tokens that Expo reported dead in the ledger, so that all replicas
// know them, including those that start later.
type DeadTokens struct{ Ledger ledger.Suppressions }

// MarkDead implements [expo.DeadTokens].
func (d DeadTokens) MarkDead(ctx context.Context, company, user, hash string) error {
	s := ledger.Suppression{Company: company, Channel: ledger.ChannelPush, Recipient: user, Address: hash, Reason: ledger.SuppressedDeadToken}
	if err := d.Ledger.Suppress(ctx, s, expo.DeadFor); err != nil {
		return fmt.Errorf("storing a dead push token: %w", err)
	}
	return nil
}

// Dead implements [expo.DeadTokens].
func (d DeadTokens) Dead(ctx context.Context, company, user string) ([]string, error) {
	found, err := d.Ledger.Suppressed(ctx, company, ledger.ChannelPush, user)
	if err != nil {
		return nil, fmt.Errorf("reading a user's dead push tokens: %w", err)
	}
	hashes := make([]string, len(found))
	for i, s := range found {
		hashes[i] = s.Address
	}
	return hashes, nil
}

// Forget implements [expo.DeadTokens].
func (d DeadTokens) Forget(ctx context.Context, company, user string, hashes []string) error {
	if err := d.Ledger.Unsuppress(ctx, company, ledger.ChannelPush, user, hashes...); err != nil {
		return fmt.Errorf("deleting a user's dead push tokens: %w", err)
	}
	return nil
}

// Feedback counts the outcomes of push messages after they were accepted.
type Feedback struct {
	// Record, if not nil, records the outcomes of push messages.
	Record func(ctx context.Context, outcomes []expo.Outcome) error

	log         logr.Logger
	dead        prometheus.Counter
	undelivered *prometheus.CounterVec
}

// NewFeedback registers the metrics, unless r is nil.
func NewFeedback(r prometheus.Registerer, log logr.Logger) (*Feedback, error) {
	f := &Feedback{
		log: log,
		dead: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "push_dead_tokens_total",
			Help: "Push tokens of apps that were removed or refuse notifications.",
		}),
		undelivered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "push_undelivered_total",
			Help: "Push messages that Expo accepted but Apple or Google refused, by reason.",
		}, []string{"reason"}),
	}
	if r == nil {
		return f, nil
	}
	for _, c := range []prometheus.Collector{f.dead, f.undelivered} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of push messages: %w", err)
		}
	}
	return f, nil
}

// DeadToken implements [expo.Feedback].
func (f *Feedback) DeadToken(_ context.Context, company, _, _ string) {
	f.dead.Inc()
	f.log.V(1).Info("A device's app was removed", "company", company)
}

// Undelivered implements [expo.Feedback].
func (f *Feedback) Undelivered(_ context.Context, company, key, reason string) {
	f.undelivered.WithLabelValues(reason).Inc()
	f.log.Info("A push message was accepted and not delivered", "company", company, "delivery", key, "reason", reason)
}

// Outcomes implements [expo.Feedback].
func (f *Feedback) Outcomes(ctx context.Context, outcomes []expo.Outcome) error {
	if f.Record == nil {
		return nil
	}
	err := f.Record(ctx, outcomes)
	if err != nil {
		f.log.Error(err, "Recording the outcomes of push messages failed; retrying", "messages", len(outcomes))
	}
	return err
}
