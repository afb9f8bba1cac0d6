// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rejected returns why a call was rejected, and fails the test if it wasn't.
func rejected(t *testing.T, err error, want Cause) (again time.Duration) {
	t.Helper()
	var r *Rejection
	if !errors.As(err, &r) || r.Cause != want {
		t.Fatalf("%v, want a rejection with the cause %d", err, want)
	}
	return r.RetryAfter
}

// through makes a call with a result.
func through(t *testing.T, g *Guard, r Result) {
	t.Helper()
	leave, err := g.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave(r)
}

func TestGuardLimitsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turnWait = time.Second
		g := NewGuard(GuardOptions{Concurrent: 100, Buckets: []*Bucket{NewBucket(2, 4)}, TurnWait: turnWait, Failures: 5})
		start := time.Now()
		var made, held atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				leave, err := g.Enter(t.Context())
				if err == nil {
					made.Add(1)
					leave(Succeeded)
					return
				}
				held.Add(1)
				if again := rejected(t, err, RateLimited); again <= turnWait || again > 2*time.Second {
					t.Errorf("%v, again in %s", err, again)
				}
			})
		}
		wg.Wait()
		// The burst of 4 at once, and the two whose turn comes within a second.
		if made.Load() != 6 || held.Load() != 14 || time.Since(start) != time.Second {
			t.Errorf("%d made, %d held back in %s", made.Load(), held.Load(), time.Since(start))
		}
		// Rejected calls took nobody's turn.
		time.Sleep(time.Second)
		through(t, g, Succeeded)
	})
}

func TestGuardTurnsAndDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{Concurrent: 100, Buckets: []*Bucket{NewBucket(2, 1)}, TurnWait: time.Second, Failures: 5})
		through(t, g, Succeeded)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := g.Enter(ctx)
		rejected(t, err, RateLimited)
		if time.Since(start) != 0 {
			t.Errorf("it waited %s for a turn after its deadline", time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err = g.Enter(ctx)
		rejected(t, err, RateLimited)
		if time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// Guards that share a bucket share its rate, and a rejected call takes a turn of neither
// the shared bucket nor its own.
func TestGuardsShareABucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := NewBucket(1, 3)
		guard := func() *Guard {
			return NewGuard(GuardOptions{Concurrent: 10, Buckets: []*Bucket{NewBucket(1.0/60, 2), shared}, Failures: 5})
		}
		a, b := guard(), guard()
		through(t, a, Succeeded)
		through(t, a, Succeeded)
		_, err := a.Enter(t.Context())
		if again := rejected(t, err, RateLimited); again != time.Minute {
			t.Errorf("again in %s", again)
		}
		through(t, b, Succeeded)
		_, err = b.Enter(t.Context())
		if again := rejected(t, err, RateLimited); again != time.Second {
			t.Errorf("again in %s", again)
		}
		// Calls that are made anyway count.
		time.Sleep(time.Second)
		a.Charge()
		_, err = b.Enter(t.Context())
		rejected(t, err, RateLimited)
	})
}

func TestGuardLimitsCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slotWait = time.Second
		g := NewGuard(GuardOptions{Concurrent: 3, SlotWait: slotWait, Failures: 5})
		var leaves []func(Result)
		for range 3 {
			leave, err := g.Enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		start := time.Now()
		_, err := g.Enter(t.Context())
		if again := rejected(t, err, Busy); again <= 0 || time.Since(start) != slotWait {
			t.Errorf("again in %s after %s", again, time.Since(start))
		}
		// One that waits gets the slot that becomes free.
		var wg sync.WaitGroup
		wg.Go(func() { through(t, g, Succeeded) })
		synctest.Wait()
		for _, leave := range leaves {
			leave(Succeeded)
		}
		wg.Wait()
		through(t, g, Succeeded)
		if n := g.InUse(); n != 0 {
			t.Errorf("%d slots are in use", n)
		}
	})
}

func TestGuardSparesWhatKeepsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []bool
		g := NewGuard(GuardOptions{Concurrent: 3, Failures: 3, OpenFor: time.Minute, OnChange: func(open bool) { changes = append(changes, open) }})
		for _, r := range []Result{Inconclusive, Succeeded, Inconclusive} {
			for range 5 {
				through(t, g, r)
			}
		}
		// Only failures in a row count, however many inconclusive calls are between them.
		for _, r := range []Result{Failed, Failed, Succeeded, Failed, Inconclusive, Failed, Inconclusive, Failed} {
			through(t, g, r)
		}
		time.Sleep(20 * time.Second)
		_, err := g.Enter(t.Context())
		if again := rejected(t, err, CircuitOpen); again != 40*time.Second {
			t.Errorf("again in %s", again)
		}
		// One call is let through; its failure opens the circuit again.
		time.Sleep(41 * time.Second)
		through(t, g, Failed)
		_, err = g.Enter(t.Context())
		if again := rejected(t, err, CircuitOpen); again != time.Minute {
			t.Errorf("again in %s", again)
		}
		time.Sleep(61 * time.Second)
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// While it tries, the others wait.
		_, err = g.Enter(t.Context())
		if again := rejected(t, err, CircuitOpen); again <= 0 {
			t.Errorf("again in %s", again)
		}
		leave(Succeeded)
		for range 2 {
			through(t, g, Succeeded)
		}
		if !slices.Equal(changes, []bool{true, false}) {
			t.Errorf("the changes are %v", changes)
		}
	})
}

// A call that tries whether the counterpart works again, and is rejected for another
// reason, doesn't decide.
func TestGuardTriesAgainAfterARejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{Concurrent: 1, Buckets: []*Bucket{NewBucket(1.0/3600, 1)}, Failures: 1, OpenFor: time.Second})
		through(t, g, Failed)
		time.Sleep(time.Minute)
		for range 3 {
			_, err := g.Enter(t.Context())
			rejected(t, err, RateLimited)
		}
		time.Sleep(time.Hour)
		through(t, g, Succeeded)
	})
}

func checkRoom(t *testing.T, g *Guard, prepared, want int, again time.Duration) {
	t.Helper()
	n, at := g.Room(prepared)
	if n != want {
		t.Errorf("room for %d, want %d", n, want)
	}
	if at.IsZero() != (again == 0) || !at.IsZero() && time.Until(at) != again {
		t.Errorf("to ask again at %v, want in %s", at, again)
	}
}

func TestGuardRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{Concurrent: 4, Failures: 2, OpenFor: time.Minute, Preparation: 20 * time.Millisecond})
		checkRoom(t, g, 0, 4, 0)
		checkRoom(t, g, 4, 0, 0)
		through(t, g, Succeeded)
		// It returned at once, so that each slot is free many times while a call is prepared.
		checkRoom(t, g, 3, 33, 0)
		time.Sleep(time.Second)
		// Nothing has returned for long.
		checkRoom(t, g, 3, 1, 0)
		through(t, g, Failed)
		through(t, g, Failed)
		checkRoom(t, g, 0, 0, time.Minute)
		time.Sleep(time.Minute + time.Millisecond)
		// A single call may try.
		checkRoom(t, g, 0, 1, 0)
		checkRoom(t, g, 1, 0, 0)
		through(t, g, Succeeded)
		checkRoom(t, g, 0, 36, 0)
	})
}

func TestGuardRoomAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{Concurrent: 100, Buckets: []*Bucket{NewBucket(10, 5)}, Failures: 5})
		checkRoom(t, g, 0, 5, 0)
		checkRoom(t, g, 1, 4, 0)
		through(t, g, Succeeded)
		checkRoom(t, g, 0, 4, 0)
		checkRoom(t, g, 4, 0, 100*time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		checkRoom(t, g, 4, 1, 0)
		// A prepared call that has its turn doesn't take another one.
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checkRoom(t, g, 1, 4, 0)
		leave(Succeeded)
	})
	synctest.Test(t, func(t *testing.T) {
		// The burst is less than the rate allows in a tenth of a second: that many calls
		// must be prepared, or the rate would not be reached.
		g := NewGuard(GuardOptions{Concurrent: 1000, Buckets: []*Bucket{NewBucket(1000, 1)}, Failures: 5})
		checkRoom(t, g, 0, 100, 0)
		checkRoom(t, g, 100, 0, leastPause)
	})
}
