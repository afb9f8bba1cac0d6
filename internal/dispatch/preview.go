// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/python"
)

const (
	// maxPreviews is how many rules are previewed at once. A company has half of them
	// at most, and computes in the turn that it shares with its own events.
	maxPreviews = 4
	// previewTimeout bounds a preview with its wait.
	previewTimeout = 8 * time.Second
	// messageCopies is how often the messages of a preview are in memory: as they are
	// rendered, and encoded as JSON, where a character can take six.
	messageCopies = 7
)

// Errors of [Dispatcher.Preview].
var (
	// ErrBusy says that there was no room for the preview in time: try again later.
	ErrBusy = errors.New("too much is being decided at the moment")
	// ErrDataTooLarge says that the event's data is larger than may be decided.
	ErrDataTooLarge = errors.New("the event's data is too large")
	// ErrInvalidData says that the event's data can't be read.
	ErrInvalidData = errors.New("the event's data can't be read")
)

// Preview is what a rule would make of an event.
type Preview struct {
	notify.Decision
	notify.Trace
	// Missing are dotted paths that the rule reads and that the event doesn't have.
	Missing []string
}

// Preview decides one rule on an event as the dispatcher would, disabled or not. It
// stores and sends nothing, and asks the platform only for what the rule reads as
// computed. Errors that are none of this package's pass.
//
// The result is given to use, which should be done with it when it returns: until then
// its memory is the company's.
func (d *Dispatcher) Preview(ctx context.Context, company *v1alpha1.CompanyActivation, rule *catalog.Rule, of ledger.Event, use func(*Preview)) error {
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	cost, err := notify.DataCost(of.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDataTooLarge, err)
	}
	turn, err := d.previews.Acquire(ctx, of.Company, 1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	defer turn.Release()
	memory, err := d.Memory.Acquire(ctx, of.Company, cost)
	switch {
	case errors.Is(err, flow.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrDataTooLarge, d.tooLarge(cost))
	case err != nil:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	defer memory.Release()

	decider, err := d.newDecider(ctx, company, &ledger.ClaimedEvent{Event: of}, of.Data, []*catalog.Rule{rule}, func(ctx context.Context) (*python.Dict, error) {
		token, err := d.Catalog.Token(ctx, company)
		if err != nil {
			return nil, err
		}
		return computed(ctx, d.Platform.WithToken(token).Paced(), of.Name, of.Data)
	})
	if errors.As(err, new(finalError)) {
		return fmt.Errorf("%w: %w", ErrInvalidData, err)
	}
	if err != nil {
		return err
	}
	var result Preview
	decider.event.Trace = &result.Trace
	asked := *rule
	asked.Disabled = false
	if result.Decision, err = d.decideRule(ctx, &asked, decider.event, decider.sender); err != nil {
		return err
	}
	if asked.Compiled != nil {
		result.Missing = decider.event.Missing(asked.Compiled.Variables())
	}
	if !memory.TryGrow(cost + messageCopies*textBytes(result.Messages)) {
		return ErrBusy
	}
	use(&result)
	return nil
}

// textBytes is the size of the texts of messages of one rule, which share them unless
// their channels differ.
func textBytes(messages []notify.Message) int64 {
	var size int64
	for i := range messages {
		if i == 0 || messages[i].Channel != messages[i-1].Channel {
			size += int64(len(messages[i].Subject) + len(messages[i].Text) + len(messages[i].HTML))
		}
	}
	return size
}
