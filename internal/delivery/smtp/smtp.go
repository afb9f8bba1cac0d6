// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package smtp sends email through an SMTP server.
package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// TLSMode says how the connection to an SMTP server is encrypted.
type TLSMode string

// The ways to encrypt.
const (
	// StartTLS refuses a server that offers no STARTTLS.
	StartTLS TLSMode = "starttls"
	// StartTLSOptional uses STARTTLS where it is offered.
	StartTLSOptional TLSMode = "starttls-optional"
	// ImplicitTLS speaks TLS from the first byte (port 465).
	ImplicitTLS TLSMode = "tls"
	// Plaintext never encrypts.
	Plaintext TLSMode = "none"
)

// Config is how to reach an SMTP server. Zero fields have defaults.
type Config struct {
	Host string
	// Port is 587 if 0, or 465 with ImplicitTLS.
	Port int
	// TLS is StartTLS if empty.
	TLS TLSMode
	// RootCAs verify the server; the system's if nil.
	RootCAs *x509.CertPool
	// ServerName is what the certificate must name; Host if empty.
	ServerName string
	// Username and Password log in if the username isn't empty. They are never
	// sent over plaintext, but to loopback or where AllowPlaintextAuth is set.
	Username, Password string
	AllowPlaintextAuth bool
	// From is the sender of messages that name none: an address, with or without a
	// name.
	From string
	// HELO is how the operator names itself; the host's name if empty.
	HELO string
	// ConnectTimeout bounds all steps until the connection is ready for a message;
	// GreetingTimeout and four times CommandTimeout if 0.
	ConnectTimeout time.Duration
	// CommandTimeout bounds each step that a server takes without asking anybody else: the
	// dial, the TLS handshake, EHLO, each message of a login; 20 s if 0. On a connection
	// that was used before it bounds MAIL too, because such a connection may be dead.
	CommandTimeout time.Duration
	// The other steps may take as long as RFC 5321, 4.5.3.2, asks for: servers look up
	// names, ask other servers whether a recipient exists, and scan the text.
	//
	// GreetingTimeout bounds the wait for the greeting; 5 min if 0.
	GreetingTimeout time.Duration
	// EnvelopeTimeout bounds the wait for the reply to MAIL and to RCPT, each; 5 min if 0.
	EnvelopeTimeout time.Duration
	// DataTimeout bounds the wait for the reply to DATA; 2 min if 0.
	DataTimeout time.Duration
	// BlockTimeout bounds the sending of each block of the text; 3 min if 0.
	BlockTimeout time.Duration
	// FinalTimeout bounds the wait for the reply to the whole text, where giving up
	// may send the mail twice; 10 min if 0.
	FinalTimeout time.Duration
	// MaxConnections is how many connections are open at once; 8 if 0.
	MaxConnections int
	// IdleTimeout closes a connection unused for so long; 30 s if 0.
	IdleTimeout time.Duration
	// Control, if not nil, may refuse an address before it is dialled, as
	// outbound.Guard does.
	Control func(ctx context.Context, network, address string, c syscall.RawConn) error
}

// Provider sends email through one SMTP server. It reuses connections.
type Provider struct {
	config Config
	from   address.Address
	pool   *pool

	mechanism atomic.Value // string: of the last login that succeeded
	plain     atomic.Bool  // whether the server refused parameters of MAIL that it offers
	scramKeys scramCache
}

// New checks the configuration. It does not connect. The caller closes it.
func New(c Config) (*Provider, error) {
	if c.Host == "" {
		return nil, errors.New("the SMTP server needs a host")
	}
	if c.TLS == "" {
		c.TLS = StartTLS
	}
	switch c.TLS {
	case StartTLS, StartTLSOptional, ImplicitTLS, Plaintext:
	default:
		return nil, fmt.Errorf("the SMTP server's TLS must be starttls, starttls-optional, tls or none, not %q", c.TLS)
	}
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == ImplicitTLS {
			c.Port = 465
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		return nil, fmt.Errorf("the SMTP server's port must be between 1 and 65535, not %d", c.Port)
	}
	if c.Username == "" && c.Password != "" {
		return nil, errors.New("the SMTP server has a password without a username")
	}
	s := &Provider{}
	if c.From != "" {
		var err error
		if s.from, err = address.Parse(c.From); err != nil {
			return nil, fmt.Errorf("the SMTP server's default sender (spec.sender, or --email-from) %w: write it like Shop <no-reply@shop.example>", err)
		}
	}
	if c.ServerName == "" {
		c.ServerName = c.Host
	}
	if c.HELO == "" {
		c.HELO = "localhost"
		if name, err := os.Hostname(); err == nil && name != "" {
			c.HELO = name
		}
	}
	if strings.ContainsFunc(c.HELO, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the SMTP client's name must be a host name")
	}
	c.CommandTimeout = cmp.Or(c.CommandTimeout, 20*time.Second)
	c.GreetingTimeout = cmp.Or(c.GreetingTimeout, 5*time.Minute)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, c.GreetingTimeout+4*c.CommandTimeout)
	c.EnvelopeTimeout = cmp.Or(c.EnvelopeTimeout, 5*time.Minute)
	c.DataTimeout = cmp.Or(c.DataTimeout, 2*time.Minute)
	c.BlockTimeout = cmp.Or(c.BlockTimeout, 3*time.Minute)
	c.FinalTimeout = cmp.Or(c.FinalTimeout, 10*time.Minute)
	c.MaxConnections = cmp.Or(c.MaxConnections, 8)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	s.config = c
	s.pool = newPool(c.MaxConnections, c.IdleTimeout, s.connect)
	return s, nil
}

