// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"errors"
	"sync"
)

// ErrTooLarge says that a request exceeds what one party may ever hold.
var ErrTooLarge = errors.New("larger than one party's share of the budget")

// Budget is an amount, such as bytes of memory, that parties draw on and give back.
//
// One party holds at most half of it. Parties that wait are served in turn, and each
// party's requests in the order in which they came. An eighth of the budget is kept
// for small requests, so that large ones never hold those up; a large request that
// has its turn waits until there is room, and no other large request overtakes it.
//
// A Budget is safe for concurrent use.
type Budget struct {
	total int64
	fair  bool // see NewFairBudget

	mu      sync.Mutex
	used    int64
	held    map[string]int64 // by party
	small   line
	large   line
	waiting int
}

const (
	// partyPart is the part of a budget that one party may hold.
	partyPart = 2
	// smallPart is the part of a budget that is kept for small requests.
	smallPart = 8
	// smallestPart is the part of a budget up to which a request is small.
	smallestPart = 256
)

// NewBudget returns a budget of an amount, of which nothing is drawn.
func NewBudget(total int64) *Budget {
	return &Budget{total: max(total, 1), held: make(map[string]int64)}
}

// NewFairBudget returns a budget that grants a request only if the party then holds at most as
// much as stays free, or a single unit: half of the budget if nobody else holds anything, then a
// quarter, and so on. So a few parties that take all that they can get can't keep others out.
// While a waiting request would exceed that, requests of other parties may overtake it.
func NewFairBudget(total int64) *Budget {
	b := NewBudget(total)
	b.fair = true
	return b
}

// Total is the amount of the whole budget.
func (b *Budget) Total() int64 { return b.total }

// Share is the most that one party may hold.
func (b *Budget) Share() int64 { return max(b.total/partyPart, 1) }

// Used is how much is drawn at the moment.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Waiting is how many requests wait at the moment.
func (b *Budget) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting
}

// Grant is an amount that was drawn. It is for one goroutine at a time. The zero Grant
// holds nothing.
type Grant struct {
	budget *Budget
	party  string
	n      int64
}

// Release gives the whole amount back. Releasing it again does nothing.
func (g *Grant) Release() { g.Shrink(0) }

// Shrink keeps n of the amount and gives back the rest. It does nothing if the grant
// is smaller already.
func (g *Grant) Shrink(n int64) {
	if g.budget == nil || n >= g.n {
		return
	}
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.give(g.party, n-g.n)
	g.n = n
	b.serve()
}

// TryGrow draws what is missing to n if that needs no waiting.
func (g *Grant) TryGrow(n int64) bool {
	if n <= g.n {
		return true
	}
	if g.budget == nil {
		return false
	}
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.try(g.party, n-g.n) {
		return false
	}
	g.n = n
	return true
}

// Held is how much the grant holds.
func (g *Grant) Held() int64 { return g.n }

// request is what somebody waits for.
type request struct {
	party string
	n     int64
	ready chan struct{} // closed when it is granted
	done  bool
}

// Acquire draws n for a party and waits until it can. The error is ErrTooLarge if it
// never could, else the context's.
func (b *Budget) Acquire(ctx context.Context, party string, n int64) (Grant, error) {
	if n > b.Share() {
		return Grant{}, ErrTooLarge
	}
	b.mu.Lock()
	if b.try(party, n) {
		b.mu.Unlock()
		return Grant{b, party, n}, nil
	}
	r := &request{party: party, n: n, ready: make(chan struct{})}
	l := b.lineOf(n)
	l.add(r)
	b.waiting++
	b.mu.Unlock()

	select {
	case <-r.ready:
		return Grant{b, party, n}, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.done { // at the same moment
		b.give(party, -n)
	} else {
		l.remove(r)
		b.waiting--
	}
	b.serve() // others may have waited behind this request
	return Grant{}, ctx.Err()
}

// TryAcquire draws n for a party if that needs no waiting.
func (b *Budget) TryAcquire(party string, n int64) (Grant, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.try(party, n) {
		return Grant{}, false
	}
	return Grant{b, party, n}, true
}

// try grants a request unless somebody waits whom it would overtake.
func (b *Budget) try(party string, n int64) bool {
	if len(b.lineOf(n).parties) > 0 || !b.mayHold(party, n) || !b.fits(n) {
		return false
	}
	b.give(party, n)
	return true
}

func (b *Budget) isSmall(n int64) bool { return n <= b.total/smallestPart }

func (b *Budget) lineOf(n int64) *line {
	if b.isSmall(n) {
		return &b.small
	}
	return &b.large
}

// fits reports whether there is room for a request.
func (b *Budget) fits(n int64) bool {
	if b.isSmall(n) {
		return b.used+n <= b.total
	}
	// A budget of a few units has nothing to keep.
	return b.used+n <= b.total-b.total/smallPart
}

// mayHold reports whether a party stays within its share.
func (b *Budget) mayHold(party string, n int64) bool {
	after := b.held[party] + n
	return after <= b.Share() && (!b.fair || after <= max(b.total-b.used-n, 1))
}

// give books an amount, which is negative when it comes back.
func (b *Budget) give(party string, n int64) {
	b.used += n
	if held := b.held[party] + n; held > 0 {
		b.held[party] = held
	} else {
		delete(b.held, party)
	}
}

// serve grants what can be granted now.
func (b *Budget) serve() {
	for _, l := range []*line{&b.small, &b.large} {
		for skipped := 0; skipped < len(l.parties); {
			r := l.parties[skipped].requests[0]
			if !b.mayHold(r.party, r.n) {
				skipped++
				continue
			}
			if !b.fits(r.n) {
				break
			}
			b.give(r.party, r.n)
			b.waiting--
			r.done = true
			close(r.ready)
			l.served(skipped)
		}
	}
}

// line is who waits: parties in the order of their turns, each with its requests.
type line struct{ parties []*waiter }

// waiter is a party with at least one request.
type waiter struct {
	party    string
	requests []*request
}

func (l *line) add(r *request) {
	for _, w := range l.parties {
		if w.party == r.party {
			w.requests = append(w.requests, r)
			return
		}
	}
	l.parties = append(l.parties, &waiter{party: r.party, requests: []*request{r}})
}

// served takes out the first request of a party, whose next turn is the last.
func (l *line) served(i int) {
	w := l.parties[i]
	l.parties = append(l.parties[:i], l.parties[i+1:]...)
	if w.requests = w.requests[1:]; len(w.requests) > 0 {
		l.parties = append(l.parties, w)
	}
}

func (l *line) remove(r *request) {
	for i, w := range l.parties {
		for j, other := range w.requests {
			if other != r {
				continue
			}
			w.requests = append(w.requests[:j], w.requests[j+1:]...)
			if len(w.requests) == 0 {
				l.parties = append(l.parties[:i], l.parties[i+1:]...)
			}
			return
		}
	}
}
