// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"

	"github.com/rehive/extension-operator/internal/ledger"
)

// History is what the API needs of the ledger's events. *ledger.Store is one, where the
// methods are described.
type History interface {
	Events(ctx context.Context, f ledger.EventFilter, offset, limit int) (ledger.EventPage, error)
	StoredEvent(ctx context.Context, company, id string) (ledger.StoredEvent, error)
	EventDeliveries(ctx context.Context, company string, key int64, offset, limit int) (found []ledger.Delivery, more bool, err error)
}
