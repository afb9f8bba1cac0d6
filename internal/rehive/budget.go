// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// DefaultCallsPerMinute is how many calls the platform takes of one token in a
	// minute, on the tier "limited" of its admin API. It takes thirty times as many in
	// an hour, so half of them may be made in a burst and the others are spread over
	// the minute.
	DefaultCallsPerMinute = 200

	// The platform takes 300 calls in 10 seconds from one IP address: of companies 230,
	// and of strangers, whose calls [Session.OfStranger] marks, 70.
	overallRate, overallBurst = 20, 30

	// StrangerRate is how many calls a second may be made with tokens that nobody has
	// vouched for. Whoever makes such calls keeps to it, since only it knows whom they
	// are made for.
	StrangerRate = 5
	// StrangerBurst is how many of them may be made at once after a pause.
	StrangerBurst = 20

	// maxPacedCalls is how many paced calls of one token may be under way: those of a
	// company whose calls hang occupy no more of who waits for them.
	maxPacedCalls = 4
	// maxPaceWait is how long a paced call waits for its turn. Who would wait longer is
	// told when to come again.
	maxPaceWait = 2 * time.Second
	// maxFailures is how many paced calls of a token must fail one after the other
	// until it is left alone for leftAlone.
	maxFailures = 5
	leftAlone   = 30 * time.Second

	// maxBudgets bounds the memory of budgets: those of tokens that were not used for
	// the longest time are forgotten.
	maxBudgets = 8192
)

// budgets pace the calls of each token and of all together, so that one company's
// events can't use up what others need. Only paced calls wait or are refused; others
// count. Tokens are kept as hashes only.
type budgets struct {
	now     func() time.Time
	rate    rate.Limit
	burst   int
	overall *rate.Limiter

	mu sync.Mutex
	of map[[sha256.Size]byte]*budget
}

// budget is one token's.
type budget struct {
	turns    *rate.Limiter
	underWay int
	failures int
	aloneTil time.Time
	used     time.Time
}

func newBudgets(now func() time.Time, perMinute int) *budgets {
	return &budgets{
		now: now, rate: rate.Limit(float64(perMinute) / 2 / 60), burst: max(perMinute/2, 1),
		overall: rate.NewLimiter(overallRate, overallBurst),
		of:      make(map[[sha256.Size]byte]*budget),
	}
}

// heldBack is the error of a paced call that was not made.
func heldBack(op, why string, again time.Duration) *Error {
	return &Error{Op: op, Message: why, RetryAfter: max(again, time.Second), local: true, heldBack: true}
}

// count counts a company's call that is made whatever the budget.
func (b *budgets) count(token string) {
	now := b.now()
	b.overall.ReserveN(now, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	// Users' own tokens have none: their calls are few, and the tokens many.
	if t := b.of[sha256.Sum256([]byte(token))]; t != nil {
		t.turns.ReserveN(now, 1)
		t.used = now
	}
}

// enter waits until a paced call may be made. Done must then be called with what
// came of it.
func (b *budgets) enter(ctx context.Context, op, token string) (done func(error), refused *Error) {
	t, turn, refused := b.reserve(ctx, op, token)
	if refused != nil {
		return nil, refused
	}
	if turn > 0 {
		timer := time.NewTimer(turn)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			b.leave(t, ctx.Err())
			return nil, heldBack(op, "there was no time to wait for the call's turn", turn)
		}
	}
	return func(err error) { b.leave(t, err) }, nil
}

func (b *budgets) reserve(ctx context.Context, op, token string) (*budget, time.Duration, *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	t := b.find(token, now)
	switch n, wait := t.room(now); {
	case wait > 0:
		return nil, 0, heldBack(op, "Rehive keeps failing for this company and is left alone for a while", wait)
	case n == 0:
		return nil, 0, heldBack(op, "as many calls for this company as may be are under way", time.Second)
	}
	own, all := t.turns.ReserveN(now, 1), b.overall.ReserveN(now, 1)
	turn := max(own.DelayFrom(now), all.DelayFrom(now))
	if deadline, ok := ctx.Deadline(); turn > maxPaceWait || ok && time.Until(deadline) <= turn {
		own.CancelAt(now)
		all.CancelAt(now)
		return nil, 0, heldBack(op, "the company's share of calls in a minute is used up", turn)
	}
	t.underWay++
	return t, turn, nil
}

// find returns a token's budget, a new one if it has none.
func (b *budgets) find(token string, now time.Time) *budget {
	key := sha256.Sum256([]byte(token))
	t := b.of[key]
	if t == nil {
		if len(b.of) >= maxBudgets {
			b.forgetOldest()
		}
		t = &budget{turns: rate.NewLimiter(b.rate, b.burst)}
		b.of[key] = t
	}
	t.used = now
	return t
}

func (b *budgets) forgetOldest() {
	var oldest [sha256.Size]byte
	var used time.Time
	for key, t := range b.of {
		if t.underWay == 0 && (used.IsZero() || t.used.Before(used)) {
			oldest, used = key, t.used
		}
	}
	delete(b.of, oldest)
}

// room is how many more calls may be under way; while the platform is left alone,
// wait is how much longer.
func (t *budget) room(now time.Time) (n int, wait time.Duration) {
	limit := maxPacedCalls
	if t.failures >= maxFailures {
		if wait := t.aloneTil.Sub(now); wait > 0 {
			return 0, wait
		}
		limit = 1 // it tries
	}
	return max(limit-t.underWay, 0), 0
}

func (b *budgets) leave(t *budget, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.underWay--
	var e *Error
	switch {
	case err == nil, errors.As(err, &e) && e.permanent():
		t.failures = 0
	case errors.Is(err, context.Canceled), IsThrottled(err):
		// The caller gave up, or the platform works and says when to come again.
	default:
		t.failures++
		if t.failures >= maxFailures {
			t.aloneTil = b.now().Add(leftAlone)
		}
	}
}

// Paced returns a session for calls that can wait: those that events and deliveries
// cause, however many they are. Each takes its turn within the token's budget and that
// of all; few of one token are under way at once; and after several failures the
// platform is left alone for a while, as far as this token goes. A call that would
// have to wait long for any of this is not made, and its error is one of [IsHeldBack].
func (s Session) Paced() Session {
	s.paced = true
	return s
}

// OfStranger returns a session for calls that somebody made us make whom nobody has
// vouched for. They are not counted as companies' calls, whose share they would use up,
// and the caller keeps them within [StrangerRate].
func (s Session) OfStranger() Session {
	s.stranger = true
	return s
}

// Room is how many paced calls could be made now; if none, again says when to ask
// again, or is zero if one that is under way must come back first.
func (s Session) Room() (n int, again time.Time) {
	b := s.client.budgets
	now := b.now()
	if wait := s.client.throttles.wait(s.token); wait > 0 {
		return 0, now.Add(wait)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.of[sha256.Sum256([]byte(s.token))]
	if t == nil {
		return maxPacedCalls, time.Time{}
	}
	n, wait := t.room(now)
	if wait > 0 {
		return 0, now.Add(wait)
	}
	// What waits for a turn counts as under way already.
	if missing := 1 - min(t.turns.TokensAt(now), b.overall.TokensAt(now)); n > 0 && missing > 0 {
		return 0, now.Add(max(time.Duration(missing/float64(b.rate)*float64(time.Second)), 100*time.Millisecond))
	}
	return n, time.Time{}
}

// IsHeldBack says that a paced call was not made: there was no turn for it.
func IsHeldBack(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.heldBack
}
