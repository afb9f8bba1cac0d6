// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxHeard bounds what a server may say before the first message and during each
	// message. A server that says more is broken or hostile.
	maxHeard = 64 << 10
	// maxReplyBytes bounds what is kept of one reply.
	maxReplyBytes = 8 << 10
)

// stage is a step of the conversation with the server.
type stage string

const (
	stageConnect stage = "greeting"
	stageTLS     stage = "TLS"
	stageAuth    stage = "login"
	stageMail    stage = "MAIL"
	stageRcpt    stage = "RCPT"
	stageData    stage = "DATA"
	stageText    stage = "text" // its end, the final dot
)

// reply is what the server answered to a command. As an error it is a refusal.
type reply struct {
	code int
	// text is the text of all lines, with a line feed between them. It may hold
	// addresses and is not shown as it is, see SMTP.tidyReply.
	text string
}

// Error implements error.
func (r *reply) Error() string { return strconv.Itoa(r.code) + " " + r.text }

// stageError is what went wrong at which step. Its text may hold what the server
// said, addresses included: it is not shown, see SMTP.classify.
type stageError struct {
	stage stage
	err   error
	// complete says that the whole text was sent, so that the server may have
	// accepted the mail whatever happened then.
	complete bool
}

func (e *stageError) Error() string { return string(e.stage) + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// reply returns the server's refusal, nil if it gave none.
func (e *stageError) reply() *reply {
	var r *reply
	_ = errors.As(e.err, &r)
	return r
}

// aboutConnection reports whether the reused connection may be the cause, so that the mail
// may be sent on another one at once: the server accepted no part of it.
func (e *stageError) aboutConnection() bool {
	r := e.reply()
	switch {
	case r == nil:
		return !e.complete
	case e.stage == stageMail:
		// Servers limit the messages of a connection, and say so in many ways.
		return true
	case r.code == 421, r.code == 503:
		return true
	case r.enhanced() == "5.3":
		return true // too many recipients, of which each mail has one
	}
	return sessionLimit.MatchString(phraseText(r.text))
}

// aboutParameters reports whether the server refused the parameters of MAIL, although it
// offers them.
func (e *stageError) aboutParameters() bool {
	r := e.reply()
	return e.stage == stageMail && r != nil && (r.code == 555 || (r.code == 501 || r.code == 504) && parameterNames.MatchString(phraseText(r.text)))
}

// parameterNames matches what servers say about parameters that they don't know.
var parameterNames = phrases("SIZE", "BODY", "8BITMIME", "parameter", "parameters", "option", "options", "extension", "extensions")

// conn is a connection to a server. One goroutine uses it at a time.
type conn struct {
	raw       net.Conn
	conn      net.Conn // raw, or TLS on top of it
	reader    *bufio.Reader
	writer    *bufio.Writer
	encrypted bool
	// extensions are the parameters of the EHLO keywords, which are in upper case.
	extensions map[string]string

	*Config      // its times
	reused  bool // a message was sent on it before
	// plain says that MAIL goes without the parameters that only inform the server.
	plain bool

	deadline time.Time // of the context in force
	heard    int       // bytes since begin
	aborted  atomic.Bool

	broken bool      // nothing more can be said on it
	retire bool      // it works, but is not kept
	idle   time.Time // since when
}

func newConn(raw net.Conn, config *Config) *conn {
	c := &conn{raw: raw, Config: config}
	c.use(raw)
	return c
}

// use speaks over another connection from now on.
func (c *conn) use(conn net.Conn) {
	c.conn = conn
	c.reader = bufio.NewReader(conn)
	c.writer = bufio.NewWriterSize(&steadyWriter{c}, 16<<10)
}

// begin starts a new piece of conversation. The caller ends it with the returned
// function, which reports whether the context was alive until then.
func (c *conn) begin(ctx context.Context) (stop func() bool) {
	c.deadline, _ = ctx.Deadline()
	c.heard = 0
	// Whatever the server does, the conversation ends with the context.
	return context.AfterFunc(ctx, c.abort)
}

// abort ends every read and write, now and later.
func (c *conn) abort() {
	c.aborted.Store(true)
	_ = c.raw.SetDeadline(time.Unix(1, 0))
}

// arm sets how long the next step may take in all. The flag is looked at afterwards,
// so that a deadline set by abort meanwhile isn't lost.
func (c *conn) arm(wait time.Duration) error {
	at := time.Now().Add(wait)
	if !c.deadline.IsZero() && c.deadline.Before(at) {
		at = c.deadline
	}
	if err := c.raw.SetDeadline(at); err != nil {
		return err
	}
	if c.aborted.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// steadyWriter gives each block of a long text its own time.
type steadyWriter struct{ c *conn }

func (w *steadyWriter) Write(b []byte) (int, error) {
	if err := w.c.arm(w.c.BlockTimeout); err != nil {
		return 0, err
	}
	return w.c.conn.Write(b)
}

var (
	errTooMuch  = errors.New("the server says more than it should")
	errBadReply = errors.New("the server says something that isn't SMTP")
)

// read reads one reply, however many lines it has. The code is that of the last
// line, as other mail programs have it.
func (c *conn) read(wait time.Duration) (*reply, error) {
	if err := c.arm(wait); err != nil {
		return nil, err
	}
	var r reply
	for lines := 0; ; lines++ {
		line, err := c.readLine()
		if err != nil {
			return nil, err
		}
		code, err := strconv.ParseUint(line[:min(3, len(line))], 10, 16)
		if err != nil || code < 200 || code > 599 || len(line) > 3 && !strings.ContainsRune(" -\t", rune(line[3])) {
			return nil, errBadReply
		}
		r.code = int(code)
		text := line[min(4, len(line)):]
		if lines > 0 && len(r.text) < maxReplyBytes {
			r.text += "\n" + text
		} else if lines == 0 {
			r.text = text
		}
		if len(line) < 4 || line[3] != '-' {
			return &r, nil
		}
	}
}

// readLine reads a line without its end. The part of a line that exceeds the limit of a
// reply is read and dropped.
func (c *conn) readLine() (string, error) {
	var line []byte
	for {
		part, err := c.reader.ReadSlice('\n')
		if c.heard += len(part); c.heard > maxHeard {
			return "", errTooMuch
		}
		if err == nil && line == nil {
			return strings.TrimRight(string(part), "\r\n"), nil
		}
		if len(line) < maxReplyBytes {
			line = append(line, part...)
		}
		switch {
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// say sends commands, each without its line end. A server that says something before
// it is asked is not to be trusted: its next reply would be taken for another one.
func (c *conn) say(commands ...string) error {
	if c.reader.Buffered() > 0 {
		return errBadReply
	}
	for _, command := range commands {
		_, _ = c.writer.WriteString(command)
		_, _ = c.writer.WriteString("\r\n")
	}
	return c.writer.Flush()
}

// ask sends a command and reads the reply. The error is the reply if its first digit
// isn't the expected one.
func (c *conn) ask(command string, expect int) (*reply, error) {
	if err := c.say(command); err != nil {
		return nil, err
	}
	return c.expect(c.CommandTimeout, expect)
}

// step is ask for a command of a message, whose reply may take longer.
func (c *conn) step(wait time.Duration, command string, expect int) error {
	if err := c.say(command); err != nil {
		return err
	}
	_, err := c.expectStep(wait, expect)
	return err
}

// mailTimeout is how long the reply to MAIL may take. A connection that was used before
// may be dead without a sign, and there is another one to try.
func (c *conn) mailTimeout() time.Duration {
	if c.reused {
		return c.CommandTimeout
	}
	return c.EnvelopeTimeout
}

// expect reads a reply whose first digit is expected. Another is an error: the reply
// itself if it is a refusal.
func (c *conn) expect(wait time.Duration, digit int) (*reply, error) {
	r, err := c.read(wait)
	switch {
	case err != nil:
		return nil, err
	case r.code/100 == digit:
		return r, nil
	case r.code >= 400:
		return nil, r
	}
	return nil, errBadReply
}

// expectStep is expect for the steps of a message. A greeting, a farewell and the question of a
// login are not replies to any of them: to take one for an acceptance would lose the message.
func (c *conn) expectStep(wait time.Duration, digit int) (*reply, error) {
	r, err := c.expect(wait, digit)
	if err == nil && (r.code == 220 || r.code == 221 || r.code == 334) {
		return nil, errBadReply
	}
	return r, err
}

// hello introduces the client and learns what the server can do. Keywords are
// compared in any case (RFC 5321, 4.1.1.1).
func (c *conn) hello(name string) error {
	c.extensions = map[string]string{}
	r, err := c.ask("EHLO "+name, 2)
	var refused *reply
	if errors.As(err, &refused) && (refused.code == 500 || refused.code == 502 || refused.code == 504) {
		_, err = c.ask("HELO "+name, 2) // a server from before 1995
		return err
	}
	if err != nil {
		return err
	}
	lines := strings.Split(r.text, "\n")
	// The first line greets. Where it is the keyword itself, nothing must go out unencrypted.
	if !strings.EqualFold(strings.TrimSpace(lines[0]), "STARTTLS") {
		lines = lines[1:]
	}
	for _, line := range lines {
		line = strings.TrimSpace(line)
		// Before RFC 2554 it was AUTH=PLAIN; many servers still say both.
		end := strings.IndexAny(line, " \t=")
		if end < 0 {
			end = len(line)
		}
		keyword, parameters := strings.ToUpper(line[:end]), strings.Trim(line[end:], " \t=")
		if known := c.extensions[keyword]; known != "" {
			parameters = known + " " + parameters
		}
		c.extensions[keyword] = parameters
	}
	return nil
}

func (c *conn) offers(keyword string) bool {
	_, ok := c.extensions[keyword]
	return ok
}

// startTLS encrypts the connection that STARTTLS was offered on.
func (c *conn) startTLS(ctx context.Context, config *tls.Config) error {
	if _, err := c.ask("STARTTLS", 2); err != nil {
		return err
	}
	// Unencrypted data after the reply would be mistaken for encrypted replies.
	if c.reader.Buffered() > 0 {
		return errBadReply
	}
	return c.handshake(ctx, config)
}

func (c *conn) handshake(ctx context.Context, config *tls.Config) error {
	if err := c.arm(c.CommandTimeout); err != nil {
		return err
	}
	t := tls.Client(c.raw, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.use(t)
	c.encrypted = true
	return nil
}

var (
	errNoUTF8     = errors.New("the server doesn't take recipients with letters beyond ASCII")
	errSenderUTF8 = errors.New("the server doesn't take senders with letters beyond ASCII")
	errTooBig     = errors.New("the mail is bigger than the server takes")
)

// send sends one message and leaves the connection ready for the next, or broken, or
// to be retired.
func (c *conn) send(ctx context.Context, m *composed) error {
	stop := c.begin(ctx)
	err := c.transact(m)
	if !stop() {
		c.broken = true
	}
	var e *stageError
	if !errors.As(err, &e) || c.broken {
		return err
	}
	r := e.reply()
	switch {
	case r == nil || r.code == 421:
		c.broken = true
	case e.stage == stageMail, c.reused && e.aboutConnection():
		c.retire = true // the next may be refused for the same reason
	case e.stage != stageText:
		_, reset := c.ask("RSET", 2)
		c.broken = reset != nil
	}
	return err
}

func (c *conn) transact(m *composed) error {
	switch {
	case !m.utf8 || c.offers("SMTPUTF8"):
	case m.utf8To:
		return errNoUTF8
	default:
		return errSenderUTF8
	}
	if limit, err := strconv.ParseInt(c.extensions["SIZE"], 10, 64); err == nil && limit > 0 && int64(len(m.raw)) > limit {
		return errTooBig
	}
	open := c.open
	if c.offers("PIPELINING") {
		open = c.openPipelined
	}
	if err := open(m); err != nil {
		return err
	}
	if c.reader.Buffered() > 0 {
		return &stageError{stage: stageText, err: errBadReply}
	}
	if err := c.write(m.raw); err != nil {
		// The dot is the last that is written, so the server doesn't have it. A server that
		// refuses the text before its end says why and closes the connection.
		if _, refusal := c.expect(c.CommandTimeout, 2); errors.As(refusal, new(*reply)) {
			err = refusal
		}
		c.broken = true
		return &stageError{stage: stageText, err: err}
	}
	// The server has everything. To give up now would be to send the mail twice (RFC
	// 1047), so this reply has more time than any other (RFC 5321, 4.5.3.2.6).
	if _, err := c.expectStep(c.FinalTimeout, 2); err != nil {
		return &stageError{stage: stageText, err: err, complete: true}
	}
	return nil
}

// envelope returns the commands MAIL and RCPT. The addresses were checked when the mail
// was composed: they hold no line end.
func (c *conn) envelope(m *composed) (mail, rcpt string) {
	mail = "MAIL FROM:<" + m.from + ">"
	if c.offers("SIZE") && !c.plain {
		mail += " SIZE=" + strconv.Itoa(len(m.raw))
	}
	if c.offers("8BITMIME") && !c.plain {
		mail += " BODY=8BITMIME"
	}
	if m.utf8 {
		mail += " SMTPUTF8"
	}
	return mail, "RCPT TO:<" + m.to + ">"
}

// open names the sender and the recipient and asks for leave to send the text.
func (c *conn) open(m *composed) error {
	mail, rcpt := c.envelope(m)
	if err := c.step(c.mailTimeout(), mail, 2); err != nil {
		return &stageError{stage: stageMail, err: err}
	}
	if err := c.step(c.EnvelopeTimeout, rcpt, 2); err != nil {
		return &stageError{stage: stageRcpt, err: err}
	}
	if err := c.step(c.DataTimeout, "DATA", 3); err != nil {
		return &stageError{stage: stageData, err: err}
	}
	return nil
}

// openPipelined is open for a server that takes several commands at once (RFC
// 2920): one round trip instead of three.
func (c *conn) openPipelined(m *composed) error {
	mail, rcpt := c.envelope(m)
	if err := c.say(mail, rcpt, "DATA"); err != nil {
		return &stageError{stage: stageMail, err: err}
	}
	var first error
	for _, step := range []struct {
		stage stage
		digit int
		wait  time.Duration
	}{{stageMail, 2, c.mailTimeout()}, {stageRcpt, 2, c.EnvelopeTimeout}, {stageData, 3, c.DataTimeout}} {
		_, err := c.expectStep(step.wait, step.digit)
		if err == nil {
			continue
		}
		if first == nil {
			first = &stageError{stage: step.stage, err: err}
		}
		var refused *reply
		if !errors.As(err, &refused) || refused.code == 421 {
			c.broken = true
			return first // nothing more will be said that makes sense
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

// write sends the text, whose lines end in CR LF, with the dots that RFC 5321, 4.5.2
// asks for.
func (c *conn) write(text []byte) error {
	for len(text) > 0 {
		if text[0] == '.' {
			_ = c.writer.WriteByte('.')
		}
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		if _, err := c.writer.Write(text[:end]); err != nil {
			return err
		}
		if end == len(text) && text[end-1] != '\n' {
			_, _ = c.writer.WriteString("\r\n")
		}
		text = text[end:]
	}
	_, _ = c.writer.WriteString(".\r\n")
	return c.writer.Flush()
}

// quit takes leave, for which the server gets no time to speak of.
func (c *conn) quit() {
	if !c.broken {
		c.deadline, c.heard = time.Now().Add(time.Second), 0
		_, _ = c.ask("QUIT", 2)
	}
	_ = c.raw.Close()
}

// loopback reports whether the server is on this machine.
func (c *conn) loopback() bool {
	a, ok := c.raw.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// timedOut reports whether the server didn't answer in time.
func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// hungUp reports whether the server closed the connection, with a reply (421) or without.
func (e *stageError) hungUp() bool {
	if r := e.reply(); r != nil {
		return r.code == 421
	}
	var n *net.OpError
	return errors.Is(e.err, io.EOF) || errors.Is(e.err, io.ErrUnexpectedEOF) || errors.As(e.err, &n)
}
