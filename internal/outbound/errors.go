// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
)

// Kind is what went wrong with a call.
type Kind int

// The kinds of failures.
const (
	// Failed is a failure of no other kind.
	Failed Kind = iota
	// Canceled means that the caller's context was cancelled.
	Canceled
	// TimedOut means that the call's time was up.
	TimedOut
	// NotFound means that the host's name doesn't resolve.
	NotFound
	// AddressRefused means that the host's address may not be dialled.
	AddressRefused
	// ConnectionRefused means that nothing listens there.
	ConnectionRefused
	// ConnectionLost means that the connection broke.
	ConnectionLost
	// Untrusted means that the TLS handshake failed: certificate, name or version.
	Untrusted
	// InvalidRequest means that no request can be made of the input.
	InvalidRequest
	// RequestTooLarge and ResponseTooLarge mean that a limit was reached.
	RequestTooLarge
	ResponseTooLarge
)

// String returns the name of the kind, for traces.
func (k Kind) String() string {
	names := [...]string{
		"Failed", "Canceled", "TimedOut", "NotFound", "AddressRefused", "ConnectionRefused", "ConnectionLost", "Untrusted",
		"InvalidRequest", "RequestTooLarge", "ResponseTooLarge",
	}
	if k < 0 || int(k) >= len(names) {
		return names[Failed]
	}
	return names[k]
}

// Error is why a call has no answer. Its text is the end of a sentence; it holds
// no URL and nothing of the request, and no address but one that isn't allowed.
type Error struct {
	Kind Kind
	// Sent says that the request may have reached the server, so that what it asked
	// for may have been done.
	Sent bool

	message string
	cause   error
}

// Error returns the text.
func (e *Error) Error() string { return e.message }

// Unwrap returns the cause if it is the context's, and nil otherwise: the others'
// texts hold addresses and URLs.
func (e *Error) Unwrap() error { return e.cause }

func newError(ctx context.Context, err error, sent bool) *Error {
	var (
		timeout     interface{ Timeout() bool }
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		record      tls.RecordHeaderError
		operation   *net.OpError
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Kind: Canceled, Sent: sent, message: "the call was cancelled", cause: context.Canceled}
	case IsAddressRefused(err):
		return &Error{Kind: AddressRefused, message: AddressRefusal(err)}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &Error{Kind: NotFound, message: "the host's name can't be resolved"}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: TimedOut, Sent: sent, message: "there was no answer in time", cause: context.DeadlineExceeded}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Kind: ConnectionRefused, message: "the connection was refused"}
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &hostname),
		errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch),
		// crypto/tls names alerts so; their type isn't exported.
		errors.As(err, &operation) && (operation.Op == "remote error" || operation.Op == "local error"):
		return &Error{Kind: Untrusted, message: "the TLS handshake failed: the certificate isn't trusted or the server doesn't speak TLS"}
	case sent:
		return &Error{Kind: ConnectionLost, Sent: true, message: "the connection broke before the answer"}
	default:
		return &Error{Kind: Failed, message: "no connection could be made"}
	}
}

// traceSent reports whether the request may have been written, that is, whether it got a
// connection.
func traceSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	}), sent
}
