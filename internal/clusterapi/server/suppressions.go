// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rehive/extension-operator/internal/clusterapi"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

func (s *Server) listSuppressions(ctx context.Context, c *call, q *clusterapi.SuppressionQuery) (*clusterapi.SuppressionList, error) {
	page, err := s.o.Ledger.ListSuppressions(ctx, ledger.SuppressionFilter{
		Company: c.company, Channel: q.Channel, Reason: ledger.SuppressionReason(q.Reason), Address: q.Recipient, After: q.After,
	}, 0, clusterapi.MaxMessages)
	if err != nil {
		return nil, statusOf(err)
	}
	list := &clusterapi.SuppressionList{Suppressions: make([]clusterapi.Suppression, len(page.Suppressions)), More: page.More}
	for i := range page.Suppressions {
		list.Suppressions[i] = suppressionOf(&page.Suppressions[i])
	}
	return list, nil
}

func suppressionOf(s *ledger.Suppression) clusterapi.Suppression {
	out := clusterapi.Suppression{
		ID: s.ID, Company: s.Company, Channel: s.Channel, Reason: string(s.Reason), Source: s.Source, Note: s.Note, Since: s.Since, Until: s.Until,
	}
	out.Recipient, out.Device = s.Owner()
	return out
}

func (s *Server) addSuppression(ctx context.Context, c *call, r *clusterapi.NewSuppression) (*clusterapi.AddedSuppression, error) {
	if !slices.Contains([]string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush}, r.Channel) {
		return nil, apierrors.NewBadRequest("The channel must be email, sms or push.")
	}
	if utf8.RuneCountInString(r.Note) > ledger.MaxNote {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("The note may have %d characters.", ledger.MaxNote))
	}
	recipient, problem := notify.Recipient(notify.Channel(r.Channel), "", r.Recipient)
	if problem != "" {
		return nil, apierrors.NewBadRequest("The recipient " + problem + ".")
	}
	err := s.o.Ledger.Suppress(ctx, ledger.Suppression{
		Company: c.company, Channel: r.Channel, Address: recipient, Reason: ledger.SuppressedManual, Source: ledger.SourceAdmin, Note: r.Note,
	}, 0)
	if errors.Is(err, ledger.ErrSuppressionsFull) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("The company has %d suppressed recipients on this channel, and may not have more. Remove some first.", ledger.MaxSuppressions))
	}
	if err != nil {
		return nil, statusOf(err)
	}
	c.log.Info("Suppressed a recipient", "channel", r.Channel)
	return &clusterapi.AddedSuppression{Company: c.company, Recipient: recipient}, nil
}

func (s *Server) removeSuppressions(ctx context.Context, c *call, r *clusterapi.SuppressionRemoval) (*clusterapi.RemovedSuppressions, error) {
	if err := checkIDs(r.IDs); err != nil {
		return nil, err
	}
	done := &clusterapi.RemovedSuppressions{Removed: []int64{}}
	for _, id := range r.IDs {
		switch err := s.o.Ledger.DeleteSuppression(ctx, c.company, id); {
		case errors.Is(err, ledger.ErrNotFound):
			done.Unknown = append(done.Unknown, id)
		case err != nil:
			return nil, statusOf(err)
		default:
			done.Removed = append(done.Removed, id)
			c.log.Info("Deleted a suppression", "suppression", id)
		}
	}
	return done, nil
}
