// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rehive is a typed client of the Rehive platform's API, holding what
// an extension needs of it: who a token belongs to, the company, its webhooks,
// transactions, users and devices.
//
// A Client is made once and shared; a Session speaks for one token:
//
//	client, err := rehive.New(rehive.DefaultBaseURL)
//	user, err := client.WithToken(token).Auth(ctx)
//
// The client treats the network as hostile: every call has a time limit, every
// answer a size limit, redirects are not followed, a list's next page is only
// read where the list itself was read, and no error carries a token.
package rehive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/outbound"
)

const (
	// DefaultBaseURL is the production platform.
	DefaultBaseURL = "https://api.rehive.com/3/"

	// DefaultTimeout bounds one call, from dialling to the last byte. The
	// platform gives an extension ten seconds to answer an activation; two
	// calls that hang must fit into it.
	DefaultTimeout = 4 * time.Second

	maxBodyBytes    = 8 << 20
	maxRequestBytes = 1 << 20
	maxTokenLength  = 1024
)

// Client calls one platform. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	http  doer
	pacer *pacer
}

// doer is an [outbound.Client], or a fake in tests that must not use a network.
type doer interface {
	Do(ctx context.Context, r outbound.Request) (*outbound.Response, error)
	CloseIdleConnections()
}

type config struct {
	timeout   time.Duration
	version   string
	perMinute int
}

// Option changes how a Client works.
type Option func(*config)

// WithTimeout sets the time limit of one call (default DefaultTimeout). A
// list that spans pages makes several calls.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithVersion sets the version named in the User-Agent header.
func WithVersion(version string) Option { return func(c *config) { c.version = version } }

// WithCallsPerMinute sets how many calls with one token the platform accepts in a minute
// (default DefaultCallsPerMinute); see [Session.Paced].
func WithCallsPerMinute(n int) Option { return func(c *config) { c.perMinute = n } }

// New returns a client of the platform at baseURL, such as DefaultBaseURL; the
// trailing slash may be left out. An unusable URL is an error.
func New(baseURL string, opts ...Option) (*Client, error) {
	cfg := config{timeout: DefaultTimeout, version: "dev", perMinute: DefaultCallsPerMinute}
	for _, opt := range opts {
		opt(&cfg)
	}
	base, err := parseBaseURL(baseURL)
	if err != nil {
		return nil, err
	}
	if cfg.timeout <= 0 {
		return nil, fmt.Errorf("the Rehive call timeout must be positive, not %s", cfg.timeout)
	}
	if cfg.perMinute < 1 {
		return nil, fmt.Errorf("the Rehive calls per minute must be at least 1, not %d", cfg.perMinute)
	}
	return &Client{
		base: base,
		http: outbound.New(outbound.Options{
			Timeout:          cfg.timeout,
			ConnectTimeout:   3 * time.Second,
			MaxRequestBytes:  maxRequestBytes,
			MaxResponseBytes: maxBodyBytes,
			MaxConnsPerHost:  128,
			Trusted:          true,
			UserAgent:        "rehive-extension-operator/" + cfg.version,
		}),
		pacer: newPacer(cfg.perMinute),
	}, nil
}

func parseBaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats its input, which may hold a password.
		return nil, errors.New("the Rehive API URL can't be parsed")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the Rehive API URL must start with http:// or https://, not %q", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the Rehive API URL names no host")
	case u.User != nil:
		return nil, errors.New("the Rehive API URL must not hold credentials")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the Rehive API URL must not have a query or a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	u.RawPath = ""
	return u, nil
}

// BaseURL returns the URL that every call's path is appended to.
func (c *Client) BaseURL() string { return c.base.String() }

// CloseIdleConnections gives back the connections that are kept for reuse.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// WithToken returns a session that speaks for the token. It makes no call.
func (c *Client) WithToken(token string) Session { return Session{client: c, token: token} }

// Session makes calls in the name of one token. It is a small value, safe for
// concurrent use. Every error it returns is an *Error.
type Session struct {
	client       *Client
	token        string
	forwardedFor string
	paced        bool
	stranger     bool
}

// WithForwardedFor returns a session whose calls carry the end user's chain of
// addresses as X-Forwarded-For: the platform's access control rules judge it
// when a user's own token is checked. Anything that isn't an IP address is left
// out, so a header a stranger sent can be handed in as it came, split at its
// commas.
func (s Session) WithForwardedFor(addresses ...string) Session {
	var valid []string
	for _, a := range addresses {
		if ip := net.ParseIP(strings.TrimSpace(a)); ip != nil {
			valid = append(valid, ip.String())
		}
	}
	s.forwardedFor = strings.Join(valid, ", ")
	return s
}

