// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rehive/extension-operator/internal/clusterapi"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// suppressible are the channels with suppressions.
var suppressible = []string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush}

const fullSuppressions = "The company has %d suppressed recipients on this channel, and may not have more. Remove some first."

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

func (s *Server) importSuppressions(ctx context.Context, c *call, r *clusterapi.SuppressionImport) (*clusterapi.ImportedSuppressions, error) {
	if len(r.Suppressions) > clusterapi.MaxIDs {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("One request may have %d suppressions.", clusterapi.MaxIDs))
	}
	done := &clusterapi.ImportedSuppressions{Results: make([]clusterapi.ImportResult, len(r.Suppressions))}
	added := 0
	for i := range r.Suppressions {
		result, err := s.importSuppression(ctx, c, &r.Suppressions[i], r.DryRun)
		if err != nil {
			return nil, statusOf(err)
		}
		if done.Results[i] = result; result.Added && !r.DryRun {
			added++
		}
	}
	if added > 0 {
		c.log.Info("Imported suppressions", "count", added)
	}
	return done, nil
}

// importSuppression adds a suppression unless it exists. Its error is about the ledger.
func (s *Server) importSuppression(ctx context.Context, c *call, from *clusterapi.Suppression, dryRun bool) (result clusterapi.ImportResult, err error) {
	reason := ledger.SuppressionReason(from.Reason)
	refuse := func(format string, args ...any) (clusterapi.ImportResult, error) {
		return clusterapi.ImportResult{Problem: fmt.Sprintf(format, args...)}, nil
	}
	keep := reason.KeepFor()
	if !from.Until.IsZero() {
		left := from.Until.Sub(s.now())
		if left <= 0 {
			return refuse("It has ended.")
		}
		if keep == 0 || left < keep {
			keep = left
		}
	}
	switch {
	case from.Company != "" && from.Company != c.company:
		return refuse("It belongs to another company than %s.", c.company)
	case !slices.Contains(suppressible, from.Channel):
		return refuse("The channel must be email, sms or push.")
	case !slices.Contains(ledger.SuppressionReasons, reason):
		return refuse("The reason must be HardBounce, DeadToken, SpamComplaint, Stop or Manual.")
	case (reason == ledger.SuppressedDeadToken) != (from.Device != "") || from.Device != "" && from.Channel != ledger.ChannelPush:
		return refuse("The device is for the reason DeadToken on the channel push, which need each other.")
	case from.Device != "" && !isDevice(from.Device):
		return refuse("The device is not the hash of a push token.")
	case from.Source != "" && !slices.Contains([]string{ledger.SourceProvider, ledger.SourceFeedback, ledger.SourceAdmin}, from.Source):
		return refuse("The source must be Provider, Feedback or Admin.")
	case utf8.RuneCountInString(from.Note) > ledger.MaxNote:
		return refuse("The note may have %d characters.", ledger.MaxNote)
	}
	p := ledger.Suppression{
		Company: c.company, Channel: from.Channel, Address: from.Recipient, Reason: reason, Source: cmp.Or(from.Source, ledger.SourceAdmin), Note: from.Note,
	}
	erased := p.Hidden()
	if !erased {
		var problem string
		if p.Address, problem = notify.Recipient(notify.Channel(from.Channel), "", from.Recipient); problem != "" {
			return refuse("The recipient %s.", problem)
		}
	}
	if from.Device != "" {
		p.Recipient, p.Address = p.Address, from.Device
	}
	known, err := s.o.Ledger.ListSuppressions(ctx, ledger.SuppressionFilter{Company: c.company, Channel: p.Channel, Reason: reason, Address: p.Address}, 0, ledger.MaxSuppressions)
	switch {
	case err != nil:
		return result, err
	case slices.ContainsFunc(known.Suppressions, func(k ledger.Suppression) bool { return k.Recipient == p.Recipient }):
		return result, nil
	case erased:
		return refuse("The recipient was erased, and only the ledger that erased it can recognize it.")
	}
	if result.Added = true; dryRun {
		return result, nil
	}
	err = s.o.Ledger.Suppress(ctx, p, keep)
	if errors.Is(err, ledger.ErrSuppressionsFull) {
		return refuse(fullSuppressions, ledger.MaxSuppressions)
	}
	return result, err
}

// isDevice reports whether a text has the form of the hashes that package expo stores.
func isDevice(text string) bool {
	hash, err := hex.DecodeString(text)
	return err == nil && len(hash) == 16 && text == strings.ToLower(text)
}

func (s *Server) addSuppression(ctx context.Context, c *call, r *clusterapi.NewSuppression) (*clusterapi.AddedSuppression, error) {
	if !slices.Contains(suppressible, r.Channel) {
		return nil, apierrors.NewBadRequest("The channel must be email, sms or push.")
	}
	if utf8.RuneCountInString(r.Note) > ledger.MaxNote {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("The note may have at most %d characters.", ledger.MaxNote))
	}
	recipient, problem := notify.Recipient(notify.Channel(r.Channel), "", r.Recipient)
	if problem != "" {
		return nil, apierrors.NewBadRequest("The recipient " + problem + ".")
	}
	err := s.o.Ledger.Suppress(ctx, ledger.Suppression{
		Company: c.company, Channel: r.Channel, Address: recipient, Reason: ledger.SuppressedManual, Source: ledger.SourceAdmin, Note: r.Note,
	}, 0)
	if errors.Is(err, ledger.ErrSuppressionsFull) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf(fullSuppressions, ledger.MaxSuppressions))
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
