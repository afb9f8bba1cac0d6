// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/tracing"
)

// replayedEventGone is why a replay fails whose event was deleted meanwhile.
const replayedEventGone = "the event that was to be decided again is no longer in the ledger"

// resolveReplay gives a claimed [notify.ReplayEvent] the name and size of the event that it
// decides again, whose data is read when there is memory for it. Other events stay as they
// are.
func (d *Dispatcher) resolveReplay(ctx context.Context, claimed *ledger.ClaimedEvent) error {
	if claimed.Name != notify.ReplayEvent {
		return nil
	}
	var asked notify.Replay
	if err := json.Unmarshal(claimed.Data, &asked); err != nil {
		return finalError{errors.New("the replay can't be read"), reasonInvalidData}
	}
	of, err := d.Ledger.EventHead(ctx, claimed.Company, asked.Event)
	if err != nil {
		return fmt.Errorf("reading the event to decide again: %w", err)
	}
	if of.Masked {
		return finalError{errors.New("the data of the event was masked because a rule of it is sensitive, so it can't be decided again: it must be triggered again"), reasonInvalidData}
	}
	if notify.IsOwnEvent(of.Name) {
		return finalError{errors.New("only events of the platform can be decided again"), reasonInvalidData}
	}
	tracing.Current(ctx).Link(d.Traces.Event(of.Company, of.ID))
	claimed.Replay = &ledger.Replay{Of: of.Key, Repeat: asked.Repeat}
	claimed.Name, claimed.Size, claimed.Data = of.Name, of.Size, nil
	return nil
}
