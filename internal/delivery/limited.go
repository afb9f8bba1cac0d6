// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The reasons of messages that the wrappers of a provider held back.
const (
	// ReasonRateLimited is of a message beyond the provider's configured rate.
	ReasonRateLimited = "RateLimited"
	// ReasonBusy is of a message for which the provider had no free slot.
	ReasonBusy = "Busy"
	// ReasonCircuitOpen is of a message for a provider that keeps failing.
	ReasonCircuitOpen = "CircuitOpen"
	// ReasonPlatformBusy is of a message for which the platform must be asked, where
	// the company's calls have used up their share.
	ReasonPlatformBusy = "PlatformBusy"
)

// HeldBack tells whether the message never got to the provider, because the
// operator itself held it back: it waits, and this was no attempt to send it.
func HeldBack(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.class != transient {
		return false
	}
	switch e.Reason {
	case ReasonRateLimited, ReasonBusy, ReasonCircuitOpen, ReasonPlatformBusy:
		return true
	}
	return false
}

// maxRateWait is how long Limited waits for its turn. A longer wait belongs into
// the ledger: here it would occupy a worker that another provider could use.
const maxRateWait = time.Second

// Limited passes messages on at a limited rate.
type Limited struct {
	next    Provider
	limiter *rate.Limiter
	// inside is how many messages have taken their turn, or are at it.
	inside atomic.Int64
	// turns is held from taking a turn to giving it back: a turn that is given
	// back after somebody took the next one is lost.
	turns sync.Mutex
}

// NewLimited limits next to perSecond messages with bursts of burst, at least 1.
func NewLimited(next Provider, perSecond float64, burst int) *Limited {
	return &Limited{next: next, limiter: rate.NewLimiter(rate.Limit(perSecond), max(burst, 1))}
}

// Send implements [Provider]. It waits for a short time; a message whose turn is
// later, or after ctx ends, is held back and told when.
func (l *Limited) Send(ctx context.Context, m Message) (Receipt, error) {
	l.inside.Add(1)
	defer l.inside.Add(-1)
	turn, wait, ok := l.take(ctx)
	if !ok {
		return Receipt{}, Transient(ReasonRateLimited, "The provider's configured rate is reached.", min(wait, maxRetryAfter))
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			turn.Cancel()
			return Receipt{}, Transient(ReasonRateLimited, "The provider's configured rate was reached when the operator stopped.", 0)
		}
	}
	return l.next.Send(ctx, m)
}

const (
	// rateLook is how far ahead Limited is looked: what gets its turn by then may be
	// taken in hand. Only a burst that is smaller than what comes in this time makes
	// it matter.
	rateLook = 100 * time.Millisecond
	// ratePause is the least time between two looks.
	ratePause = 50 * time.Millisecond
)

// room is how many more of the messages in hand get their turn now or at once; if
// none, again is when one does.
func (l *Limited) room(inHand int) (n int, again time.Time) {
	now, perSecond := time.Now(), float64(l.limiter.Limit())
	turns := l.limiter.TokensAt(now) + max(0, perSecond*rateLook.Seconds()-float64(l.limiter.Burst()))
	// Those that haven't come here yet will take a turn each.
	turns -= float64(max(0, inHand-int(l.inside.Load())))
	if turns >= 1 {
		return int(min(turns, math.MaxInt32)), time.Time{}
	}
	return 0, now.Add(max(ratePause, time.Duration((1-turns)/perSecond*float64(time.Second))))
}

// take takes a turn and says how long it is to wait for it, or, when that is too
// long, leaves the turn to somebody else.
func (l *Limited) take(ctx context.Context) (turn *rate.Reservation, wait time.Duration, ok bool) {
	l.turns.Lock()
	defer l.turns.Unlock()
	turn = l.limiter.Reserve()
	wait = turn.Delay()
	if deadline, limited := ctx.Deadline(); !turn.OK() || wait > maxRateWait || limited && time.Until(deadline) <= wait {
		turn.Cancel()
		return nil, wait, false
	}
	return turn, wait, true
}
