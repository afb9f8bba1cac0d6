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
	"syscall"
	"time"

	"github.com/wneessen/go-mail/smtp"

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
	// ConnectTimeout bounds dial, greeting, TLS and login together; 10 s if 0.
	ConnectTimeout time.Duration
	// CommandTimeout bounds each command with its answer; 20 s if 0.
	CommandTimeout time.Duration
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
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.CommandTimeout, 20*time.Second)
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

// Send implements [Provider]. The receipt's ID is the Message-ID, which depends
// on the message's Key and its sender's domain only.
func (s *SMTP) Send(ctx context.Context, m Message) (Receipt, error) {
	mail, err := s.compose(m)
	if err != nil {
		return Receipt{}, err
	}
	for {
		c, reused, err := s.pool.get(ctx)
		if err != nil {
			return Receipt{}, err
		}
		err = c.send(ctx, mail)
		s.pool.put(c)
		// A server may close a connection that was idle. Nothing of the message
		// was accepted then, so another connection may be tried at once.
		var stage *smtpError
		if reused && errors.As(err, &stage) && stage.stage == stageMail && stage.hungUp() {
			continue
		}
		if err != nil {
			return Receipt{}, s.classify(err)
		}
		return Receipt{ID: mail.id}, nil
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

// connect dials, encrypts and logs in.
func (s *SMTP) connect(ctx context.Context) (*smtpConn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	dialer := net.Dialer{ControlContext: s.config.Control}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port)))
	if err != nil {
		return nil, s.classify(&smtpError{stage: stageConnect, err: err})
	}
	c := &smtpConn{conn: &boundedConn{Conn: raw, timeout: s.config.CommandTimeout}}
	c.conn.begin(ctx)
	// Whatever the server does, the connection ends with the context.
	stop := context.AfterFunc(ctx, c.conn.abort)
	defer stop()
	if err := s.greet(ctx, c); err != nil {
		c.conn.abort()
		_ = raw.Close()
		if ctx.Err() != nil {
			err = &smtpError{stage: stageConnect, err: context.DeadlineExceeded}
		}
		return nil, s.classify(err)
	}
	return c, nil
}

// greet speaks the conversation before the first message.
func (s *SMTP) greet(ctx context.Context, c *smtpConn) error {
	config := &tls.Config{ServerName: s.config.ServerName, RootCAs: s.config.RootCAs, MinVersion: tls.VersionTLS12}
	var conn net.Conn = c.conn
	if s.config.TLS == SMTPImplicitTLS {
		t := tls.Client(c.conn, config)
		if err := t.HandshakeContext(ctx); err != nil {
			return &smtpError{stage: stageTLS, err: err}
		}
		conn = t
	}
	var err error
	// The client takes the host for what authentication mechanisms are told.
	if c.client, err = smtp.NewClient(conn, s.config.Host); err != nil {
		return &smtpError{stage: stageConnect, err: err}
	}
	if err := c.client.Hello(s.config.HELO); err != nil {
		return &smtpError{stage: stageConnect, err: err}
	}
	if s.config.TLS == SMTPStartTLS || s.config.TLS == SMTPStartTLSOptional {
		offered, _ := c.client.Extension("STARTTLS")
		switch {
		case offered:
			if err := c.client.StartTLS(config); err != nil {
				return &smtpError{stage: stageTLS, err: err}
			}
		case s.config.TLS == SMTPStartTLS:
			return &smtpError{stage: stageTLS, err: errNoSTARTTLS}
		}
	}
	if s.config.Username != "" {
		auth := &smtpAuth{username: s.config.Username, password: s.config.Password, plaintext: s.config.AllowPlaintextAuth || c.conn.loopback()}
		if offered, _ := c.client.Extension("AUTH"); !offered {
			return &smtpError{stage: stageAuth, err: errNoAuth}
		}
		if err := c.client.Auth(auth); err != nil {
			return &smtpError{stage: stageAuth, err: err}
		}
	}
	return nil
}
