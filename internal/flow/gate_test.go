// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var testGate = GateOptions{Rate: 5, Burst: 20, FullDemand: 100, Concurrent: 16, Waiting: 64}

// enter makes a call that takes a moment and reports whether it was let through within
// a second.
func enter(g *Gate, caller ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	leave, err := g.Enter(ctx, caller)
	if err != nil {
		return false
	}
	time.Sleep(20 * time.Millisecond)
	leave()
	return true
}

// flood has callers make calls all the time, as many a second together as given, until
// the returned function is called. It returns how many were let through.
func flood(g *Gate, callers, perSecond int) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	through := 0
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			caller := fmt.Sprint("junk-", i%callers)
			wg.Go(func() {
				if enter(g, caller) {
					mu.Lock()
					through++
					mu.Unlock()
				}
			})
			time.Sleep(time.Second / time.Duration(perSecond))
		}
	})
	return func() int {
		cancel()
		wg.Wait()
		return through
	}
}

func TestGateServesTheLeastDemandingFirst(t *testing.T) {
	for name, test := range map[string]struct{ callers, perSecond int }{
		"one caller":       {1, 200},
		"a hundred":        {100, 500},
		"a thousand":       {1000, 2000},
		"as slow as a few": {4, 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewGate(testGate)
				stop := flood(g, test.callers, test.perSecond)
				time.Sleep(3 * time.Second)
				for i := range 20 {
					start := time.Now()
					if !enter(g, fmt.Sprint("honest-", i)) {
						t.Errorf("honest caller %d was refused", i)
					} else if took := time.Since(start); took > 900*time.Millisecond {
						t.Errorf("honest caller %d waited %s", i, took)
					}
					time.Sleep(400 * time.Millisecond)
				}
				passed := time.Since(g.demand.sketch.began).Seconds() // since the start: the window is longer
				if through := stop(); float64(through) > testGate.Rate*(passed+1)+float64(testGate.Burst) {
					t.Errorf("%d calls in %.0f s", through, passed)
				}
			})
		})
	}
}

// TestGateKeepsABurst: callers of little demand find the burst that others may not use.
func TestGateKeepsABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(testGate)
		stop := flood(g, 1, 200)
		time.Sleep(5 * time.Second)
		var wg sync.WaitGroup
		for i := range 15 {
			wg.Go(func() {
				if !enter(g, fmt.Sprint("honest-", i)) {
					t.Errorf("honest caller %d was refused", i)
				}
			})
		}
		wg.Wait()
		stop()
	})
}

func TestGateLendsWhatNobodyNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(testGate)
		stop := flood(g, 1, 100)
		time.Sleep(20 * time.Second)
		if through := stop(); through < 80 {
			t.Errorf("a caller that is alone got only %d calls in 20 s", through)
		}
	})
}

func TestGateForgetsDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(testGate)
		g.Blame(Caller{"caller"}, 1000)
		if enter(g, "caller"); g.demand.Of(Caller{"caller"}, time.Now()) < 1000 {
			t.Error("blame was not counted")
		}
		time.Sleep(2*demandWindow + time.Second)
		if d := g.demand.Of(Caller{"caller"}, time.Now()); d != 0 {
			t.Errorf("a demand of %v is still held against the caller", d)
		}
	})
}

func TestGateBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateOptions{Rate: 1000, Burst: 1000, FullDemand: 100, Concurrent: 2, Waiting: 2})
		var leave []func()
		for range 2 {
			l, err := g.Enter(t.Context(), Caller{"busy"})
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, l)
		}
		if g.InUse() != 2 {
			t.Errorf("%d calls are under way", g.InUse())
		}
		results := make(chan error, 10)
		wait := func(caller string) {
			go func() {
				l, err := g.Enter(t.Context(), Caller{caller})
				if err == nil {
					defer l()
				}
				results <- err
			}()
			synctest.Wait()
		}
		wait("busy")
		wait("busy")
		wait("calm") // takes the place of one of the busy caller's
		if err := <-results; !errors.Is(err, ErrCrowded) {
			t.Errorf("the most demanding caller got %v", err)
		}
		wait("busy") // demands more than both that wait
		if err := <-results; !errors.Is(err, ErrCrowded) {
			t.Errorf("the most demanding caller got %v", err)
		}
		leave[0]()
		leave[0]() // a second time changes nothing
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		leave[1]()
		synctest.Wait()
		if g.InUse() != 0 {
			t.Errorf("%d calls are under way", g.InUse())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Enter(ctx, Caller{"gone"}); !errors.Is(err, ErrNoTurn) || !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that is gone got %v", err)
		}
	})
}

// TestSketchForgetsNobody: however many callers there are, nobody's count shrinks, and
// those of others stay far below that of who demands much.
func TestSketchForgetsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSketch(time.Minute)
		now := time.Now()
		s.add("flooder", 500, now)
		for i := range 20_000 {
			s.add(fmt.Sprint("other-", i), 1, now)
		}
		if d := s.estimate("flooder", now); d < 500 || d > 510 {
			t.Errorf("500 are counted as %v", d)
		}
		sum := 0.0
		for i := range 1000 {
			sum += s.estimate(fmt.Sprint("new-", i), now)
		}
		if sum/1000 > 2 {
			t.Errorf("callers that never came count %v", sum/1000)
		}
		s.add("flooder", ^uint32(0), now)
		if d := s.estimate("flooder", now); d < 500 {
			t.Errorf("the count ran over: %v", d)
		}
	})
}

// TestGateServesOtherGroupsFirst checks that callers who call for the first time wait for
// no flood of others who do so too, if those belong to few groups.
func TestGateServesOtherGroupsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(testGate)
		ctx, cancel := context.WithCancel(t.Context())
		var flooding sync.WaitGroup
		flooding.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				flooding.Go(func() { enter(g, fmt.Sprint("junk-", i), fmt.Sprint("group-", i%100), fmt.Sprint("provider-", i%10)) })
				time.Sleep(10 * time.Millisecond)
			}
		})
		time.Sleep(10 * time.Second)
		for i := range 20 {
			if !enter(g, fmt.Sprint("honest-", i), fmt.Sprint("home-", i), "provider-1") {
				t.Errorf("newcomer %d was refused", i)
			}
			time.Sleep(400 * time.Millisecond)
		}
		cancel()
		flooding.Wait()
	})
}
