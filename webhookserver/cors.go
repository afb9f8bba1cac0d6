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

// ValidateOrigin returns an error if a text is not the origin of web pages: a scheme and
// a host, with a port if it is not the scheme's own, as browsers send it. Wildcards are
// refused: every dashboard that may read a company's messages is named.
func ValidateOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Contains(origin, "*") ||
		origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) {
		return fmt.Errorf("%q is not an origin such as https://dashboard.example.com: a scheme and a host in lower case, with a port if needed, and nothing behind it", origin)
	}
	return nil
}

// crossOrigin lets web pages of the given origins call a handler from browsers. Without
// origins it returns the handler as it is. Callers authenticate by a header, so cookies
// are never allowed.
func crossOrigin(origins []string) (func(http.Handler) http.Handler, error) {
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
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key"},
		ExposedHeaders: []string{"Idempotent-Replayed", "Retry-After"},
		MaxAge:         int(preflightTime.Seconds()),
	})
	return allowed.Handler, nil
}
