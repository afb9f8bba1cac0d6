// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
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
	// From is the sender of messages that name none: an address, with or without a
	// name.
	From string
	// HELO is how the operator names itself; the host's name if empty.
	HELO string
	// ConnectTimeout bounds all steps until the connection is ready for a message; four
	// times CommandTimeout if 0.
	ConnectTimeout time.Duration
	// CommandTimeout bounds each step: the dial, the greeting, the TLS handshake, each
	// command with its reply, each block of the text; 20 s if 0.
	CommandTimeout time.Duration
	// FinalTimeout bounds the wait for the reply to the whole text, where giving up
	// may send the mail twice; 10 min if 0, as RFC 5321, 4.5.3.2.6 asks for.
	FinalTimeout time.Duration
	// MaxConnections is how many connections are open at once; 8 if 0.
	MaxConnections int
	// IdleTimeout closes a connection unused for so long; 30 s if 0.
	IdleTimeout time.Duration
	// Control, if not nil, may refuse an address before it is dialled, as
	// outbound.Guard does.
	Control func(ctx context.Context, network, address string, c syscall.RawConn) error
}

// SMTP sends e-mail through one server, reusing connections.
type SMTP struct {
	config SMTPConfig
	from   address.Address
	pool   *smtpPool

	mechanism atomic.Value // string: of the last login that succeeded
	scramKeys scramCache
}

// NewSMTP checks the configuration. It does not connect. The caller closes it.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	if c.Host == "" {
		return nil, errors.New("the SMTP server needs a host")
	}
	if c.TLS == "" {
		c.TLS = SMTPStartTLS
	}
	switch c.TLS {
	case SMTPStartTLS, SMTPStartTLSOptional, SMTPImplicitTLS, SMTPPlaintext:
	default:
		return nil, fmt.Errorf("the SMTP server's TLS must be starttls, starttls-optional, tls or none, not %q", c.TLS)
	}
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == SMTPImplicitTLS {
			c.Port = 465
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		return nil, fmt.Errorf("the SMTP server's port must be between 1 and 65535, not %d", c.Port)
	}
	if c.Username == "" && c.Password != "" {
		return nil, errors.New("the SMTP server has a password without a username")
	}
	s := &SMTP{}
	if c.From != "" {
		var err error
		if s.from, err = address.Parse(c.From); err != nil {
			return nil, fmt.Errorf("the SMTP server's default sender: %w", err)
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
	setDefault(&c.CommandTimeout, 20*time.Second)
	setDefault(&c.ConnectTimeout, 4*c.CommandTimeout)
	setDefault(&c.FinalTimeout, 10*time.Minute)
	setDefault(&c.MaxConnections, 8)
	setDefault(&c.IdleTimeout, 30*time.Second)
	s.config = c
	s.pool = newSMTPPool(c.MaxConnections, c.IdleTimeout, s.connect)
	return s, nil
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// Close closes idle connections; those in use close when their message is sent.
func (s *SMTP) Close() error {
	s.pool.close()
	return nil
}

// Patience implements [Patient]: it is the wait for the reply to the whole text.
func (s *SMTP) Patience() time.Duration { return s.config.FinalTimeout }

// Send implements [Provider]. The receipt's ID is the Message-ID, which depends
// on the message's Key and its sender's domain only.
func (s *SMTP) Send(ctx context.Context, m Message) (Receipt, error) {
	mail, err := s.compose(m)
	if err != nil {
		return Receipt{}, err
	}
	for fresh := false; ; fresh = true {
		c, reused, err := s.pool.get(ctx, fresh)
		if err != nil {
			return Receipt{}, err
		}
		err = c.send(ctx, mail)
		s.pool.put(c)
		var e *smtpError
		switch {
		case err == nil:
			return Receipt{ID: mail.id}, nil
		case reused && errors.As(err, &e) && e.aboutConnection() && ctx.Err() == nil:
			// Nothing of the mail was accepted.
		default:
			return Receipt{}, s.classify(err, m.OwnSender)
		}
	}
}

// Check connects, encrypts and logs in. A connection that was kept for the next
// message proves nothing new, so it is always another one.
func (s *SMTP) Check(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	c.quit()
	return nil
}

// connect returns a connection that is ready for messages.
func (s *SMTP) connect(ctx context.Context) (*smtpConn, error) {
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
		if e := new(smtpError); len(refused) > before && errors.As(err, &e) && e.stage == stageAuth && e.reply() == nil && hungUp(err) {
			continue
		}
		return nil, s.classify(err, false)
	}
}

// dial connects, encrypts and logs in.
func (s *SMTP) dial(ctx context.Context, refused *[]string) (*smtpConn, error) {
	dialer := net.Dialer{Timeout: s.config.CommandTimeout, ControlContext: s.config.Control}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port)))
	if err != nil {
		return nil, &smtpError{stage: stageConnect, err: err}
	}
	c := newSMTPConn(raw, s.config.CommandTimeout, s.config.FinalTimeout)
	stop := c.begin(ctx)
	stage, err := s.greet(ctx, c, refused)
	if alive := stop(); err == nil && !alive {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, &smtpError{stage: stage, err: err}
	}
	return c, nil
}

// greet speaks the conversation before the first message and returns how far it got.
func (s *SMTP) greet(ctx context.Context, c *smtpConn, refused *[]string) (smtpStage, error) {
	config := &tls.Config{ServerName: s.config.ServerName, RootCAs: s.config.RootCAs, MinVersion: tls.VersionTLS12}
	if s.config.TLS == SMTPImplicitTLS {
		if err := c.handshake(ctx, config); err != nil {
			return stageTLS, err
		}
	}
	if _, err := c.expect(c.command, 2); err != nil {
		return stageConnect, err
	}
	if err := c.hello(s.config.HELO); err != nil {
		return stageConnect, err
	}
	if s.config.TLS == SMTPStartTLS || s.config.TLS == SMTPStartTLSOptional {
		switch {
		case c.offers("STARTTLS"):
			if err := c.startTLS(ctx, config); err != nil {
				return stageTLS, err
			}
			// What was said unencrypted counts for nothing (RFC 3207, 4.2).
			if err := c.hello(s.config.HELO); err != nil {
				return stageConnect, err
			}
		case s.config.TLS == SMTPStartTLS:
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
