// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package outbound is the operator's HTTP client: for the Rehive platform, whose address
// its own flags name, and for the APIs of delivery providers, whose addresses admins
// choose. A person who may write a DeliveryProvider must not reach the cluster's own network
// through the operator, and a server that misbehaves must cost no more than a bounded time
// and memory.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/tracing"
)

// The defaults of [Options].
const (
	DefaultTimeout          = 15 * time.Second
	DefaultConnectTimeout   = 5 * time.Second
	DefaultMaxRequestBytes  = 4 << 20
	DefaultMaxResponseBytes = 1 << 20
	DefaultMaxConnsPerHost  = 32
)

// Options change what a [Client] allows. Zero fields have defaults.
type Options struct {
	// Timeout bounds one call, from the dial to the last byte of the answer.
	Timeout time.Duration
	// ConnectTimeout bounds the dial, and the TLS handshake after it.
	ConnectTimeout time.Duration
	// MaxRequestBytes bounds the body of a request.
	MaxRequestBytes int64
	// MaxResponseBytes bounds how much of an answer's body is read.
	MaxResponseBytes int64
	// MaxConnsPerHost bounds the connections to one host.
	MaxConnsPerHost int
	// AllowNetworks are special-purpose networks (loopback, private, link-local
	// and so on) that may be dialled all the same, for a sink or a relay inside
	// the cluster.
	AllowNetworks []netip.Prefix
	// AllowPlaintext lets base URLs begin with http://. Credentials then cross the
	// network in the clear: it is for sinks.
	AllowPlaintext bool
	// Trusted is for URLs that come from the operator's own flags. Every address may be
	// dialled, URLs may begin with http://, and calls go through the proxy that the
	// environment names.
	Trusted bool
	// RootCAs verify servers; the system's if nil.
	RootCAs *x509.CertPool
	// UserAgent names the operator; "rehive-extension-operator" if empty.
	UserAgent string
}

// Client makes calls that are bounded in time and size. It never follows redirects and
// speaks TLS 1.2 or later. Unless its URLs are trusted, it uses no proxy and dials no
// special-purpose address. It checks the address that it dials, so that a name which
// resolves to another address the second time can't evade the check. It reuses connections
// and is safe for concurrent use.
type Client struct {
	options   Options
	transport *http.Transport
	http      *http.Client
}

// New returns a client.
func New(o Options) *Client {
	setDefault(&o.Timeout, DefaultTimeout)
	setDefault(&o.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&o.MaxRequestBytes, DefaultMaxRequestBytes)
	setDefault(&o.MaxResponseBytes, DefaultMaxResponseBytes)
	setDefault(&o.MaxConnsPerHost, DefaultMaxConnsPerHost)
	if o.UserAgent == "" {
		o.UserAgent = "rehive-extension-operator"
	}
	o.AllowNetworks = slices.Clone(o.AllowNetworks)

	dialer := &net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}
	// Through a proxy, the proxy's address would be checked instead of the server's.
	var proxy func(*http.Request) (*url.URL, error)
	if o.Trusted {
		o.AllowPlaintext, proxy = true, http.ProxyFromEnvironment
	} else {
		dialer.ControlContext = guard(o.AllowNetworks)
	}
	transport := &http.Transport{
		Proxy:                  proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    o.ConnectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           4 * o.MaxConnsPerHost,
		MaxIdleConnsPerHost:    o.MaxConnsPerHost,
		MaxConnsPerHost:        o.MaxConnsPerHost,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &Client{options: o, transport: transport, http: &http.Client{
		Transport: transport,
		// A redirect would carry a message, and perhaps credentials, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// BaseURL checks the base of an API's URLs, which may have a path, and returns it
// without a slash at its end. The error is a sentence about raw that doesn't
// repeat it, because a mistyped URL may hold a password.
func (c *Client) BaseURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", errors.New("the base URL can't be parsed")
	case u.Scheme == "http" && !c.options.AllowPlaintext:
		return "", errors.New("the base URL must begin with https://, because credentials are sent to it")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("the base URL must begin with https://")
	case u.Hostname() == "":
		return "", errors.New("the base URL names no host")
	case u.User != nil:
		return "", errors.New("the base URL must not hold credentials")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the base URL must not have a query or a fragment")
	}
	// A literal address can be checked now; what a name resolves to, only when it is dialled.
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !c.options.Trusted {
		if err := checkAddress(ip, c.options.AllowNetworks); err != nil {
			return "", err
		}
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// Request is one call.
type Request struct {
	Method, URL string
	Header      http.Header
	// Operation says in traces what the call is for; it must be a constant. It may be empty.
	Operation string
	Body      []byte
}

// Response is an answer whose status line arrived.
type Response struct {
	Status int
	Header http.Header
	// Body is what arrived of the body, up to the limit.
	Body []byte
	// BodyErr is why Body isn't whole. The status counts all the same: a provider
	// that answered 201 has taken the message even if the rest of the answer is lost.
	BodyErr error
}

// Do makes one call. Every error is an [*Error].
func (c *Client) Do(ctx context.Context, in Request) (*Response, error) {
	span := startSpan(ctx, &in)
	defer span.End()
	resp, err := c.do(ctx, in)
	var e *Error
	switch {
	case errors.As(err, &e):
		span.Fail(e.Kind.String())
	case err == nil:
		span.Answered(resp.Status)
	}
	return resp, err
}

// startSpan starts the span of a call, if the context is in one. Of the URL, which may hold
// identifiers and secrets, only the host is recorded.
func startSpan(ctx context.Context, in *Request) tracing.Span {
	if !tracing.Current(ctx).Recorded() {
		return tracing.Span{}
	}
	host := ""
	if u, err := url.Parse(in.URL); err == nil {
		host = u.Hostname()
	}
	_, span := tracing.Call(ctx, in.Method, host, in.Operation)
	return span
}

func (c *Client) do(ctx context.Context, in Request) (*Response, error) {
	if int64(len(in.Body)) > c.options.MaxRequestBytes {
		return nil, &Error{Kind: RequestTooLarge, message: fmt.Sprintf("the request is larger than %d bytes", c.options.MaxRequestBytes)}
	}
	callCtx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	callCtx, sent := traceSent(callCtx)

	req, err := http.NewRequestWithContext(callCtx, in.Method, in.URL, bytes.NewReader(in.Body))
	if err != nil {
		return nil, &Error{Kind: InvalidRequest, message: "the request can't be made: its URL or method is invalid"}
	}
	for name, values := range in.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.options.UserAgent)

	resp, err := c.http.Do(req)
	if err != nil {
		return nil, newError(ctx, err, sent.Load())
	}
	defer resp.Body.Close()
	out := &Response{Status: resp.StatusCode, Header: resp.Header}
	out.Body, err = io.ReadAll(io.LimitReader(resp.Body, c.options.MaxResponseBytes+1))
	switch {
	case err != nil:
		out.BodyErr = newError(ctx, err, true)
	case int64(len(out.Body)) > c.options.MaxResponseBytes:
		out.Body = out.Body[:c.options.MaxResponseBytes]
		out.BodyErr = &Error{Kind: ResponseTooLarge, Sent: true,
			message: fmt.Sprintf("the answer is larger than %d bytes", c.options.MaxResponseBytes)}
	}
	return out, nil
}

// CloseIdleConnections closes the connections that are kept for reuse.
func (c *Client) CloseIdleConnections() { c.transport.CloseIdleConnections() }
