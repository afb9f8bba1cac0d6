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
	// senders are how many send at once, and pace is the least time between two
	// calls of one of them.
	senders = 8
	pace    = 10 * time.Millisecond
	// maxBacklog is how many acknowledged events may wait for their email before no
	// more are sent: the load is as fast as the machine it runs on, and no faster.
	maxBacklog = 100
)

// load is a company's events, sent as the platform sends them: each again and
// again, with the same id, until it is acknowledged.
type load struct {
	company *company
	urls    []string
	stop    context.CancelFunc
	senders sync.WaitGroup
	mailed  int // when it began

	mu           sync.Mutex
	next         int
	acknowledged []string
	answers      map[int]int
}

// startLoad sends until the load is ended, in turn to the managers at the URLs:
// as with a load balancer, another is asked when one does not answer.
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

// take returns the number of a new event, or -1 if enough wait already.
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

// more waits until n more events were acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	until := l.count() + n
	if err := l.company.stage.Eventually(t.Context(), "load", func() error {
		if count := l.count(); count < until {
			return fmt.Errorf("%d events are to be acknowledged, and %d are", until, count)
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

// checkAnswers checks that nothing was answered but these and what was
// acknowledged; 0 is no answer.
func (l *load) checkAnswers(t *testing.T, allowed ...int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for status, n := range l.answers {
		if status != http.StatusOK && !slices.Contains(allowed, status) {
			t.Errorf("%d webhooks were answered %d", n, status)
		}
	}
}

// String tells how the webhooks were answered.
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
