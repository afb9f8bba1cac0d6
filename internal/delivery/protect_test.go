// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sendFunc is a provider made of a function.
type sendFunc func(ctx context.Context) error

func (f sendFunc) Send(ctx context.Context, _ Message) (Receipt, error) {
	return Receipt{ID: "sent"}, f(ctx)
}

func retryOf(err error) (string, time.Duration) {
	var e *Error
	if !errors.As(err, &e) {
		return "", 0
	}
	return e.Reason, e.RetryAfter
}

func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		l := NewLimited(sendFunc(func(context.Context) error { sent.Add(1); return nil }), 2, 4)
		start := time.Now()
		var held atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := l.Send(t.Context(), Message{}); err != nil {
					held.Add(1)
					if reason, wait := retryOf(err); !HeldBack(err) || reason != ReasonRateLimited || wait <= maxRateWait || wait > 2*time.Second {
						t.Errorf("%v after %s", err, wait)
					}
				}
			})
		}
		wg.Wait()
		// The burst of 4 at once, and the two whose turn comes within a second.
		if sent.Load() != 6 || held.Load() != 14 || time.Since(start) != time.Second {
			t.Errorf("%d sent, %d held back in %s", sent.Load(), held.Load(), time.Since(start))
		}
		// Those that were held back took nobody's turn.
		time.Sleep(time.Second)
		if _, err := l.Send(t.Context(), Message{}); err != nil {
			t.Error(err)
		}
	})
}

func TestLimitedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimited(sendFunc(func(context.Context) error { return nil }), 2, 1)
		if _, err := l.Send(t.Context(), Message{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := l.Send(ctx, Message{}); !HeldBack(err) || time.Since(start) != 0 {
			t.Errorf("%v after %s: its turn is after its deadline", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := l.Send(ctx, Message{}); !HeldBack(err) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := NewBulkhead(sendFunc(func(context.Context) error { <-release; return nil }), 3)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := b.Send(t.Context(), Message{}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		_, err := b.Send(t.Context(), Message{})
		if reason, wait := retryOf(err); !HeldBack(err) || reason != ReasonBusy || wait <= 0 {
			t.Errorf("%v after %s", err, wait)
		}
		if waited := time.Since(start); waited != maxSlotWait {
			t.Errorf("it waited %s", waited)
		}
		// One that waits gets the slot that is freed.
		wg.Go(func() {
			if _, err := b.Send(t.Context(), Message{}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(release)
		wg.Wait()
		if _, err := b.Send(t.Context(), Message{}); err != nil {
			t.Errorf("the slots are free again: %v", err)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		calls := 0
		var changes []bool
		b := NewBreaker(sendFunc(func(context.Context) error { calls++; return answer }), BreakerConfig{
			Failures: 3, OpenFor: time.Minute, OnChange: func(open bool) { changes = append(changes, open) },
		})
		send := func() error {
			_, err := b.Send(t.Context(), Message{})
			return err
		}
		// None of these says that the provider is down.
		for _, err := range []error{
			Transient(ReasonDevicesUnavailable, "The platform is down.", 0), Permanent("RecipientRefused", "No."), Misconfigured("CredentialsRefused", "No."), Transient("Throttled", "Slow.", time.Second),
			Transient(ReasonBusy, "Busy.", time.Second), nil,
		} {
			for range 5 {
				answer = err
				if got := send(); !errors.Is(got, err) {
					t.Fatalf("%v became %v", err, got)
				}
			}
		}
		answer = Transient("Unavailable", "Down.", 0)
		for range 3 {
			if err := send(); HeldBack(err) {
				t.Fatalf("opened too early: %v", err)
			}
		}
		calls = 0
		time.Sleep(20 * time.Second)
		err := send()
		if reason, wait := retryOf(err); reason != ReasonCircuitOpen || !HeldBack(err) || wait != 40*time.Second || calls != 0 {
			t.Errorf("%v, wait %s, %d calls", err, wait, calls)
		}
		// One is let through; its failure opens the breaker anew.
		time.Sleep(41 * time.Second)
		if err := send(); HeldBack(err) || calls != 1 {
			t.Errorf("%v, %d calls", err, calls)
		}
		if _, wait := retryOf(send()); wait != time.Minute || calls != 1 {
			t.Errorf("wait %s, %d calls", wait, calls)
		}
		time.Sleep(61 * time.Second)
		answer = nil
		for range 2 {
			if err := send(); err != nil {
				t.Error(err)
			}
		}
		if len(changes) != 2 || !changes[0] || changes[1] {
			t.Errorf("told %v", changes)
		}
	})
}

// A stop of the operator cancels what is in flight everywhere; no provider is
// down for it.
func TestBreakerCancelled(t *testing.T) {
	calls := 0
	b := NewBreaker(sendFunc(func(ctx context.Context) error { calls++; return Transient("Unreachable", "Gone.", 0) }), BreakerConfig{Failures: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := b.Send(ctx, Message{}); HeldBack(err) {
			t.Fatal(err)
		} else if reason, _ := retryOf(err); reason != "Unreachable" {
			t.Errorf("%v", err)
		}
	}
}

// While one message tries a provider, the others are told to wait.
func TestBreakerHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		release := make(chan struct{})
		b := NewBreaker(sendFunc(func(context.Context) error {
			if down.Load() {
				return Transient("Unavailable", "Down.", 0)
			}
			<-release
			return nil
		}), BreakerConfig{Failures: 1, OpenFor: time.Second})
		if _, err := b.Send(t.Context(), Message{}); err == nil {
			t.Fatal("it isn't down")
		}
		time.Sleep(2 * time.Second)
		down.Store(false)
		done := make(chan error, 1)
		go func() {
			_, err := b.Send(t.Context(), Message{})
			done <- err
		}()
		synctest.Wait()
		_, err := b.Send(t.Context(), Message{})
		if reason, wait := retryOf(err); reason != ReasonCircuitOpen || wait <= 0 {
			t.Errorf("%v, wait %s", err, wait)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
