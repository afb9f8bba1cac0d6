// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// userStreams is how many event streams one user may have open. A further one ends the
	// oldest, which is often that of a device that has gone.
	userStreams = 4
	// streamRetry is how long clients wait at least before they open another stream; they
	// are spread over as long again.
	streamRetry = 2 * time.Second
	// streamBusy is the Retry-After header for streams that are refused.
	streamBusy = 30 * time.Second
	// streamChecks is how many tokens of streams are verified with the platform at once, so
	// that a message to all users of a company leaves room for other calls.
	streamChecks = 4
	// checkRetry is how long a stream waits before it verifies its token again after the
	// platform couldn't be asked.
	checkRetry = 2 * time.Second
)

// errStreamOver ends a stream whose caller may no longer read the inbox.
var errStreamOver = errors.New("the caller may no longer read the inbox")

// streams are the open event streams. They hold none of the slots of other calls, and their
// connections make room for others.
type streams struct {
	slots *flow.Budget // by company
	// checks are the calls to the platform for streams, by company.
	checks *flow.Budget
	time   time.Duration

	mu     sync.Mutex
	closed bool
	// byUser holds each user's streams, the oldest first.
	byUser map[streamOwner][]*openStream
}

type streamOwner struct{ company, user string }

type openStream struct {
	streamOwner

	slot flow.Grant
	end  context.CancelFunc
}

func newStreams(limit int, longest time.Duration) *streams {
	return &streams{
		slots: flow.NewBudget(int64(limit)), checks: flow.NewBudget(streamChecks), time: longest,
		byUser: make(map[streamOwner][]*openStream),
	}
}

// open registers a stream of a user, whose context ends with the stream. It reports false if
// there are too many, or the server is stopping.
func (t *streams) open(ctx context.Context, company, user string) (context.Context, *openStream, bool) {
	slot, ok := t.slots.TryAcquire(company, 1)
	if !ok {
		return nil, nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		slot.Release()
		return nil, nil, false
	}
	// Streams that began together, after a restart for instance, end at different times.
	longest := t.time - rand.N(t.time/5+1)
	ctx, cancel := context.WithTimeout(ctx, longest)
	o := &openStream{streamOwner{company, user}, slot, cancel}
	mine := append(t.byUser[o.streamOwner], o)
	if len(mine) > userStreams {
		mine[0].end() // and it removes itself
	}
	t.byUser[o.streamOwner] = mine
	return ctx, o, true
}

// close ends a stream.
func (t *streams) close(o *openStream) {
	o.end()
	t.mu.Lock()
	defer t.mu.Unlock()
	o.slot.Release()
	mine := t.byUser[o.streamOwner]
	for i := range mine {
		if mine[i] == o {
			mine = append(mine[:i:i], mine[i+1:]...)
			break
		}
	}
	if t.byUser[o.streamOwner] = mine; len(mine) == 0 {
		delete(t.byUser, o.streamOwner)
	}
}

// stop ends all streams and refuses further ones.
func (t *streams) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, mine := range t.byUser {
		for _, o := range mine {
			o.end()
		}
	}
}

// openStream answers a call of an operation that streams events. The stream is bounded here and
// runs in serveStream, without the slot and the budget of the call.
func (s *Server) openStream(r *http.Request, from *caller, open func() (rest.Answer, error)) (rest.Answer, error) {
	ctx, stream, ok := s.streams.open(r.Context(), from.company, from.user)
	if !ok {
		return rest.Answer{}, &rest.Error{
			Status: http.StatusServiceUnavailable, Message: "Too many event streams are open. Read the list of messages instead, and try again later.",
			RetryAfter: streamBusy,
		}
	}
	answer, err := open()
	if err != nil {
		s.streams.close(stream)
		return rest.Answer{}, err
	}
	serve := answer.Stream
	answer.Stream = func(_ context.Context, w *rest.Stream) error {
		defer s.streams.close(stream)
		w.Check = func(ctx context.Context, idle bool) error {
			err := s.checkStream(ctx, r, from, idle)
			waitAside(r) // authenticating marked the connection as being served
			return err
		}
		return serve(ctx, w)
	}
	return answer, nil
}

// serveStream runs a stream that was opened. Its connection counts as waiting for its client
// all the time, so it makes room for others.
func (s *Server) serveStream(w http.ResponseWriter, c *call, serve rest.ServeFunc) {
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	defer waitAside(c.request)()
	stream := rest.NewStream(w)
	stream.Retry, stream.Timeout = streamRetry+rand.N(streamRetry), s.limits.StreamWrite
	if err := serve(c.request.Context(), stream); err != nil {
		c.log.V(1).Info("Ended an event stream", "reason", err.Error())
	}
	stream.End()
}

// checkStream returns nil if the caller of a stream may receive a message: the company is
// active, and the platform confirmed the token within the last tokenTTL. While the platform
// can't be asked, it waits. The token of an idle stream is not verified.
func (s *Server) checkStream(ctx context.Context, r *http.Request, from *caller, idle bool) error {
	for {
		a, err := s.activations.Find(ctx, from.company)
		if err == nil && (a == nil || !a.IsActive()) {
			return errStreamOver
		}
		if idle {
			return nil
		}
		now, err := s.reauthenticate(ctx, r, from.company)
		if err == nil {
			if now.user != from.user || now.company != from.company {
				return errStreamOver
			}
			return nil
		}
		if refusal := new(rest.Error); errors.As(err, &refusal) && refusal.Status < http.StatusTooManyRequests {
			return errStreamOver
		}
		select {
		case <-time.After(checkRetry + rand.N(checkRetry)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reauthenticate is authenticate for an open stream of a company.
func (s *Server) reauthenticate(ctx context.Context, r *http.Request, company string) (*caller, error) {
	token, err := apiToken(r)
	if err != nil {
		return nil, err
	}
	key, _ := s.tokenKey(r, token)
	if known, _, ok := s.tokens.get(key, s.now()); ok {
		return known.answer()
	}
	turn, err := s.streams.checks.Acquire(ctx, company, 1)
	if err != nil {
		return nil, err
	}
	defer turn.Release()
	return s.authenticate(ctx, r)
}
