// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig says when a [Breaker] opens. Zero fields have defaults.
type BreakerConfig struct {
	// Failures is how many sends must fail one after the other to open it; 5 if 0.
	Failures int
	// OpenFor is how long it stays open before one message is let through to try;
	// 30 s if 0.
	OpenFor time.Duration
	// OnChange, if not nil, is told when the provider becomes unusable and usable
	// again. It must not block.
	OnChange func(open bool)
}

// Breaker spares a provider that keeps failing, and the workers that would wait for
// it. It belongs outside of [Bulkhead] and [Limited].
//
// A permanent refusal and a deferral of one message count as success: the provider
// works, and somebody who can have messages deferred must not hold up those of others.
// Throttling, a wrong configuration, what was held back and a send that the
// operator cancelled count as neither.
type Breaker struct {
	next     Provider
	circuit  *gobreaker.CircuitBreaker[Receipt]
	tryAfter atomic.Int64 // Unix nanoseconds
}

// NewBreaker puts a circuit breaker before next.
func NewBreaker(next Provider, c BreakerConfig) *Breaker {
	if c.Failures <= 0 {
		c.Failures = 5
	}
	if c.OpenFor <= 0 {
		c.OpenFor = 30 * time.Second
	}
	b := &Breaker{next: next}
	b.circuit = gobreaker.NewCircuitBreaker[Receipt](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      c.OpenFor,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= uint32(c.Failures) },
		IsSuccessful: func(err error) bool { return err == nil || IsPermanent(err) || isDeferred(err) },
		IsExcluded:   excluded,
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.tryAfter.Store(time.Now().Add(c.OpenFor).UnixNano())
			}
			if c.OnChange == nil {
				return
			}
			switch {
			case from == gobreaker.StateClosed:
				c.OnChange(true)
			case to == gobreaker.StateClosed:
				c.OnChange(false)
			}
		},
	})
	return b
}

func excluded(err error) bool {
	var e *Error
	if errors.Is(err, errCanceledSend) || IsMisconfigured(err) || HeldBack(err) {
		return true
	}
	// What the platform can't tell about a user isn't the push service's fault.
	return errors.As(err, &e) && e.class == transient && (e.Reason == "Throttled" || e.Reason == ReasonDevicesUnavailable)
}

// errCanceledSend marks the error of a send whose context was cancelled.
var errCanceledSend = errors.New("cancelled")

// room is how many messages may be in hand: none while it is open, and one, which
// tries, after. While it is open, again is when that may be.
func (b *Breaker) room() (n int, again time.Time) {
	switch b.circuit.State() {
	case gobreaker.StateOpen:
		return 0, time.Unix(0, b.tryAfter.Load())
	case gobreaker.StateHalfOpen:
		return 1, time.Time{}
	}
	return math.MaxInt, time.Time{}
}

// Send implements [Provider]. While the breaker is open it fails at once and tells
// when the provider will be tried again.
func (b *Breaker) Send(ctx context.Context, m Message) (Receipt, error) {
	var sendErr error
	receipt, err := b.circuit.Execute(func() (Receipt, error) {
		var receipt Receipt
		receipt, sendErr = b.next.Send(ctx, m)
		if sendErr != nil && errors.Is(ctx.Err(), context.Canceled) {
			return receipt, errCanceledSend
		}
		return receipt, sendErr
	})
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		wait := time.Until(time.Unix(0, b.tryAfter.Load()))
		// While one message tries, the others wait for its outcome.
		return Receipt{}, Transient(ReasonCircuitOpen, "The provider keeps failing and is left alone for a while.", max(wait, time.Second))
	default:
		return receipt, sendErr
	}
}
