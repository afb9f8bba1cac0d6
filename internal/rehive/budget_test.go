// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// transport answers calls without a network, so that they can be made in a bubble.
type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

const emptyList = `{"status":"success","data":{"count":0,"next":null,"previous":null,"results":[]}}`

func newPacedClient(t *testing.T, f transport, opts ...Option) *Client {
	t.Helper()
	c, err := New("https://api.rehive.example/3/", append(opts, WithTransport(f))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(ctx context.Context, s Session) error {
	_, err := s.ChildTransactions(ctx, "parent")
	return err
}

func TestPacedCallsStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		made := map[string][]time.Time{}
		c := newPacedClient(t, func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			token := r.Header.Get("Authorization")
			made[token] = append(made[token], time.Now())
			return answer(200, emptyList)
		}, WithCallsPerMinute(20))
		end := time.Now().Add(10 * time.Minute)
		var wg sync.WaitGroup
		for _, token := range []string{"one-company", "another"} {
			for range 6 {
				wg.Go(func() {
					for time.Now().Before(end) {
						if err := ask(t.Context(), c.WithToken(token).Paced()); err != nil {
							if !IsHeldBack(err) || !IsTransient(err) || RetryAfter(err) <= 0 {
								t.Errorf("unexpected: %v", err)
							}
							time.Sleep(RetryAfter(err))
						}
					}
				})
			}
		}
		wg.Wait()
		for token, calls := range made {
			for i := range calls {
				within := 0
				for _, at := range calls[i:] {
					if at.Sub(calls[i]) < time.Minute {
						within++
					}
				}
				if within > 20 {
					t.Fatalf("%s: %d calls in a minute", token, within)
				}
			}
			// Half a burst at first, then ten a minute.
			if len(calls) < 100 || len(calls) > 111 {
				t.Errorf("%s: %d calls in ten minutes", token, len(calls))
			}
		}
	})
}

func TestOtherCallsNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPacedClient(t, func(*http.Request) (*http.Response, error) { return answer(200, emptyList) }, WithCallsPerMinute(2))
		s := c.WithToken("token")
		start := time.Now()
		if err := ask(t.Context(), s.Paced()); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := ask(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the calls took %s", took)
		}
		// But they count.
		if n, again := s.Room(); n != 0 || time.Until(again) != 11*time.Minute {
			t.Errorf("room for %d calls; to ask again in %s", n, time.Until(again))
		}
		if err := ask(t.Context(), s.Paced()); !IsHeldBack(err) || RetryAfter(err) != 11*time.Minute {
			t.Errorf("%v after %s", err, RetryAfter(err))
		}
	})
}

// TestStrangersUseUpNothing: however many calls strangers cause, companies' calls go on.
func TestStrangersUseUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPacedClient(t, func(*http.Request) (*http.Response, error) { return answer(200, emptyList) })
		for range 1000 {
			if err := ask(t.Context(), c.WithToken("junk").OfStranger()); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		for range overallBurst {
			if err := ask(t.Context(), c.WithToken("company").Paced()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the company's calls took %s", took)
		}
		if perTenSeconds := 10*(overallRate+StrangerRate) + overallBurst + StrangerBurst; perTenSeconds > 300 {
			t.Errorf("%d calls in 10 seconds are more than the platform takes", perTenSeconds)
		}
	})
}

func TestHangingCallsOfOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		var calls atomic.Int32
		c := newPacedClient(t, func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") != "Token hanging" || works.Load() {
				return answer(200, emptyList)
			}
			calls.Add(1)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		s := c.WithToken("hanging").Paced()
		var wg sync.WaitGroup
		for range maxPacedCalls {
			wg.Go(func() {
				if err := ask(t.Context(), s); IsHeldBack(err) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := ask(t.Context(), s); !IsHeldBack(err) || time.Since(start) != 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if n, _ := s.Room(); n != 0 {
			t.Errorf("room for %d more", n)
		}
		if err := ask(t.Context(), c.WithToken("other").Paced()); err != nil || time.Since(start) != 0 {
			t.Errorf("another company's call: %v after %s", err, time.Since(start))
		}
		wg.Wait()
		// The fifth failure is enough.
		if err := ask(t.Context(), s); IsHeldBack(err) {
			t.Error(err)
		}
		calls.Store(0)
		if err := ask(t.Context(), s); !IsHeldBack(err) || RetryAfter(err) != leftAlone || calls.Load() != 0 {
			t.Errorf("%v after %s, %d calls", err, RetryAfter(err), calls.Load())
		}
		if n, again := s.Room(); n != 0 || time.Until(again) != leftAlone {
			t.Errorf("room for %d, to ask again in %s", n, time.Until(again))
		}
		time.Sleep(leftAlone)
		// One tries.
		wg.Go(func() { _ = ask(t.Context(), s) })
		synctest.Wait()
		if err := ask(t.Context(), s); !IsHeldBack(err) || calls.Load() != 1 {
			t.Errorf("%v, %d calls", err, calls.Load())
		}
		wg.Wait()
		if err := ask(t.Context(), s); !IsHeldBack(err) {
			t.Error("it failed again and is not left alone:", err)
		}
		time.Sleep(leftAlone)
		works.Store(true)
		for range 10 {
			if err := ask(t.Context(), s); err != nil {
				t.Error(err)
			}
		}
	})
}

// What the caller gave up and what the platform refuses says nothing about whether it
// works.
func TestRefusalsLeaveNobodyAlone(t *testing.T) {
	c := newPacedClient(t, func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "Token refused" {
			return answer(403, `{"status":"error","message":"No."}`)
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 * maxFailures {
		if err := ask(t.Context(), c.WithToken("refused").Paced()); !IsForbidden(err) {
			t.Fatal(err)
		}
		if err := ask(cancelled, c.WithToken("cancelled").Paced()); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

func TestBudgetsAreBounded(t *testing.T) {
	b := newBudgets(time.Now, 100)
	for i := range maxBudgets + 10 {
		b.mu.Lock()
		b.find(strings.Repeat("t", i), time.Now())
		b.mu.Unlock()
	}
	if len(b.of) != maxBudgets {
		t.Errorf("%d budgets", len(b.of))
	}
}
