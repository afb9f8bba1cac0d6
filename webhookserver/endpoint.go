// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// call is a request being handled, with a logger that carries what is known about it so
// far.
type call struct {
	request *http.Request
	log     logr.Logger
	route   string
	begun   time.Time
	// answer is the memory of the answer until it was written.
	answer flow.Grant
}

// endpoint wraps a route's handler in what all requests share: the limit on the body,
// recovery from panics, the error envelope, metrics and logs.
func (s *Server) endpoint(rt route) http.Handler {
	inFlight := s.metrics.inFlight.WithLabelValues(rt.path)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		inFlight.Inc()
		c := &call{request: r, log: s.requestLog(r, rt), route: rt.path, begun: start}
		status := http.StatusOK
		streaming := false
		observe := func() {
			inFlight.Dec()
			s.metrics.observe(rt.path, status, time.Since(start))
		}
		defer func() {
			v := recover()
			if v != nil {
				// The panic's value may hold a customer's data, so only its type is logged.
				c.log.Error(nil, "Recovered from a panic", "type", fmt.Sprintf("%T", v), "at", panicSite())
			}
			if streaming {
				return
			}
			if v != nil {
				status = http.StatusInternalServerError
				rest.WriteError(w, rest.Internal(nil))
			}
			c.answer.Release()
			observe()
		}()

		conn, body := connectionFrom(r.Context()), r.Body
		if conn != nil {
			if conn.isEvicted() {
				return // a request that was already read with the one before
			}
			conn.bodyRead = false
		}
		result, err := s.handle(w, c, rt)
		if err != nil || rt.public || r.Method == http.MethodOptions {
			longest := longestHold
			if rt.budget > 0 {
				longest = min(longest, rt.budget-time.Since(start))
			}
			s.holdBack(r, longest)
		}
		if conn != nil && !conn.bodyRead && r.ContentLength != 0 {
			conn.abandonBody()
			r.Body = body // so that net/http sees the type that makes it give up on the rest
		}
		if err == nil && result.Stream != nil {
			// A request that takes minutes would spoil the statistics of the others.
			streaming = true
			observe()
			s.serveStream(w, c, result.Stream)
			return
		}
		if err == nil {
			rest.WriteAnswer(w, r, result)
			return
		}
		var refusal *rest.Error
		if !errors.As(err, &refusal) {
			refusal = rest.Internal(err)
		}
		status = refusal.Status
		s.logRefusal(c, rt, refusal)
		rest.WriteError(w, refusal)
	})
}

// paced holds back the answers of a handler that anybody may ask, and that reads no body.
func (s *Server) paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.holdBack(r, longestHold)
		abandonBody(r)
		h.ServeHTTP(w, r)
	})
}

// abandonBody gives up on the body of a request that nobody reads. Otherwise net/http would
// wait for it before it sends the answer, on a connection that nobody can evict.
func abandonBody(r *http.Request) {
	if conn := connectionFrom(r.Context()); conn != nil && r.ContentLength != 0 {
		conn.abandonBody()
	}
}

// holdBack delays an answer that its caller needed no credential for if there are many
// such answers: otherwise a few hundred connections, each with its next request sent
// already, would take the processors from everybody else. Meanwhile the connection counts
// as waiting for its client, so that it makes room for others.
func (s *Server) holdBack(r *http.Request, longest time.Duration) {
	now := time.Now()
	answer := s.freeAnswers.ReserveN(now, 1)
	wait := answer.DelayFrom(now)
	if wait > longest {
		answer.CancelAt(now)
		wait = longest
	}
	if wait <= 0 {
		return
	}
	defer waitAside(r)()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// handle calls the handler of a request, unless the path, the method or the announced size
// is wrong. It doesn't read the body itself.
func (s *Server) handle(w http.ResponseWriter, c *call, rt route) (rest.Answer, error) {
	h, err := rt.handler(c.request)
	if err != nil {
		return rest.Answer{}, err
	}
	if c.request.ContentLength > rt.maxBody {
		// Refuse before the body is sent: reading it would be a waste for both sides.
		w.Header().Set("Connection", "close")
		return rest.Answer{}, rest.TooLarge(rt.maxBody)
	}
	ctx := c.request.Context()
	if rt.budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, rt.budget)
		defer cancel()
	}
	c.request.Body = http.MaxBytesReader(w, c.request.Body, rt.maxBody)
	return h(ctx, c)
}

func (s *Server) requestLog(r *http.Request, rt route) logr.Logger {
	log := logr.FromContextOrDiscard(r.Context())
	if rt.quiet && !log.V(1).Enabled() {
		return log // there are thousands a second, and almost none of them logs anything
	}
	log = log.WithValues("endpoint", rt.path, "remote", r.RemoteAddr)
	if claimed := claimedChain(r); len(claimed) > 0 {
		log = log.WithValues("forwardedFor", joinAddresses(claimed))
	}
	return log
}

// logRefusal logs why a request was refused: one line for each lifecycle call, up to a
// rate, because people ask about those later; for webhooks only at verbosity 1.
func (s *Server) logRefusal(c *call, rt route, e *rest.Error) {
	if !rt.quiet && !s.refusalLogs.Allow() {
		s.unloggedRefusals.Add(1)
		return
	}
	log := c.log.WithValues("code", e.Status, "reason", e.Error())
	if n := s.unloggedRefusals.Swap(0); n > 0 {
		log = log.WithValues("notLogged", n)
	}
	switch {
	case e.Status == http.StatusServiceUnavailable && rt.quiet:
		s.ledgerErrors.Do(func() { log.Error(nil, "Cannot serve requests", "endpoint", rt.path) })
	case e.Status >= http.StatusInternalServerError:
		log.Error(nil, "Could not answer a request")
	case rt.quiet:
		log.V(1).Info("Refused a request")
	default:
		log.Info("Refused a request")
	}
}

// claimedChain returns the last addresses of all X-Forwarded-For headers, of which the nearest
// proxies wrote the last. They can be forged, so they are only logged; operators can see there
// which proxies to trust.
func claimedChain(r *http.Request) []netip.Addr {
	const limit = 5
	var addresses []netip.Addr // from the right
	for _, value := range slices.Backward(r.Header.Values("X-Forwarded-For")) {
		for more := true; more && len(addresses) < limit; {
			comma := strings.LastIndexByte(value, ',')
			if address := parseAddress(value[comma+1:]); address.IsValid() {
				addresses = append(addresses, address)
			}
			value, more = value[:max(comma, 0)], comma >= 0
		}
	}
	slices.Reverse(addresses)
	return addresses
}

// joinAddresses formats addresses as in X-Forwarded-For.
func joinAddresses(addresses []netip.Addr) string {
	texts := make([]string, len(addresses))
	for i, address := range addresses {
		texts[i] = address.String()
	}
	return strings.Join(texts, ", ")
}

// panicSite returns the innermost frames of our own code on the stack, as "file:line".
func panicSite() []string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var places []string
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "extension-operator/") {
			places = append(places, fmt.Sprintf("%s:%d", frame.File[strings.LastIndexByte(frame.File, '/')+1:], frame.Line))
		}
		if !more || len(places) == 8 {
			return places
		}
	}
}
