// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/testmode"
)

// ReasonTestMode is why a message of a company in test mode is not sent.
const ReasonTestMode = "TestMode"

// onlyAllowed is the provider of a company in test mode. Rules already leave out recipients that
// are not allowed; others come from messages that an admin sends again to somebody else, and
// from those that were pending when the mode or the operator's settings changed.
type onlyAllowed struct {
	next    provider.Provider
	guard   *testmode.Guard
	channel v1alpha1.Channel
}

// Send implements [provider.Provider].
func (p onlyAllowed) Send(ctx context.Context, message provider.Message) (provider.Receipt, error) {
	if !p.guard.Allows(p.channel, message.To) {
		return provider.Receipt{}, provider.Permanent(ReasonTestMode, "The company is in test mode on Rehive, and the recipient is not in --test-mode-allow.")
	}
	return p.next.Send(ctx, message)
}
