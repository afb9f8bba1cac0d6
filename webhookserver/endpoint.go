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
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// call is a request on its way through a handler, with the logger that knows
// what has been found out about it.
type call struct {
	request *http.Request
	log     logr.Logger
}

// endpoint wraps a route's handler in everything that all requests share: the
// limit on the body, recovery from panics, the error envelope, metrics and
// logs.
func (s *Server) endpoint(rt route) http.Handler {
	inFlight := s.metrics.inFlight.WithLabelValues(rt.path)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		inFlight.Inc()
		c := &call{request: r, log: s.requestLog(r, rt)}
		status := http.StatusOK
		defer func() {
			if v := recover(); v != nil {
				// The value may hold a customer's data, the places in the code don't.
				c.log.Error(nil, "Recovered from a panic", "type", fmt.Sprintf("%T", v), "at", panicSite())
				status = http.StatusInternalServerError
				rest.WriteError(w, rest.Internal(nil))
			}
			inFlight.Dec()
			s.metrics.observe(rt.path, status, time.Since(start))
		}()

		conn, body := connectionFrom(r.Context()), r.Body
		if conn != nil {
			conn.bodyRead = false
		}
		result, err := s.handle(w, c, rt)
		if conn != nil && !conn.bodyRead && r.ContentLength != 0 {
			conn.abandonBody()
			r.Body = body // by which net/http sees that it is too long to read the rest
		}
		if err == nil {
			rest.WriteAnswer(w, result)
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

// handle calls the handler of a request, unless the request itself is wrong. None of
// that reads the body.
func (s *Server) handle(w http.ResponseWriter, c *call, rt route) (rest.Answer, error) {
	h, err := rt.handler(c.request)
	if err != nil {
		return rest.Answer{}, err
	}
	if c.request.ContentLength > rt.maxBody {
		// Said before the body is sent; reading it all would only cost both.
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
		return log // thousands a second, and next to none of them logs
	}
	log = log.WithValues("endpoint", rt.path, "remote", r.RemoteAddr)
	if claimed := claimedChain(r); len(claimed) > 0 {
		log = log.WithValues("forwardedFor", joinAddresses(claimed))
	}
	return log
}

// logRefusal writes why a request was refused: a line each for lifecycle calls,
// which people ask about later, though not for each of a flood, and for webhooks only
// when asked for.
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
		s.ledgerErrors.Do(func() { log.Error(nil, "Can't serve requests", "endpoint", rt.path) })
	case e.Status >= http.StatusInternalServerError:
		log.Error(nil, "Could not answer a request")
	case rt.quiet:
		log.V(1).Info("Refused a request")
	default:
		log.Info("Refused a request")
	}
}

// claimedChain returns the first addresses of X-Forwarded-For, for the log only: anyone
// can write them. It shows which proxies there are to trust.
func claimedChain(r *http.Request) []netip.Addr {
	const most = 5
	var addresses []netip.Addr
	for entry := range strings.SplitSeq(r.Header.Get("X-Forwarded-For"), ",") {
		if address := parseAddress(entry); address.IsValid() && len(addresses) < most {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// joinAddresses writes addresses as X-Forwarded-For does.
func joinAddresses(addresses []netip.Addr) string {
	texts := make([]string, len(addresses))
	for i, address := range addresses {
		texts[i] = address.String()
	}
	return strings.Join(texts, ", ")
}

// panicSite names the innermost places of our own code on the stack, as
// "file:line".
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
