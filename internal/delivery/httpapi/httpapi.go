// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package httpapi is what the drivers of providers with an HTTP API share: calls, and the
// meaning of their failures and statuses.
package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/outbound"
)

// maxRetryAfter bounds how long a provider can make a message wait.
const maxRetryAfter = 24 * time.Hour

// API is the HTTP API of a provider. It is safe for concurrent use.
//
// Of what the provider answers, only codes and field names go into errors: providers
// like to repeat addresses and contents.
type API struct {
	name   string
	base   string
	client *outbound.Client
	header http.Header
}

// New returns the API at the URL base of the provider called name. Every call has the
// given header. The client may be nil: one with outbound's defaults is used then. The
// error is about the URL.
func New(name, base string, client *outbound.Client, header http.Header) (*API, error) {
	if client == nil {
		client = outbound.New(outbound.Options{})
	}
	base, err := client.BaseURL(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	header.Set("Accept", "application/json")
	return &API{name: name, base: base, client: client, header: header}, nil
}

// Call makes one call. The path begins with a slash and contains no user's input. The
// errors are those of a provider.Provider.
//
// It must never set a header named Idempotency-Key: the standard transport would
// repeat such a POST by itself.
func (a *API) Call(ctx context.Context, method, path, contentType string, body []byte) (*outbound.Response, error) {
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
		return nil, provider.Transient("Unreachable", a.name+" could not be reached.", 0)
	}
	sentence := fmt.Sprintf("%s could not be reached: %v.", a.name, e)
	switch {
	case e.Kind == outbound.RequestTooLarge:
		return nil, provider.Permanent("MessageTooBig", "The message is too big for "+a.name+".")
	case e.Kind == outbound.AddressRefused, e.Kind == outbound.Untrusted, e.Kind == outbound.InvalidRequest:
		return nil, provider.Misconfigured("Unreachable", sentence)
	case e.Kind == outbound.Canceled && !e.Sent:
		return nil, provider.Transient("Canceled", fmt.Sprintf("The call to %s was cancelled.", a.name), 0)
	case e.Sent && method != http.MethodGet:
		return nil, provider.Unknown(fmt.Sprintf("%s may or may not have accepted the message: %v.", a.name, e))
	default:
		return nil, provider.Transient("Unreachable", sentence, 0)
	}
}

// Read makes a GET call and decodes the answer into v. Refusal classes an answer whose status
// is not 200. The path and the errors are those of Call.
func (a *API) Read(ctx context.Context, path string, v any, refusal func(*outbound.Response) error) error {
	resp, err := a.Call(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return refusal(resp)
	}
	if Decode(resp.Body, v) != nil {
		return a.UnexpectedAnswer()
	}
	return nil
}

// UnexpectedAnswer is the error of an answer that has another form than the API's. It is
// transient, so it is not for an answer that may mean that the message was accepted.
func (a *API) UnexpectedAnswer() error {
	return provider.Transient("UnexpectedAnswer", a.name+"'s answer is not one of its API.", 0)
}

// StatusError classes an answer by its status alone. The detail, if not empty, is a code
// or a field name that says more.
func (a *API) StatusError(resp *outbound.Response, detail string) error {
	answer := fmt.Sprintf("%s answered with status %d", a.name, resp.Status)
	if detail != "" {
		answer += " (" + detail + ")"
	}
	switch s := resp.Status; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return provider.Misconfigured("CredentialsRefused", answer+": it refuses the credentials.")
	case s >= 300 && s < 400:
		return provider.Misconfigured("Redirected", answer+", a redirect, which is never followed; check the base URL.")
	case s == http.StatusNotFound || s == http.StatusMethodNotAllowed || s == http.StatusGone:
		return provider.Misconfigured("NotFound", answer+"; check the base URL and the account.")
	case s == http.StatusUnavailableForLegalReasons:
		return provider.Misconfigured("WrongRegion", answer+": it refuses the message in this region; check the base URL.")
	case s == http.StatusPaymentRequired:
		return provider.Misconfigured("QuotaExceeded", answer+": the account can't pay for the message.")
	case s == http.StatusRequestEntityTooLarge:
		return provider.Permanent("MessageTooBig", answer+": the message is too big.")
	case s == http.StatusTooManyRequests || s == statusEnhanceYourCalm:
		return provider.Transient(provider.ReasonThrottled, answer+": it asks to send more slowly.", RetryAfter(resp.Header))
	case s == http.StatusRequestTimeout || s == http.StatusConflict || s == http.StatusLocked || s == http.StatusTooEarly || s >= 500:
		return provider.Transient("Unavailable", answer+".", RetryAfter(resp.Header))
	case (s == http.StatusBadRequest || s == http.StatusUnprocessableEntity) && !isPage(resp.Body):
		return provider.Permanent("MessageRefused", answer+": it refuses the message.")
	case s >= 400:
		// The other statuses are about how the call was made. Our calls are all made alike, so they,
		// and pages for people, come from a proxy, or from another server than the provider's.
		return provider.Misconfigured("UnexpectedAnswer", answer+", which its API never does; check the base URL and what is between the operator and "+a.name+".")
	default:
		// A 200 where the API never says 200 comes from something in between.
		return provider.Transient("UnexpectedAnswer", answer+", which its API never does.", 0)
	}
}