// call is one request. Op says in the -ing form what it is for and starts the
// sentence of its error.
type call struct {
	op     string
	method string
	path   []string // unescaped segments below the base URL
	query  url.Values
	url    *url.URL // instead of path and query: the next page of a list
	body   any
	secret string // besides the token: must not appear in an error
}

func (c *Client) endpoint(segments []string, query url.Values) *url.URL {
	u := *c.base
	var path, escaped strings.Builder
	path.WriteString(c.base.Path)
	escaped.WriteString(c.base.EscapedPath())
	for _, s := range segments {
		path.WriteString(s + "/")
		escaped.WriteString(url.PathEscape(s) + "/")
	}
	u.Path, u.RawPath = path.String(), escaped.String()
	u.RawQuery = query.Encode()
	return &u
}

// do makes the call and decodes the envelope's data into out, if out isn't nil.
func (s Session) do(ctx context.Context, in call, out any) (err error) {
	if !usableToken(s.token) {
		return &Error{Op: in.op, Status: http.StatusUnauthorized, Message: "the token is empty or malformed", local: true}
	}
	for _, segment := range in.path {
		if segment == "" || segment == "." || segment == ".." {
			return &Error{Op: in.op, Status: http.StatusNotFound, Message: "the identifier is empty or malformed", local: true}
		}
	}
	key := keyOf(s.token)
	pacer := s.client.pacer
	if wait := pacer.throttledFor(key); wait > 0 {
		return &Error{Op: in.op, Status: http.StatusTooManyRequests, Message: "throttled by an earlier answer", RetryAfter: wait, local: true, heldBack: s.paced}
	}
	switch {
	case s.stranger:
	case s.paced:
		done, refused := pacer.enter(ctx, in.op, key)
		if refused != nil {
			return refused
		}
		defer func() { done(err) }()
	default:
		pacer.charge(key)
	}
	return s.exchange(ctx, in, key, out)
}

// exchange makes a call whose turn has come.
func (s Session) exchange(ctx context.Context, in call, key tokenKey, out any) error {
	request, err := s.request(in)
	if err != nil {
		return &Error{Op: in.op, Message: "the request can't be made", Err: err}
	}
	resp, err := s.client.http.Do(ctx, request)
	if err == nil {
		err = resp.BodyErr
	}
	if err != nil {
		return callError(in.op, resp, err)
	}
	if resp.Status < 200 || resp.Status > 299 {
		e := answerError(in.op, resp, time.Now(), s.token, in.secret)
		if e.Status == http.StatusTooManyRequests {
			s.client.pacer.throttle(key, e.RetryAfter)
		}
		return e
	}
	return decode(in.op, resp.Status, resp.Body, out)
}

func (s Session) request(in call) (outbound.Request, error) {
	target := in.url
	if target == nil {
		target = s.client.endpoint(in.path, in.query)
	}
	header := http.Header{"Authorization": {"Token " + s.token}, "Accept": {"application/json"}}
	if s.forwardedFor != "" {
		header.Set("X-Forwarded-For", s.forwardedFor)
	}
	var body []byte
	if in.body != nil {
		var err error
		if body, err = json.Marshal(in.body); err != nil {
			return outbound.Request{}, err
		}
		header.Set("Content-Type", "application/json")
	}
	return outbound.Request{Method: in.method, URL: target.String(), Header: header, Body: body, Operation: in.op}, nil
}

func decode(op string, status int, body []byte, out any) error {
	var envelope struct {
		Status string          `json:"status"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Status != "success" {
		return garbled(op, status, "the answer is not a Rehive success envelope")
	}
	if out == nil {
		return nil
	}
	if len(envelope.Data) == 0 || bytes.Equal(envelope.Data, []byte("null")) {
		return garbled(op, status, "the answer has no data")
	}
	if err := json.Unmarshal(envelope.Data, out); err != nil {
		return garbled(op, status, "the answer's data has an unexpected form"+fieldOf(err))
	}
	return nil
}

// fieldOf names the field that could not be decoded; the error's own text may
// repeat the value, which can be a customer's.
func fieldOf(err error) string {
	var typeError *json.UnmarshalTypeError
	if errors.As(err, &typeError) && typeError.Field != "" {
		return " (" + sanitize(typeError.Field, 64) + ")"
	}
	return ""
}

// usableToken reports whether the token is valid in a header.
func usableToken(token string) bool {
	if token == "" || len(token) > maxTokenLength {
		return false
	}
	for i := 0; i < len(token); i++ {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return false
		}
	}
	return true
}