// Close closes idle connections; those in use close when their message is sent.
func (s *Provider) Close() error {
	s.pool.close()
	return nil
}

// Patience implements [provider.Patient]: it is the time of all steps but the blocks of the
// text.
func (s *Provider) Patience() time.Duration {
	c := &s.config
	return c.ConnectTimeout + 2*c.EnvelopeTimeout + c.DataTimeout + c.FinalTimeout
}

// Send implements [provider.Provider]. The receipt's ID is the Message-ID, which depends
// on the message's Key and its sender's domain only.
func (s *Provider) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	mail, err := s.compose(m)
	if err != nil {
		return provider.Receipt{}, err
	}
	for fresh := false; ; fresh = true {
		c, reused, err := s.pool.get(ctx, fresh)
		if err != nil {
			return provider.Receipt{}, err
		}
		plain := s.plain.Load()
		c.reused, c.plain = reused, plain
		err = c.send(ctx, mail)
		retryPlain := !plain && err != nil && (c.offers("SIZE") || c.offers("8BITMIME"))
		s.pool.put(c) // another message may use it from now on
		var e *stageError
		switch {
		case err == nil:
			return provider.Receipt{ID: mail.id}, nil
		case reused && errors.As(err, &e) && e.aboutConnection() && ctx.Err() == nil:
			// Nothing of the mail was accepted.
		case retryPlain && errors.As(err, &e) && e.aboutParameters() && ctx.Err() == nil:
			s.plain.Store(true)
		default:
			return provider.Receipt{}, s.classify(err, m.OwnSender)
		}
	}
}

// Check connects, encrypts and logs in. A connection that was kept for the next
// message proves nothing new, so it is always another one.
func (s *Provider) Check(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	c.quit()
	return nil
}

// connect returns a connection that is ready for messages.
func (s *Provider) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	var refused []string // mechanisms
	for {
		before := len(refused)
		c, err := s.dial(ctx, &refused)
		if err == nil {
			return c, nil
		}
		// Some servers hang up on a refused login, and yet know another mechanism.
		if e := new(stageError); len(refused) > before && errors.As(err, &e) && e.stage == stageAuth && e.hungUp() {
			continue
		}
		return nil, s.classify(err, false)
	}
}

// dial connects, encrypts and logs in.
func (s *Provider) dial(ctx context.Context, refused *[]string) (*conn, error) {
	dialer := net.Dialer{Timeout: s.config.CommandTimeout, ControlContext: s.config.Control}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port)))
	if err != nil {
		return nil, &stageError{stage: stageConnect, err: err}
	}
	c := newConn(raw, &s.config)
	stop := c.begin(ctx)
	stage, err := s.greet(ctx, c, refused)
	if alive := stop(); err == nil && !alive {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, &stageError{stage: stage, err: err}
	}
	return c, nil
}

// greet speaks the conversation before the first message and returns how far it got.
func (s *Provider) greet(ctx context.Context, c *conn, refused *[]string) (stage, error) {
	config := &tls.Config{ServerName: s.config.ServerName, RootCAs: s.config.RootCAs, MinVersion: tls.VersionTLS12}
	if s.config.TLS == ImplicitTLS {
		if err := c.handshake(ctx, config); err != nil {
			return stageTLS, err
		}
	}
	if _, err := c.expect(c.GreetingTimeout, 2); err != nil {
		return stageConnect, err
	}
	if err := c.hello(s.config.HELO); err != nil {
		return stageConnect, err
	}
	if s.config.TLS == StartTLS || s.config.TLS == StartTLSOptional {
		switch {
		case c.offers("STARTTLS"):
			if err := c.startTLS(ctx, config); err != nil {
				return stageTLS, err
			}
			// Unencrypted replies must be discarded (RFC 3207, 4.2).
			if err := c.hello(s.config.HELO); err != nil {
				return stageConnect, err
			}
		case s.config.TLS == StartTLS:
			return stageTLS, errNoSTARTTLS
		}
	}
	if s.config.Username != "" {
		if err := s.login(ctx, c, refused); err != nil {
			return stageAuth, err
		}
	}
	return stageConnect, nil
}
