// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/outbound"
)

// Checker is a [Provider] whose configuration and credentials can be tried without
// sending anything. Check's errors are classed as those of Send.
type Checker interface {
	Check(ctx context.Context) error
}

// maxRetryAfter bounds how long a provider can make a message wait.
const maxRetryAfter = 24 * time.Hour

// api is the HTTP API of a provider. Nothing that it answers goes into an error
// but codes and field names: providers like to repeat addresses and contents.
type api struct {
	name   string
	base   string
	client *outbound.Client
	header http.Header
}

func newAPI(name, base string, client *outbound.Client, header http.Header) (*api, error) {
	if client == nil {
		client = outbound.New(outbound.Options{})
	}
	base, err := client.BaseURL(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	header.Set("Accept", "application/json")
	return &api{name: name, base: base, client: client, header: header}, nil
}

// call makes one call; path begins with a slash and holds no user's input.
//
// It must never set a header named Idempotency-Key: the standard transport would
// take that for leave to repeat a POST by itself.
func (a *api) call(ctx context.Context, method, path, contentType string, body []byte) (*outbound.Response, error) {
	header := a.header.Clone()
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	resp, err := a.client.Do(ctx, outbound.Request{Method: method, URL: a.base + path, Header: header, Body: body})
	if err == nil {
		return resp, nil
	}
	var e *outbound.Error
	if !errors.As(err, &e) {
		return nil, Transient("Unreachable", a.name+" could not be reached.", 0)
	}
	sentence := fmt.Sprintf("%s could not be reached: %v.", a.name, e)
	switch {
	case e.Kind == outbound.RequestTooLarge:
		return nil, Permanent("MessageTooBig", "The message is too big for "+a.name+".")
	case e.Kind == outbound.AddressRefused, e.Kind == outbound.Untrusted, e.Kind == outbound.InvalidRequest:
		return nil, Misconfigured("Unreachable", sentence)
	case e.Kind == outbound.Canceled && !e.Sent:
		return nil, Transient("Canceled", fmt.Sprintf("The call of %s was cancelled.", a.name), 0)
	case e.Sent && method != http.MethodGet:
		return nil, Unknown(fmt.Sprintf("%s may or may not have taken the message: %v.", a.name, e))
	default:
		return nil, Transient("Unreachable", sentence, 0)
	}
}

// statusError classes an answer by its status alone. The detail, if not empty,
// is a code or field that says more.
func (a *api) statusError(resp *outbound.Response, detail string) error {
	answer := fmt.Sprintf("%s answered with status %d", a.name, resp.Status)
	if detail != "" {
		answer += " (" + detail + ")"
	}
	switch s := resp.Status; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return Misconfigured("CredentialsRefused", answer+": it refuses the credentials.")
	case s >= 300 && s < 400:
		return Misconfigured("Redirected", answer+", a redirect, which is never followed; check the base URL.")
	case s == http.StatusNotFound || s == http.StatusMethodNotAllowed:
		return Misconfigured("NotFound", answer+"; check the base URL and the account.")
	case s == http.StatusPaymentRequired:
		return Misconfigured("QuotaExceeded", answer+": the account can't pay for the message.")
	case s == http.StatusRequestEntityTooLarge:
		return Permanent("MessageTooBig", answer+": the message is too big.")
	case s == http.StatusTooManyRequests:
		return Transient("Throttled", answer+": it asks to send more slowly.", retryAfter(resp.Header, time.Now()))
	case s == http.StatusRequestTimeout || s == http.StatusTooEarly || s >= 500:
		return Transient("Unavailable", answer+".", retryAfter(resp.Header, time.Now()))
	case s >= 400:
		return Permanent("MessageRefused", answer+": it refuses the message.")
	default:
		// A 200 where the API never says 200 comes from something in between.
		return Transient("UnexpectedAnswer", answer+", which its API never does.", 0)
	}
}

// retryAfter reads Retry-After (seconds or a date) or else X-RateLimit-Reset (a
// Unix time); 0 if neither makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	var wait time.Duration
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
			wait = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(v); err == nil {
			wait = at.Sub(now)
		}
	} else if at, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64); err == nil && at > 0 && at < 1<<40 {
		wait = time.Unix(at, 0).Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// toJSON is json.Marshal without its escapes for HTML, which make six bytes of one
// where a provider counts one.
func toJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// checkKey checks what becomes part of a header.
func checkKey(key string) error {
	if key == "" || len(key) > 200 || strings.ContainsFunc(key, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return Permanent("KeyInvalid", "The message has no valid key.")
	}
	return nil
}

// headerValue tells whether s, a credential from a Secret, may stand in a header.
func headerValue(s string) bool {
	return s != "" && len(s) <= 4096 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
