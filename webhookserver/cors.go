// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/cors"
)

// preflightTime is how long a browser may remember the answer to a preflight request.
const preflightTime = 10 * time.Minute

// ValidateOrigin returns an error unless the text is the origin of a web page as browsers
// send it: a scheme and a host, with the port unless it is the scheme's default. Wildcards
// are refused, because every dashboard that may read a company's messages must be named.
func ValidateOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Contains(origin, "*") ||
		origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) {
		return fmt.Errorf("%q is not an origin such as https://dashboard.example.com: a scheme and a host in lower case, with a port if needed, and nothing after it", origin)
	}
	return nil
}

// crossOrigin returns middleware that lets web pages of the given origins call a handler
// from a browser. Without origins, the middleware does nothing. Callers authenticate with a
// header, so cookies are never allowed. Preflight requests, which carry no credential, are
// paced.
func crossOrigin(origins []string, paced func(http.Handler) http.Handler) (func(http.Handler) http.Handler, error) {
	if len(origins) == 0 {
		return func(h http.Handler) http.Handler { return h }, nil
	}
	for _, origin := range origins {
		if err := ValidateOrigin(origin); err != nil {
			return nil, fmt.Errorf("allowing cross-origin requests: %w", err)
		}
	}
	allowed := cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"},
		ExposedHeaders: []string{"Idempotent-Replayed", "Retry-After"},
		MaxAge:         int(preflightTime.Seconds()),
	})
	return func(h http.Handler) http.Handler {
		h = allowed.Handler(h)
		preflight := paced(h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodOptions {
				preflight.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}, nil
}
