// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/rehive/extension-operator/internal/flow"
)

const (
	// DefaultCallsPerMinute is how many calls with one token the platform accepts in a
	// minute, on the tier "limited" of its admin API. It accepts thirty times as many in an
	// hour, so half of them may be made in a burst and the others are spread over the
	// minute.
	DefaultCallsPerMinute = 200

	// The platform accepts 300 calls in 10 seconds from one IP address: 230 are for
	// companies, and 70 for strangers, whose calls [Session.OfStranger] marks.
	overallRate, overallBurst = 20, 30

	// StrangerRate is how many calls a second may be made with tokens that nobody has
	// vouched for. The caller of this package enforces it, since only the caller knows for
	// whom such calls are made.
	StrangerRate = 5
	// StrangerBurst is how many of them may be made at once after a pause.
	StrangerBurst = 20

	// maxPacedCalls is how many paced calls of one token may be under way, so that calls
	// that hang occupy few of those that wait for them.
	maxPacedCalls = 4
	// maxPaceWait is how long a paced call waits for its turn. A call that would wait
	// longer is held back.
	maxPaceWait = 2 * time.Second
	// maxFailures is how many paced calls of a token must fail in a row until its paced
	// calls are held back for leftAlone.
	maxFailures = 5
	leftAlone   = 30 * time.Second

	// maxTokens bounds the memory of tokens: the least recently used are forgotten.
	maxTokens = 8192
)

// tokenKey identifies a token by its hash, so that no memory dump shows it.
type tokenKey [sha256.Size]byte

func keyOf(token string) tokenKey { return sha256.Sum256([]byte(token)) }

// pacer limits the calls of each token and of all tokens together, so that one company's
// events can't use up what others need. Only paced calls wait or are held back; others are
// charged.
type pacer struct {
	perMinute int
	overall   *flow.Bucket
	guards    *lru.Cache[tokenKey, *flow.Guard]
	// throttled is until when the platform asked a token to wait. Further calls fail at
	// once: they would be refused anyway, and a refused call counts against the token.
	throttled *lru.Cache[tokenKey, time.Time]
}

func newPacer(perMinute int) *pacer {
	// New fails only if the size isn't positive.
	guards, _ := lru.New[tokenKey, *flow.Guard](maxTokens)
	throttled, _ := lru.New[tokenKey, time.Time](maxTokens)
	return &pacer{perMinute: perMinute, overall: flow.NewBucket(overallRate, overallBurst), guards: guards, throttled: throttled}
}

// guard returns the guard of a token's paced calls.
func (p *pacer) guard(key tokenKey) *flow.Guard {
	if g, known := p.guards.Get(key); known {
		return g
	}
	g := flow.NewGuard(flow.GuardOptions{
		Concurrent: maxPacedCalls,
		Buckets:    []*flow.Bucket{flow.NewBucket(float64(p.perMinute)/2/60, p.perMinute/2), p.overall},
		TurnWait:   maxPaceWait,
		Failures:   maxFailures,
		OpenFor:    leftAlone,
	})
	if other, known, _ := p.guards.PeekOrAdd(key, g); known {
		return other
	}
	return g
}

// charge counts a company's call that is made without waiting.
func (p *pacer) charge(key tokenKey) {
	// Users' own tokens have no guard: their calls are few, and the tokens many.
	if g, known := p.guards.Get(key); known {
		g.Charge()
	} else {
		p.overall.Charge()
	}
}

// enter waits until a paced call may be made. Its result must then be passed to done.
func (p *pacer) enter(ctx context.Context, op string, key tokenKey) (done func(error), refused *Error) {
	leave, err := p.guard(key).Enter(ctx)
	var rejection *flow.Rejection
	if !errors.As(err, &rejection) {
		return func(err error) { leave(resultOf(err)) }, nil
	}
	why := "the company's share of calls in a minute is used up"
	switch rejection.Cause {
	case flow.CircuitOpen:
		why = "Rehive keeps failing for this company and is left alone for a while"
	case flow.Busy:
		why = "the company has as many calls under way as it may"
	}
	return nil, &Error{Op: op, Message: why, RetryAfter: max(rejection.RetryAfter, time.Second), local: true, heldBack: true}
}

// resultOf returns what the outcome of a call says about the platform.
func resultOf(err error) flow.Result {
	switch {
	case err == nil, IsPermanent(err):
		return flow.Succeeded
	case errors.Is(err, context.Canceled), IsThrottled(err):
		// The caller gave up, or the platform works and says when to call again.
		return flow.Inconclusive
	}
	return flow.Failed
}

// throttledFor is how much longer calls with a token are pointless.
func (p *pacer) throttledFor(key tokenKey) time.Duration {
	if p.throttled.Len() == 0 {
		return 0
	}
	until, known := p.throttled.Get(key)
	if !known {
		return 0
	}
	left := time.Until(until)
	if left <= 0 {
		p.throttled.Remove(key)
	}
	return max(left, 0)
}

// throttle records that the platform asked a token to wait.
func (p *pacer) throttle(key tokenKey, wait time.Duration) {
	p.throttled.Add(key, time.Now().Add(wait))
}

// Paced returns a session for calls that can wait: those that events and deliveries cause,
// however many they are. Each waits for its turn within the token's rate and the rate of
// all tokens; few calls of one token are under way at once; and after several failures the
// token's calls are held back for a while. A call that would have to wait long for any of
// this is not made, and its error satisfies [IsHeldBack].
func (s Session) Paced() Session {
	s.paced = true
	return s
}

// OfStranger returns a session for calls caused by somebody whom nobody has vouched for.
// They don't count as companies' calls, whose share they would use up; the caller keeps
// them within [StrangerRate].
func (s Session) OfStranger() Session {
	s.stranger = true
	return s
}

// IsHeldBack reports whether err is that of a paced call that was not made, because its
// turn had not come.
func IsHeldBack(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.heldBack
}
