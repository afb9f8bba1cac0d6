// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

const (
	// ledgerRetry is the pause between two attempts to open the ledger.
	ledgerRetry = 2 * time.Second
	// ledgerReminder is how often the log repeats that the manager waits for the ledger.
	ledgerReminder = time.Minute
)

// awaitStore opens the ledger and waits while its database is not available, or its disk full. If the
// manager exited instead, it would be restarted with a growing back-off and come back
// minutes after the database. Errors that waiting does not fix are returned immediately.
func (s *settings) awaitStore(ctx context.Context, o ledger.Options, log logr.Logger, pause time.Duration) (ledger.Store, error) {
	var reminded time.Time
	for {
		store, err := s.openStore(ctx, o)
		if err == nil {
			return store, nil
		}
		if ctx.Err() != nil || !postgres.IsUnavailable(err) && !sqlite.IsUnavailable(err) {
			return nil, fmt.Errorf("opening the ledger: %w", err)
		}
		if time.Since(reminded) >= ledgerReminder {
			reminded = time.Now()
			log.Error(err, "Waiting for the ledger's database, without which no event can be accepted")
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for the ledger's database: %w", ctx.Err()), err)
		case <-time.After(pause):
		}
	}
}
