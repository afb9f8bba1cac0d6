// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtptest

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Script is what a [Rude] server says. Whatever it leaves out is said as a sound server
// would.
type Script struct {
	// Extensions are the lines of the reply to EHLO after the first, as they are to be
	// sent.
	Extensions []string
	// ImplicitTLS speaks TLS from the first byte.
	ImplicitTLS bool
	// Say decides what is said; nil, or nil from it, says what a sound server would. It
	// is called by one goroutine a connection.
	Say func(Heard) *Said
}

// Heard is what a [Rude] server heard.
type Heard struct {
	// Verb is the command in upper case; "" is the connection itself, "." the end of
	// the text and "RESPONSE" a line of a login's dialogue.
	Verb string
	// Line is the command as it came, without its line end; of "." the whole text.
	Line string
	// Connection counts the connections from 1, Messages the mails accepted on this
	// one, and Before how often the verb was heard on it before.
	Connection, Messages, Before int
	// TLS says whether the connection is encrypted.
	TLS bool
}

// Said is what a [Rude] server says.
type Said struct {
	// Raw is sent as it is, line ends and all.
	Raw string
	// Endless sends Raw again and again until the client closes the connection.
	Endless bool
	// After is waited for before Raw is sent: a channel to close, or a time.
	After <-chan struct{}
	Delay time.Duration
	// Close ends the connection after Raw.
	Close bool
	// Midway, in the answer to DATA, is said after the first line of the text, whose rest
	// is not read if it ends the connection.
	Midway *Said
	// Keep counts the text as accepted although Raw isn't a 250.
	Keep bool
}

// Line says one line.
func Line(format string, arguments ...any) *Said {
	return &Said{Raw: fmt.Sprintf(format, arguments...) + "\r\n"}
}

// Rude is an SMTP server that does exactly what a test scripts, right or wrong: odd
// letters, lies, silence, too much, early ends.
type Rude struct {
	script   Script
	listener net.Listener
	ca       *authority
	closed   chan struct{}
	all      sync.WaitGroup

	mu          sync.Mutex
	connections int
	messages    []*Message
	commands    []string
}

// StartRude starts a rude server on a free loopback port. The caller closes it.
func StartRude(s Script) (*Rude, error) {
	r := &Rude{script: s, closed: make(chan struct{})}
	var err error
	if r.ca, err = newAuthority(); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	if r.listener, err = config.Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listening for SMTP: %w", err)
	}
	r.all.Go(r.accept)
	return r, nil
}

// Close closes all connections and stops the server.
func (r *Rude) Close() error {
	close(r.closed)
	err := r.listener.Close()
	r.all.Wait()
	return err
}

// Host is the address listened on.
func (r *Rude) Host() string { return r.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is the port listened on.
func (r *Rude) Port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// RootCAs verify the server's certificate.
func (r *Rude) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.ca.root)
	return pool
}

// Messages are the mails accepted so far.
func (r *Rude) Messages() []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Message(nil), r.messages...)
}

// Commands are the lines heard so far, those of the texts left out. Lines that came
// encrypted begin with "tls ".
func (r *Rude) Commands() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.commands...)
}

// Connections is how many connections were made so far.
func (r *Rude) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

func (r *Rude) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.connections++
		s := &rudeSession{Rude: r, raw: conn, number: r.connections, before: map[string]int{}}
		r.mu.Unlock()
		r.all.Go(func() {
			ended := make(chan struct{})
			defer close(ended)
			r.all.Go(func() {
				select {
				case <-r.closed:
				case <-ended:
				}
				_ = conn.Close()
			})
			s.serve()
		})
	}
}

// rudeSession is one connection.
type rudeSession struct {
	*Rude
	raw      net.Conn
	conn     net.Conn
	lines    *bufio.Reader
	number   int
	messages int
	before   map[string]int
	tls      bool
	login    bool // a login's dialogue is on
	from     string
	to       []string
	midway   *Said // of the text that comes next
}

func (s *rudeSession) use(conn net.Conn) {
	s.conn, s.lines = conn, bufio.NewReader(conn)
}

