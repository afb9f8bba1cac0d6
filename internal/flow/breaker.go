// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Result is what the outcome of a call says about the health of its counterpart.
type Result int

const (
	// Failed is a call that the counterpart did not answer, or not properly.
	Failed Result = iota
	// Succeeded is a call that the counterpart answered, even with a refusal.
	Succeeded
	// Inconclusive is a call that says nothing about the counterpart, such as one that the
	// caller cancelled.
	Inconclusive
)

var (
	errFailed       = errors.New("failed")
	errInconclusive = errors.New("inconclusive")
)

// breaker is a circuit breaker. It opens after several consecutive failures and then rejects
// calls for a while. After that, it lets a single call through, whose result decides.
type breaker struct {
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	retryAt atomic.Int64 // Unix nanoseconds: when an open breaker lets a call through
}

// newBreaker returns a closed breaker that opens after the given number of failures. It
// calls onChange, if not nil, when it opens and when it closes again.
func newBreaker(failures int, openFor time.Duration, onChange func(open bool)) *breaker {
	b := &breaker{}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= uint32(failures) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errInconclusive) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.retryAt.Store(time.Now().Add(openFor).UnixNano())
			}
			if onChange == nil {
				return
			}
			switch {
			case from == gobreaker.StateClosed:
				onChange(true)
			case to == gobreaker.StateClosed:
				onChange(false)
			}
		},
	})
	return b
}

// allow lets a call through, whose result is then passed to done, or returns when it may
// be tried again.
func (b *breaker) allow() (done func(error), again time.Time) {
	done, err := b.circuit.Allow()
	if err != nil {
		// While one call tries, the others wait for its result.
		return nil, time.Unix(0, b.retryAt.Load())
	}
	return done, time.Time{}
}

// room returns how many calls may be in progress: none while the breaker is open, until
// again; then a single one.
func (b *breaker) room() (n int, again time.Time) {
	switch b.circuit.State() {
	case gobreaker.StateOpen:
		return 0, time.Unix(0, b.retryAt.Load())
	case gobreaker.StateHalfOpen:
		return 1, time.Time{}
	}
	return math.MaxInt, time.Time{}
}

func (r Result) err() error {
	switch r {
	case Succeeded:
		return nil
	case Inconclusive:
		return errInconclusive
	}
	return errFailed
}
