// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package smtptest is an SMTP server that stores the mail it receives, for tests, the demo
// and the benchmarks. It speaks the real protocol, can be set to refuse, stall or hang up at
// any step, and serves the mail over HTTP.
package smtptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// TLS says how the server encrypts.
type TLS int

// The ways to encrypt.
const (
	// Plaintext offers no STARTTLS.
	Plaintext TLS = iota
	// StartTLS offers STARTTLS.
	StartTLS
	// ImplicitTLS speaks TLS from the first byte.
	ImplicitTLS
)

// Options are of a [Server]. Zero fields have defaults.
type Options struct {
	// Address to listen on; a free loopback port if empty.
	Address string
	TLS     TLS
	// Username and Password are asked for if the username isn't empty, also over
	// plaintext.
	Username, Password string
	// Mechanisms are the SASL mechanisms offered, of PLAIN and LOGIN; both if nil.
	Mechanisms []string
	// SMTPUTF8 offers the extension.
	SMTPUTF8 bool
	// Keep is how many messages are kept, the newest; 10,000 if 0. All are counted.
	Keep int
}

// Stage is a step of the conversation that [Server.Respond] can change.
type Stage string

// The stages.
const (
	StageConnect Stage = "connect" // after EHLO
	StageAuth    Stage = "auth"
	StageMail    Stage = "mail"
	StageRcpt    Stage = "rcpt"
	StageData    Stage = "data" // the message was read
)

// Reply is what happens at a stage instead of acceptance.
type Reply struct {
	// Code and Text answer, such as 450 and "4.2.0 busy".
	Code int
	Text string
	// Drop closes the connection without an answer. After StageData with Keep the
	// message was accepted all the same.
	Drop, Keep bool
	// Hang answers nothing until the client closes the connection or the server is closed.
	Hang bool
}

// Server is a running SMTP server.
type Server struct {
	options  Options
	smtp     *smtp.Server
	listener net.Listener
	ca       *authority
	served   chan struct{}
	closed   chan struct{}
	once     sync.Once

	respond     atomic.Pointer[func(Stage, string) *Reply]
	count       atomic.Int64
	connections atomic.Int64

	mu       sync.Mutex
	messages []*Message
	changed  chan struct{} // closed and replaced when a message comes
}

// Start starts a server. The caller closes it.
func Start(o Options) (*Server, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Keep == 0 {
		o.Keep = 10_000
	}
	if o.Mechanisms == nil {
		o.Mechanisms = []string{sasl.Plain, sasl.Login}
	}
	s := &Server{options: o, served: make(chan struct{}), closed: make(chan struct{}), changed: make(chan struct{})}
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.Domain = "localhost"
	s.smtp.AllowInsecureAuth = true
	s.smtp.EnableSMTPUTF8 = o.SMTPUTF8
	s.smtp.MaxMessageBytes = 32 << 20
	s.smtp.ReadTimeout = time.Minute
	s.smtp.WriteTimeout = time.Minute
	s.smtp.ErrorLog = log.New(io.Discard, "", 0)
	var err error
	if o.TLS != Plaintext {
		if s.ca, err = newAuthority(); err != nil {
			return nil, err
		}
		s.smtp.TLSConfig = &tls.Config{Certificates: []tls.Certificate{s.ca.certificate}, MinVersion: tls.VersionTLS12}
	}
	listen := net.ListenConfig{}
	s.listener, err = listen.Listen(context.Background(), "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listening for SMTP: %w", err)
	}
	l := s.listener
	if o.TLS == ImplicitTLS {
		l = tls.NewListener(l, s.smtp.TLSConfig)
	}
	go func() {
		defer close(s.served)
		_ = s.smtp.Serve(l)
	}()
	return s, nil
}

// Close closes all connections and stops the server.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		err = s.listener.Close()
		<-s.served
		// Closes the connections; its listener is closed already.
		if e := s.smtp.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	})
	return err
}

// Address is host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Host and Port are the parts of the address.
func (s *Server) Host() string { return s.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is the port listened on.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// RootCAs verify the server's certificate, which names localhost, 127.0.0.1 and
// ::1. Nil without TLS.
func (s *Server) RootCAs() *x509.CertPool {
	if s.ca == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.root)
	return pool
}

// RootPEM is the certificate of RootCAs.
func (s *Server) RootPEM() []byte {
	if s.ca == nil {
		return nil
	}
	return s.ca.pem
}

