// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package user

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

const (
	// feedInterval is how often the ledger is asked for new messages while a stream is open.
	feedInterval = time.Second
	// feedPage is how many messages are read at a time.
	feedPage = 1000
	// feedTimeout bounds a call of the ledger.
	feedTimeout = 10 * time.Second
	// feedBuffer is how many messages may wait for a stream before it is ended.
	feedBuffer = 64
)

// feed notifies open streams of new in-app messages, which any replica may have delivered.
// While there are streams, it asks the ledger once per interval for the new messages of all
// users. The zero value, with a ledger, is ready to use.
type feed struct {
	ledger ledger.Inbox

	mu      sync.Mutex
	reader  *feedReader // nil without streams
	waiting map[inboxOwner]map[*subscription]struct{}
}

// inboxOwner is a user of a company.
type inboxOwner struct{ company, user string }

// subscription receives the IDs of a user's new messages. The channel is closed if the stream
// doesn't receive them fast enough.
type subscription struct {
	inboxOwner

	ids chan int64
}

// feedReader asks the ledger until it is stopped. It belongs to the streams that are open at
// the same time.
type feedReader struct {
	stop  context.CancelFunc
	ready chan struct{} // closed once the messages that were there before are known, or err is set
	err   error

	from ledger.InboxPlace
	// seen holds when the messages were delivered that from doesn't exclude.
	seen map[int64]time.Time
}

// subscribe returns a subscription to the messages that are delivered from now on. The caller
// ends it with unsubscribe.
func (f *feed) subscribe(ctx context.Context, company, user string) (*subscription, error) {
	s := &subscription{inboxOwner{company, user}, make(chan int64, feedBuffer)}
	f.mu.Lock()
	if f.waiting == nil {
		f.waiting = make(map[inboxOwner]map[*subscription]struct{})
	}
	if f.waiting[s.inboxOwner] == nil {
		f.waiting[s.inboxOwner] = make(map[*subscription]struct{})
	}
	f.waiting[s.inboxOwner][s] = struct{}{}
	r := f.reader
	if r == nil {
		// The reader outlives the first stream.
		reading, stop := context.WithCancel(context.WithoutCancel(ctx))
		r = &feedReader{
			stop: stop, ready: make(chan struct{}), seen: make(map[int64]time.Time),
			from: ledger.InboxPlace{At: time.Now().Add(-ledger.InboxOverlap)},
		}
		f.reader = r
		go f.read(reading, r)
	}
	f.mu.Unlock()
	select {
	case <-r.ready:
	case <-ctx.Done():
		f.unsubscribe(s)
		return nil, fmt.Errorf("%w: looking for new in-app messages: %w", ledger.ErrUnavailable, ctx.Err())
	}
	if r.err != nil {
		f.unsubscribe(s)
		return nil, r.err
	}
	return s, nil
}

// unsubscribe ends a subscription.
func (f *feed) unsubscribe(s *subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(s)
	if len(f.waiting) == 0 && f.reader != nil {
		f.reader.stop()
		f.reader = nil
	}
}

// drop removes a subscription, which may have been removed before.
func (f *feed) drop(s *subscription) {
	delete(f.waiting[s.inboxOwner], s)
	if len(f.waiting[s.inboxOwner]) == 0 {
		delete(f.waiting, s.inboxOwner)
	}
}

// read notifies the streams of new messages until ctx ends.
func (f *feed) read(ctx context.Context, r *feedReader) {
	_, r.err = f.next(ctx, r)
	if r.err != nil {
		f.mu.Lock()
		if f.reader == r {
			f.reader = nil // the next stream tries again
		}
		f.mu.Unlock()
		r.stop()
		close(r.ready)
		return
	}
	close(r.ready)
	ticker := time.NewTicker(feedInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// After an error, which the ledger's health check reports, the next round finds what
		// this one missed.
		found, _ := f.next(ctx, r)
		f.notify(found)
	}
}

// next returns messages that are new since the last call. After an error, it returns those
// that it found before.
func (f *feed) next(ctx context.Context, r *feedReader) (found []ledger.InboxArrival, err error) {
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	place := r.from
	for {
		page, err := f.ledger.InboxArrivals(ctx, place, feedPage)
		if err != nil {
			return found, err
		}
		for _, a := range page {
			if _, known := r.seen[a.ID]; !known {
				r.seen[a.ID] = a.At
				found = append(found, a)
			}
			place = a.InboxPlace
		}
		if len(page) < feedPage {
			break
		}
	}
	if from := place.At.Add(-ledger.InboxOverlap); from.After(r.from.At) {
		r.from = ledger.InboxPlace{At: from}
		for id, at := range r.seen {
			if at.Before(from) {
				delete(r.seen, id)
			}
		}
	}
	return found, nil
}

// notify passes messages on to the streams of their users. It doesn't wait for any.
func (f *feed) notify(found []ledger.InboxArrival) {
	if len(found) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range found {
		for s := range f.waiting[inboxOwner{a.Company, a.UserID}] {
			select {
			case s.ids <- a.ID:
			default:
				f.drop(s)
				close(s.ids)
			}
		}
	}
}
