// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rehive/extension-operator/internal/clusterapi"
	"github.com/rehive/extension-operator/internal/ledger"
)

func (s *Server) eraseUser(ctx context.Context, c *call, r *clusterapi.Erase) (*clusterapi.Erased, error) {
	if uuid.Validate(r.User) != nil || len(r.User) != len(uuid.Nil.String()) {
		return nil, apierrors.NewBadRequest("The user must be a user's identifier on Rehive, a UUID such as 11111111-2222-4333-8444-555555555555.")
	}
	if len(r.Addresses) > ledger.MaxSubjectAddresses {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("One request may name at most %d addresses.", ledger.MaxSubjectAddresses))
	}
	subject := ledger.Subject{Company: c.company, UserID: strings.ToLower(r.User), Addresses: r.Addresses}
	if r.DryRun {
		found, err := s.o.Ledger.FindUser(ctx, subject)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return nil, unavailable("The user's data could not be counted in time. An erasure does not need the count: repeat the command with --yes.")
		case err != nil:
			return nil, statusOf(err)
		}
		return &clusterapi.Erased{Messages: found.Deliveries, Events: found.Events, Preferences: found.Preferences}, nil
	}
	done, err := s.o.Ledger.EraseUser(ctx, subject, ledger.ErasedByAdmin, 0)
	// Not who it was: the record of an erasure does not name the user either.
	c.log.Info("Erasing a user's data", "subject", done.Subject, "messages", done.Deliveries, "events", done.Events, "complete", err == nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ledger.ErrUnavailable):
		return nil, unavailable("The user's data is not erased completely yet. Repeat the command: what was erased stays erased.")
	case err != nil:
		return nil, err
	}
	return &clusterapi.Erased{Messages: done.Deliveries, Events: done.Events, Preferences: done.Preferences, Subject: done.Subject}, nil
}