// Respond has f decide at every stage, with the address that the stage names or
// the empty string; nil accepts. It is called from many goroutines. A nil f
// accepts everything again.
func (s *Server) Respond(f func(stage Stage, address string) *Reply) {
	if f == nil {
		s.respond.Store(nil)
		return
	}
	s.respond.Store(&f)
}

// Count is how many messages were accepted since the start.
func (s *Server) Count() int { return int(s.count.Load()) }

// Connections is how many connections greeted the server since the start.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Messages returns the kept messages, the oldest first.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Message(nil), s.messages...)
}

// Wait waits until n messages were accepted since the start and returns those
// that are kept.
func (s *Server) Wait(ctx context.Context, n int) ([]*Message, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if s.Count() >= n {
			return s.Messages(), nil
		}
		select {
		case <-changed:
		case <-s.closed:
			return nil, errors.New("the SMTP server was closed")
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d messages came: %w", s.Count(), n, ctx.Err())
		}
	}
}

// WaitFor waits for a message that match accepts, also among those that are here.
func (s *Server) WaitFor(ctx context.Context, match func(*Message) bool) (*Message, error) {
	seen := 0
	for {
		s.mu.Lock()
		changed, messages := s.changed, append([]*Message(nil), s.messages...)
		s.mu.Unlock()
		for _, m := range messages {
			if m.Number > seen {
				seen = m.Number
				if match(m) {
					return m, nil
				}
			}
		}
		select {
		case <-changed:
		case <-s.closed:
			return nil, errors.New("the SMTP server was closed")
		case <-ctx.Done():
			return nil, fmt.Errorf("no such message among %d: %w", seen, ctx.Err())
		}
	}
}

func (s *Server) add(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Number = int(s.count.Add(1))
	if len(s.messages) >= 2*s.options.Keep {
		s.messages = append([]*Message(nil), s.messages[len(s.messages)-s.options.Keep:]...)
	}
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

// at asks what to do at a stage and does it. The error is the answer.
func (s *Server) at(c *smtp.Conn, stage Stage, address string) error {
	f := s.respond.Load()
	if f == nil {
		return nil
	}
	return s.reply(c, (*f)(stage, address))
}

func (s *Server) reply(c *smtp.Conn, r *Reply) error {
	switch {
	case r == nil:
		return nil
	case r.Hang:
		// Until the client closes the connection; it should send nothing more.
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = c.Conn().Read(make([]byte, 1))
		}()
		select {
		case <-gone:
		case <-s.closed:
			_ = c.Conn().Close()
			<-gone
		}
		return errors.New("hung up")
	case r.Drop:
		_ = c.Conn().Close()
		return errors.New("dropped")
	}
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.NoEnhancedCode, Message: r.Text}
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	s.connections.Add(1)
	if err := s.at(c, StageConnect, ""); err != nil {
		return nil, err
	}
	return &session{server: s, conn: c}, nil
}

// session is one connection.
type session struct {
	server   *Server
	conn     *smtp.Conn
	loggedIn bool
	open     bool // between MAIL and the end of the mail or RSET
	from     string
	to       []string
}

func (s *session) AuthMechanisms() []string {
	if s.server.options.Username == "" {
		return nil
	}
	return s.server.options.Mechanisms
}

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if err := s.server.at(s.conn, StageAuth, ""); err != nil {
		return nil, err
	}
	check := func(username, password string) error {
		if username != s.server.options.Username || password != s.server.options.Password {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, username, password string) error { return check(username, password) }), nil
	case sasl.Login:
		return &loginServer{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.options.Username != "" && !s.loggedIn {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	if s.open {
		return &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "Another mail is open"}
	}
	if err := s.server.at(s.conn, StageMail, from); err != nil {
		return err
	}
	s.open, s.from, s.to = true, from, nil
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.server.at(s.conn, StageRcpt, to); err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := &Message{From: s.from, To: s.to, ReceivedAt: time.Now(), Raw: raw}
	_, m.TLS = s.conn.TLSConnectionState()
	if f := s.server.respond.Load(); f != nil {
		if r := (*f)(StageData, s.from); r != nil {
			if r.Keep {
				s.server.add(m)
			}
			return s.server.reply(s.conn, r)
		}
	}
	s.server.add(m)
	return nil
}

func (s *session) Reset() { s.open, s.from, s.to = false, "", nil }

func (s *session) Logout() error { return nil }

// loginServer is the LOGIN mechanism, which go-sasl has for clients only.
type loginServer struct {
	check    func(username, password string) error
	username *string
	asked    bool
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case l.username == nil:
		l.asked = true
		username := string(response)
		l.username = &username
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.username, string(response))
}