// statusEnhanceYourCalm is what some proxies answer instead of 429.
const statusEnhanceYourCalm = 420

// isPage reports whether the body of an answer is HTML or XML, which no provider's API writes.
func isPage(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF"))), []byte("<"))
}

// RetryAfter returns the wait that an answer's header asks for: Retry-After (seconds or
// a date), else X-RateLimit-Reset (a Unix time); 0 if it asks for none.
func RetryAfter(h http.Header) time.Duration { return retryAfter(h, time.Now()) }

func retryAfter(h http.Header, now time.Time) time.Duration {
	var wait time.Duration
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if seconds, err := strconv.ParseUint(v, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
			wait = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(v); err == nil {
			wait = at.Sub(now)
		}
	} else if at, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64); err == nil && at > 0 && at < 1<<40 {
		wait = time.Unix(at, 0).Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// Decode reads the JSON of an answer into v. Members of an unexpected type keep their zero
// values, and a byte order mark is skipped. The error says that the answer, or a part of
// it, is not of the expected form.
func Decode(body []byte, v any) error {
	return json.Unmarshal(bytes.TrimPrefix(body, []byte("\uFEFF")), v)
}

// Code is a provider's numeric error code: 21610, 21610.0 or "21610". Anything else is 0.
type Code int

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (c *Code) UnmarshalJSON(b []byte) error {
	text := strings.TrimSpace(strings.Trim(string(b), `"`))
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || number < 0 || number > 1e9 || number != math.Trunc(number) {
		number = 0
	}
	*c = Code(number)
	return nil
}

// Texts are an answer's error messages: a list or a single one, each a text or an object
// with the members field, code and message. Anything else is left out.
type Texts []Text

// Text is one error of an answer.
type Text struct {
	Field, Code, Message string
}

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (t *Texts) UnmarshalJSON(b []byte) error {
	*t = nil
	items := []json.RawMessage{b}
	var list []json.RawMessage
	if json.Unmarshal(b, &list) == nil && list != nil {
		items = list
	}
	for _, item := range items {
		var text string
		var members map[string]json.RawMessage
		switch {
		case json.Unmarshal(item, &text) == nil && text != "":
			*t = append(*t, Text{Message: text})
		case json.Unmarshal(item, &members) == nil && members != nil:
			var one Text
			for name, field := range map[string]*string{"field": &one.Field, "code": &one.Code, "message": &one.Message} {
				_ = json.Unmarshal(members[name], field)
			}
			*t = append(*t, one)
		}
	}
	return nil
}

// JSON is json.Marshal without the escapes for HTML and JavaScript, which turn one byte, or
// the three of a line separator, into six where a provider counts one or three.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return unescaped(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// unescaped replaces the escapes of U+2028 and U+2029, which encoding/json always writes.
func unescaped(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\u202`)) {
		return text
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\' || i+1 == len(text):
			plain = append(plain, text[i])
		case bytes.HasPrefix(text[i:], []byte(`\u2028`)), bytes.HasPrefix(text[i:], []byte(`\u2029`)):
			plain = utf8.AppendRune(plain, 0x2028+rune(text[i+5]-'8'))
			i += 5
		default: // another escape, whose second byte must not begin one
			plain = append(plain, text[i], text[i+1])
			i++
		}
	}
	return plain
}

// IsHeaderValue reports whether s, a credential from a Secret, is safe to put into a
// header.
func IsHeaderValue(s string) bool {
	return s != "" && len(s) <= 4096 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ReceiptID returns the identifier that a provider gave to a message, or nothing if it
// doesn't look like one.
func ReceiptID(id string) string {
	if len(id) > 128 || !IsHeaderValue(id) {
		return ""
	}
	return id
}
