// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	// senders is the number of concurrent senders, and pace the minimum time between two
	// calls of one sender.
	senders = 8
	pace    = 10 * time.Millisecond
	// maxBacklog is how many acknowledged events may wait for their email before sending
	// pauses, so that the load adapts to the speed of the machine.
	maxBacklog = 100
)

// load sends a company's events like the platform: each one repeatedly, with the same id,
// until it is acknowledged.
type load struct {
	company *company
	urls    []string
	stop    context.CancelFunc
	senders sync.WaitGroup
	mailed  int // number of emails at the start

	mu           sync.Mutex
	next         int
	acknowledged []string
	answers      map[int]int
}

// startLoad sends events to the managers at the URLs in turn until the load ends. Like a
// load balancer, it tries another one if one doesn't answer.
func (c *company) startLoad(t *testing.T, urls ...string) *load {
	l := &load{company: c, urls: urls, mailed: c.stage.Mail.Count(), answers: make(map[int]int)}
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	for sender := range senders {
		l.senders.Go(func() { l.send(ctx, sender) })
	}
	t.Cleanup(func() { l.end() })
	return l
}

func (l *load) send(ctx context.Context, sender int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	pending := -1 // no event
	for try := sender; ; try++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if pending < 0 {
			if pending = l.take(); pending < 0 {
				continue
			}
		}
		text := l.company.text(pending)
		status := l.company.sendTo(ctx, l.urls[try%len(l.urls)], fmt.Sprint("event-", pending), text)
		if ctx.Err() != nil && status == 0 {
			return
		}
		l.mu.Lock()
		l.answers[status]++
		if status == http.StatusOK {
			l.acknowledged = append(l.acknowledged, text)
			pending = -1
		}
		l.mu.Unlock()
	}
}

// take returns the number of a new event, or -1 if the backlog is full.
func (l *load) take() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.acknowledged)-(l.company.stage.Mail.Count()-l.mailed) >= maxBacklog {
		return -1
	}
	l.next++
	return l.next - 1
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// waitMore waits until n more events have been acknowledged.
func (l *load) waitMore(t *testing.T, n int) {
	t.Helper()
	until := l.count() + n
	if err := l.company.stage.Eventually(t.Context(), "load", func() error {
		if count := l.count(); count < until {
			return fmt.Errorf("want %d acknowledged events, got %d", until, count)
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, l.company.stage.Manager.LogTail())
	}
}

// end stops sending and returns the texts of the events that were acknowledged.
func (l *load) end() []string {
	l.stop()
	l.senders.Wait()
	return l.acknowledged
}

// checkAnswers checks that all answers are 200 or one of the allowed statuses; 0 means no
// answer.
func (l *load) checkAnswers(t *testing.T, allowed ...int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for status, n := range l.answers {
		if status != http.StatusOK && !slices.Contains(allowed, status) {
			t.Errorf("%d webhooks were answered with %d", n, status)
		}
	}
}

// checkFew checks that few calls got one of the statuses. On a busy machine, an answer is late now
// and then, but not one in ten.
func (l *load) checkFew(t *testing.T, statuses ...int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, status := range statuses {
		if n, accepted := l.answers[status], l.answers[http.StatusOK]; 10*n > accepted {
			t.Errorf("%d webhooks were answered with %d, and %d were accepted", n, status, accepted)
		}
	}
}

// String summarizes the answers to the webhooks.
func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%d events acknowledged", len(l.acknowledged))
	for _, status := range slices.Sorted(maps.Keys(l.answers)) {
		switch {
		case status == 0:
			text += fmt.Sprintf(", %d not answered", l.answers[status])
		case status != http.StatusOK:
			text += fmt.Sprintf(", %d answered %d", l.answers[status], status)
		}
	}
	return text
}
