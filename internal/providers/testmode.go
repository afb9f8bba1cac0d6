// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/testmode"
)

const (
	// ReasonTestMode is why a message of a company in test mode is not sent.
	ReasonTestMode = "TestMode"
	// ReasonAdminsUnavailable is the reason of a message that waits because the platform could
	// not be asked whether its recipient is an admin of the company.
	ReasonAdminsUnavailable = "AdminsUnavailable"
)

// onlyAllowed is the provider of a company in test mode. Rules already leave out recipients that
// are not allowed; others come from messages that an admin sends again to somebody else, and
// from those that were pending when the mode or the operator's settings changed.
type onlyAllowed struct {
	next    provider.Provider
	guard   *testmode.Company
	channel v1alpha1.Channel
}

// Send implements [provider.Provider].
func (p onlyAllowed) Send(ctx context.Context, message provider.Message) (provider.Receipt, error) {
	switch allowed, err := p.guard.Allows(ctx, p.channel, message.To); {
	case err != nil:
		return provider.Receipt{}, adminsUnreadable(err)
	case !allowed:
		return provider.Receipt{}, provider.Permanent(ReasonTestMode, "The company is in test mode on Rehive, and the recipient is not in --test-mode-allow.")
	}
	return p.next.Send(ctx, message)
}

// adminsUnreadable returns why a message waits until a company's admins can be read.
func adminsUnreadable(err error) error {
	switch {
	case rehive.IsUnauthorized(err):
		return provider.Misconfigured(ReasonTokenRefused, "Rehive refuses the company's token, so the company's admins can't be read.")
	case rehive.IsForbidden(err):
		return provider.Misconfigured(ReasonPermissionMissing, "Rehive doesn't let the extension read the company's admins: it needs the admin permission to view users.")
	case rehive.IsHeldBack(err):
		return provider.HeldBack(ReasonPlatformBusy, "The company's admins are read when it is the company's turn to call the platform.", rehive.RetryAfter(err))
	}
	return provider.Transient(ReasonAdminsUnavailable, "The company is in test mode, and its admins can't be read from the platform.", rehive.RetryAfter(err))
}
