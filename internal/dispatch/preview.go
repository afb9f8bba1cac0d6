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

// Preview is the message that a rule would send for an event.
type Preview struct {
	notify.Decision
	notify.Trace
	// Missing are dotted paths that the rule reads and that the event doesn't have.
	Missing []string
}

// PreviewedItems is how many times a previewed digest lists the event.
const PreviewedItems = 3

// Preview decides one rule on an event as the dispatcher would, even if the rule is disabled or
// muted. With digest, the rule is the result of [catalog.Rule.Digest], and is decided as if the
// event had been collected PreviewedItems times. Preview stores and sends nothing, and asks the
// platform only for what the decision needs: what the rule reads as computed, users' languages,
// and the admins of a company in test mode. Errors that this package doesn't define are temporary.
//
// The result is given to use, which should be done with it when it returns: until then
// its memory is the company's.
func (d *Dispatcher) Preview(ctx context.Context, company *v1alpha1.CompanyActivation, rule *catalog.Rule, of ledger.Event, digest bool, use func(*Preview)) error {
	of.ReceivedAt = time.Time{} // as if it came now
	return d.rehearse(ctx, of, 0, func(ctx context.Context, grow func(int64) bool) error {
		decider, err := d.newDecider(ctx, company, of, of.Data, []*catalog.Rule{rule}, d.computedOf(company, of))
		if err != nil {
			return err
		}
		if digest {
			if decider.event, err = decider.event.AsDigest(PreviewedItems); err != nil {
				return err
			}
		}
		var result Preview
		decider.event.Trace = &result.Trace
		asked := *rule
		asked.Compiled = rule.Compiled.Enabled()
		if result.Decision, err = d.decideRule(ctx, &asked, decider.event, decider.sender); err != nil {
			return err
		}
		if compiled := asked.Compiled.Rule; compiled != nil {
			result.Missing = decider.event.Missing(compiled.Variables())
		}
		if !grow(messageCopies * textBytes(result.Messages)) {
			return ErrBusy
		}
		use(&result)
		return nil
	})
}

// DryRun decides an event with all rules that it meets, as the dispatcher would, and passes
// each decision to use, which may keep up to output bytes of all of them together. It
// stores and sends nothing. Its errors are those of [Dispatcher.Preview] and of use.
func (d *Dispatcher) DryRun(ctx context.Context, company *v1alpha1.CompanyActivation, of ledger.Event, output int64, use func(*catalog.Rule, *notify.Decision) error) error {
	of.ReceivedAt = time.Time{} // as if it came now
	return d.rehearse(ctx, of, output, func(ctx context.Context, grow func(int64) bool) error {
		return d.decideAll(ctx, company, of, func(_ *decider, rule *catalog.Rule, decision notify.Decision) error {
			if !grow(output + textBytes(decision.Messages)) {
				return ErrBusy
			}
			return use(rule, &decision)
		})
	})
}

// rehearse decides an event in its company's turn of previews, within the memory that the
// event's data takes and extra bytes. Grow raises the extra bytes, and returns false if there
// is no memory for them.
func (d *Dispatcher) rehearse(ctx context.Context, of ledger.Event, extra int64, decide func(ctx context.Context, grow func(extra int64) bool) error) error {
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
	memory, err := d.Memory.Acquire(ctx, of.Company, cost+extra)
	switch {
	case errors.Is(err, flow.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrDataTooLarge, d.tooLarge(cost))
	case err != nil:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	defer memory.Release()
	err = decide(ctx, func(extra int64) bool { return memory.TryGrow(cost + extra) })
	if errors.As(err, new(finalError)) {
		return fmt.Errorf("%w: %w", ErrInvalidData, err)
	}
	return err
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