func (s *rudeSession) encrypt() bool {
	t := tls.Server(s.raw, &tls.Config{Certificates: []tls.Certificate{s.ca.certificate}, MinVersion: tls.VersionTLS12})
	if t.HandshakeContext(context.Background()) != nil {
		return false
	}
	s.use(t)
	s.tls = true
	return true
}

func (s *rudeSession) serve() {
	s.use(s.raw)
	if s.script.ImplicitTLS && !s.encrypt() {
		return
	}
	if _, ok := s.say("", "", "220 rude.example ESMTP"); !ok {
		return
	}
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.note(line)
		verb, argument, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		if s.login {
			verb = "RESPONSE"
		}
		if !s.command(verb, argument, line) {
			return
		}
	}
}

func (s *rudeSession) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tls {
		line = "tls " + line
	}
	s.commands = append(s.commands, line)
}

// command answers one line and reports whether to read another.
func (s *rudeSession) command(verb, argument, line string) bool {
	sound := "250 2.0.0 ok"
	switch verb {
	case "EHLO":
		lines := append([]string{"rude.example"}, s.script.Extensions...)
		for i := range lines {
			separator := "-"
			if i == len(lines)-1 {
				separator = " "
			}
			lines[i] = "250" + separator + lines[i]
		}
		sound = strings.Join(lines, "\r\n")
	case "MAIL":
		s.from, s.to = argument, nil
	case "RCPT":
		s.to = append(s.to, argument)
	case "DATA":
		sound = "354 continue"
	case "STARTTLS":
		sound = "220 2.0.0 continue"
	case "AUTH", "RESPONSE":
		sound = "235 2.7.0 welcome"
	case "QUIT":
		sound = "221 2.0.0 bye"
	}
	code, ok := s.say(verb, line, sound)
	if !ok || verb == "QUIT" {
		return false
	}
	s.login = code == "334"
	switch {
	case verb == "STARTTLS" && code == "220":
		return s.encrypt()
	case verb == "DATA" && code == "354":
		return s.text()
	}
	return true
}

func (s *rudeSession) text() bool {
	var text strings.Builder
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return false
		}
		if midway := s.midway; midway != nil {
			s.midway = nil
			if !s.tell(midway) {
				return false
			}
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	said := s.decide(".", text.String())
	if said == nil {
		said = Line("250 2.0.0 queued")
	}
	// Before the answer, so that a client that has it finds the message.
	if said.Keep || said.code() == "250" {
		s.mu.Lock()
		s.Rude.messages = append(s.Rude.messages, &Message{
			Number: len(s.Rude.messages) + 1, From: s.from, To: s.to, TLS: s.tls, ReceivedAt: time.Now(), Raw: []byte(text.String()),
		})
		s.mu.Unlock()
		s.messages++
	}
	return s.tell(said)
}

func (s *rudeSession) decide(verb, line string) *Said {
	before := s.before[verb]
	s.before[verb]++
	if s.script.Say == nil {
		return nil
	}
	return s.script.Say(Heard{Verb: verb, Line: line, Connection: s.number, Messages: s.messages, Before: before, TLS: s.tls})
}

// say answers a verb and returns the code of the answer, and whether the connection
// is still there.
func (s *rudeSession) say(verb, line, sound string) (code string, ok bool) {
	said := s.decide(verb, line)
	if said == nil {
		said = Line("%s", sound)
	}
	s.midway = said.Midway
	return said.code(), s.tell(said)
}

// code is that of the last line.
func (s *Said) code() string {
	lines := strings.Split(strings.TrimRight(s.Raw, "\r\n"), "\n")
	last := lines[len(lines)-1]
	return last[:min(3, len(last))]
}

func (s *rudeSession) tell(said *Said) bool {
	var timer <-chan time.Time
	if said.Delay > 0 {
		timer = time.After(said.Delay)
	}
	if said.After != nil || timer != nil {
		select {
		case <-said.After:
		case <-timer:
		case <-s.closed:
			return false
		}
	}
	for {
		if _, err := s.conn.Write([]byte(said.Raw)); err != nil {
			return false
		}
		if !said.Endless {
			break
		}
	}
	if said.Close {
		_ = s.conn.Close()
		return false
	}
	return true
}
