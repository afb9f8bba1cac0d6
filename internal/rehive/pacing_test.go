// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rehive/extension-operator/internal/outbound"
)

// platform answers calls without a network, so that they can be made in a bubble.
type platform func(ctx context.Context, token string) (*outbound.Response, error)

func (f platform) Do(ctx context.Context, r outbound.Request) (*outbound.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	return f(ctx, strings.TrimPrefix(r.Header.Get("Authorization"), "Token "))
}

func (platform) CloseIdleConnections() {}

func answer(status int, body string) (*outbound.Response, error) {
	return &outbound.Response{Status: status, Header: http.Header{}, Body: []byte(body)}, nil
}

const emptyList = `{"status":"success","data":{"count":0,"next":null,"previous":null,"results":[]}}`

func newPacedClient(t *testing.T, f platform, opts ...Option) *Client {
	t.Helper()
	c, err := New("https://api.rehive.example/3/", opts...)
	if err != nil {
		t.Fatal(err)
	}
	c.http = f
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
		c := newPacedClient(t, func(_ context.Context, token string) (*outbound.Response, error) {
			mu.Lock()
			defer mu.Unlock()
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
		c := newPacedClient(t, func(context.Context, string) (*outbound.Response, error) { return answer(200, emptyList) }, WithCallsPerMinute(2))
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
		if err := ask(t.Context(), s.Paced()); !IsHeldBack(err) || RetryAfter(err) != 11*time.Minute {
			t.Errorf("%v after %s", err, RetryAfter(err))
		}
	})
}

// TestStrangersUseUpNothing: however many calls strangers cause, companies' calls continue.
func TestStrangersUseUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPacedClient(t, func(context.Context, string) (*outbound.Response, error) { return answer(200, emptyList) })
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
		c := newPacedClient(t, func(ctx context.Context, token string) (*outbound.Response, error) {
			if token != "hanging" || works.Load() {
				return answer(200, emptyList)
			}
			calls.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
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
		time.Sleep(leftAlone + time.Millisecond)
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
		time.Sleep(leftAlone + time.Millisecond)
		works.Store(true)
		for range 10 {
			if err := ask(t.Context(), s); err != nil {
				t.Error(err)
			}
		}
	})
}

// A call that the caller cancelled or the platform refused doesn't count as a failure of
// the platform.
func TestRefusalsLeaveNobodyAlone(t *testing.T) {
	c := newPacedClient(t, func(ctx context.Context, token string) (*outbound.Response, error) {
		if token == "refused" {
			return answer(403, `{"status":"error","message":"No."}`)
		}
		<-ctx.Done()
		return nil, ctx.Err()
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

func TestTokensAreBounded(t *testing.T) {
	p := newPacer(100)
	for i := range maxTokens + 10 {
		key := keyOf(strconv.Itoa(i))
		p.guard(key)
		p.throttle(key, time.Hour)
	}
	if p.guards.Len() != maxTokens || p.throttled.Len() != maxTokens {
		t.Errorf("%d guards, %d throttled tokens", p.guards.Len(), p.throttled.Len())
	}
}

// A token that the platform asked to wait makes no calls until then; others do.
func TestThrottledTokensFailFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttles, calls := true, 0
		c := newPacedClient(t, func(_ context.Context, token string) (*outbound.Response, error) {
			calls++
			resp, err := answer(200, emptyList)
			if token == "throttled" && throttles {
				resp, err = answer(429, `{"status":"error","message":"Slow down."}`)
				resp.Header.Set("Retry-After", "30")
			}
			return resp, err
		})
		s := c.WithToken("throttled")
		if err := ask(t.Context(), s); !IsThrottled(err) || !IsTransient(err) || RetryAfter(err) != 30*time.Second {
			t.Fatal(err)
		}
		throttles = false
		time.Sleep(10 * time.Second)
		for _, s := range []Session{s, s.Paced(), s.OfStranger()} {
			if err := ask(t.Context(), s); !IsThrottled(err) || RetryAfter(err) != 20*time.Second || IsHeldBack(err) != s.paced {
				t.Error(err)
			}
		}
		if calls != 1 {
			t.Errorf("%d calls were made", calls)
		}
		if err := ask(t.Context(), c.WithToken("other")); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if err := ask(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
}
