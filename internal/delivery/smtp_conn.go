// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"net"
	"net/textproto"
	"os"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// maxReplies bounds what a server may say during the greeting or one message. A
// server that says more is broken or hostile.
const maxReplies = 64 << 10

// smtpStage is a step of the conversation with the server.
type smtpStage string

const (
	stageConnect smtpStage = "greeting"
	stageTLS     smtpStage = "TLS"
	stageAuth    smtpStage = "login"
	stageMail    smtpStage = "MAIL"
	stageRcpt    smtpStage = "RCPT"
	stageData    smtpStage = "DATA"
)

// smtpError is what went wrong at which step. Its text may hold what the server
// said, addresses included: it is not shown, see SMTP.classify.
type smtpError struct {
	stage smtpStage
	err   error
}

func (e *smtpError) Error() string { return string(e.stage) + ": " + e.err.Error() }
func (e *smtpError) Unwrap() error { return e.err }

// reply returns the server's answer, if there was one.
func (e *smtpError) reply() (*textproto.Error, bool) {
	var r *textproto.Error
	ok := errors.As(e.err, &r)
	return r, ok
}

// timedOut tells whether the server didn't answer in time.
func (e *smtpError) timedOut() bool {
	var n net.Error
	return errors.As(e.err, &n) && n.Timeout() || errors.Is(e.err, context.DeadlineExceeded)
}

// hungUp tells whether the server ended the connection.
func (e *smtpError) hungUp() bool {
	if r, ok := e.reply(); ok {
		return r.Code == 421
	}
	return !e.timedOut()
}

// smtpConn is a connection that is ready for messages.
type smtpConn struct {
	client *smtp.Client
	conn   *boundedConn
	broken bool
	idle   time.Time // since when
}

// send sends one message. After an error that isn't a plain refusal the
// connection is broken.
func (c *smtpConn) send(ctx context.Context, m *composed) error {
	c.conn.begin(ctx)
	stop := context.AfterFunc(ctx, c.conn.abort)
	err := c.transact(m)
	if !stop() {
		c.broken = true
	}
	var e *smtpError
	if errors.As(err, &e) {
		r, ok := e.reply()
		switch {
		case c.broken, errors.Is(err, errNoUTF8): // nothing may be said, or was
		case !ok || r.Code == 421:
			c.broken = true
		case c.client.Reset() != nil:
			c.broken = true
		}
	}
	return err
}

var errNoUTF8 = errors.New("the server doesn't take addresses with letters beyond ASCII")

func (c *smtpConn) transact(m *composed) error {
	if offered, _ := c.client.Extension("SMTPUTF8"); m.utf8 && !offered {
		return &smtpError{stage: stageMail, err: errNoUTF8}
	}
	open := c.open
	if offered, _ := c.client.Extension("PIPELINING"); offered {
		open = c.openPipelined
	}
	if err := open(m); err != nil {
		return err
	}
	text := c.client.Text.DotWriter()
	if _, err := text.Write(m.raw); err != nil {
		return &smtpError{stage: stageData, err: err}
	}
	if err := text.Close(); err != nil {
		return &smtpError{stage: stageData, err: err}
	}
	if _, _, err := c.client.Text.ReadResponse(250); err != nil {
		return &smtpError{stage: stageData, err: err}
	}
	return nil
}

// open tells the sender and the recipient and asks for leave to send the text.
func (c *smtpConn) open(m *composed) error {
	c.client.SkipSMTPUTF8(!m.utf8)
	if err := c.client.Mail("<" + m.from + ">"); err != nil {
		return &smtpError{stage: stageMail, err: err}
	}
	if err := c.client.Rcpt("<" + m.to + ">"); err != nil {
		return &smtpError{stage: stageRcpt, err: err}
	}
	// Not the client's Data, which begins a text of its own.
	if err := c.client.Text.PrintfLine("DATA"); err != nil {
		return &smtpError{stage: stageData, err: err}
	}
	if _, _, err := c.client.Text.ReadResponse(354); err != nil {
		return &smtpError{stage: stageData, err: err}
	}
	return nil
}

// openPipelined is open for a server that takes several commands at once (RFC
// 2920): one round trip in place of three.
func (c *smtpConn) openPipelined(m *composed) error {
	parameters := ""
	if offered, _ := c.client.Extension("8BITMIME"); offered {
		parameters += " BODY=8BITMIME"
	}
	if m.utf8 {
		parameters += " SMTPUTF8"
	}
	// The addresses were checked when the mail was composed: they hold no line end.
	text := c.client.Text
	if err := text.PrintfLine("MAIL FROM:<%s>%s\r\nRCPT TO:<%s>\r\nDATA", m.from, parameters, m.to); err != nil {
		return &smtpError{stage: stageMail, err: err}
	}
	var first error
	for _, step := range []struct {
		stage  smtpStage
		expect int
	}{{stageMail, 250}, {stageRcpt, 25}, {stageData, 354}} {
		_, _, err := text.ReadResponse(step.expect)
		if err == nil {
			continue
		}
		if first == nil {
			first = &smtpError{stage: step.stage, err: err}
		}
		var refused *textproto.Error
		if !errors.As(err, &refused) || refused.Code == 421 {
			return first // nothing more will be said
		}
		if step.stage == stageData {
			return first // as it must be when an address was refused
		}
	}
	if first != nil {
		// It waits for the text of a mail that it has refused. To end the
		// connection is the one way out that sends nothing.
		c.broken = true
	}
	return first
}

// quit takes leave, for which the server gets no time to speak of.
func (c *smtpConn) quit() {
	if !c.broken {
		c.conn.deadline, c.conn.read = time.Now().Add(time.Second), 0
		_ = c.client.Quit()
	}
	_ = c.conn.Close()
}

// boundedConn gives every read and write a deadline of its own and bounds how
// much the server may say. Deadlines that others set are ignored.
type boundedConn struct {
	net.Conn
	timeout time.Duration

	deadline time.Time // of the context in force
	read     int
	aborted  atomic.Bool
}

// begin starts a new piece of conversation.
func (c *boundedConn) begin(ctx context.Context) {
	c.deadline, _ = ctx.Deadline()
	c.read = 0
}

// abort ends every read and write, now and later.
func (c *boundedConn) abort() {
	c.aborted.Store(true)
	_ = c.Conn.SetDeadline(time.Unix(1, 0))
}

// arm sets the deadline of the next operation. The flag is looked at afterwards,
// so that a deadline set by abort meanwhile isn't lost.
func (c *boundedConn) arm() error {
	at := time.Now().Add(c.timeout)
	if !c.deadline.IsZero() && c.deadline.Before(at) {
		at = c.deadline
	}
	if err := c.Conn.SetDeadline(at); err != nil {
		return err
	}
	if c.aborted.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

var errTooMuch = errors.New("the server says more than it should")

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.read > maxReplies {
		return 0, errTooMuch
	}
	if err := c.arm(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *boundedConn) SetDeadline(time.Time) error      { return nil }
func (c *boundedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *boundedConn) SetWriteDeadline(time.Time) error { return nil }

// loopback tells whether the other end is on this machine.
func (c *boundedConn) loopback() bool {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
