// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/x509"
	"time"
)

// SMTPTLS says how the connection to an SMTP server is encrypted.
type SMTPTLS string

// The ways to encrypt.
const (
	// SMTPStartTLS refuses a server that offers no STARTTLS.
	SMTPStartTLS SMTPTLS = "starttls"
	// SMTPStartTLSOptional uses STARTTLS where it is offered.
	SMTPStartTLSOptional SMTPTLS = "starttls-optional"
	// SMTPImplicitTLS speaks TLS from the first byte (port 465).
	SMTPImplicitTLS SMTPTLS = "tls"
	// SMTPPlaintext never encrypts.
	SMTPPlaintext SMTPTLS = "none"
)

// SMTPConfig is how to reach an SMTP server. Zero fields have defaults.
type SMTPConfig struct {
	Host string
	// Port is 587 if 0, or 465 with SMTPImplicitTLS.
	Port int
	// TLS is SMTPStartTLS if empty.
	TLS SMTPTLS
	// RootCAs verify the server; the system's if nil.
	RootCAs *x509.CertPool
	// ServerName is what the certificate must name; Host if empty.
	ServerName string
	// Username and Password log in if the username isn't empty. They are never
	// sent over plaintext, but to loopback or where AllowPlaintextAuth is set.
	Username, Password string
	AllowPlaintextAuth bool
	// From is the sender of messages that name none.
	From string
	// HELO is how the operator names itself; the host's name if empty.
	HELO string
	// ConnectTimeout bounds dial, greeting, TLS and login; 10 s if 0.
	ConnectTimeout time.Duration
	// CommandTimeout bounds each command and its answer; 20 s if 0.
	CommandTimeout time.Duration
	// MaxConnections is how many connections are open at once; 8 if 0.
	MaxConnections int
	// IdleTimeout closes a connection unused for so long; 30 s if 0.
	IdleTimeout time.Duration
}

// SMTP sends e-mail through one server, reusing connections.
type SMTP struct{ config SMTPConfig }

// NewSMTP checks the configuration. It does not connect.
func NewSMTP(c SMTPConfig) (*SMTP, error) { return &SMTP{config: c}, nil }

// Send implements [Provider].
func (s *SMTP) Send(ctx context.Context, m Message) (Receipt, error) {
	return Receipt{}, Transient("Unavailable", "not implemented yet", 0)
}

// Close closes idle connections. Messages in flight finish.
func (s *SMTP) Close() error { return nil }
