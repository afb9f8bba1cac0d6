// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"context"
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // CRAM-MD5 is what some servers offer
	"crypto/sha1" //nolint:gosec // likewise SCRAM-SHA-1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

var (
	errNoAuth        = errors.New("the server offers no login")
	errNoMechanism   = errors.New("the server offers no login that the operator knows")
	errPlaintextAuth = errors.New("the password would be sent unencrypted")
	errUnsafeAuth    = errors.New("the server's part of the login is not safe")
)

const (
	// maxChallenges bounds the challenges of one login; none of ours needs more than two.
	maxChallenges = 4
	// maxCommand is how many bytes a command may have without its line end (RFC 5321, 4.5.3.1.4).
	maxCommand = 510
)

// mechanism is one way to log in (RFC 4422). Its next gets a challenge and returns the
// response; finish gets the text of the reply that says that the login succeeded, and
// may disagree.
type mechanism interface {
	// first is the initial response, nil if the server speaks first.
	first() []byte
	next(ctx context.Context, challenge []byte) ([]byte, error)
	finish(text string) error
}

// mechanisms returns the names of those offered that may be used, the best first. Over
// an unencrypted connection the password itself is shown to nobody, unless plaintext
// allows it, and where the server offers SCRAM nothing weaker is used.
func mechanisms(offered []string, encrypted, plaintext bool) ([]string, error) {
	offers := func(name string) bool { return slices.Contains(offered, name) }
	var names []string
	add := func(name string, may bool) {
		if may && offers(name) {
			names = append(names, name)
		}
	}
	add("SCRAM-SHA-256", true)
	add("SCRAM-SHA-1", true)
	scram := len(names) > 0
	add("PLAIN", encrypted || plaintext)
	add("LOGIN", encrypted || plaintext)
	add("CRAM-MD5", encrypted || plaintext || !scram)
	switch {
	case len(names) > 0:
		return names, nil
	case offers("PLAIN") || offers("LOGIN"):
		return nil, errPlaintextAuth
	}
	return nil, errNoMechanism
}

// login logs in with the best mechanism that the server accepts. That one mechanism is
// refused says nothing about the others: a server can't check SCRAM where it keeps a
// password as a hash of its own. Refused mechanisms are added to refused, so that the
// next connection continues where a server hung up.
func (s *Provider) login(ctx context.Context, c *conn, refused *[]string) error {
	if !c.offers("AUTH") {
		return errNoAuth
	}
	names, err := mechanisms(strings.Fields(strings.ToUpper(c.extensions["AUTH"])), c.encrypted, s.config.AllowPlaintextAuth || c.loopback())
	if err != nil {
		return err
	}
	// The mechanism that worked last comes first: refused logins lock accounts.
	if last, ok := s.mechanism.Load().(string); ok && slices.Contains(names, last) {
		names = append([]string{last}, slices.DeleteFunc(names, func(n string) bool { return n == last })...)
	}
	err = errNoMechanism
	for _, name := range names {
		if slices.Contains(*refused, name) {
			continue
		}
		err = c.authenticate(ctx, name, s.newMechanism(name))
		var reply *reply
		switch {
		case err == nil:
			s.mechanism.Store(name)
			return nil
		case !errors.As(err, &reply) || reply.code < 500:
			return err
		}
		*refused = append(*refused, name)
	}
	return err
}

func (s *Provider) newMechanism(name string) mechanism {
	user, password := s.config.Username, s.config.Password
	switch name {
	case "SCRAM-SHA-256":
		return &scram{hash: sha256.New, username: user, password: password, keys: &s.scramKeys}
	case "SCRAM-SHA-1":
		return &scram{hash: sha1.New, username: user, password: password, keys: &s.scramKeys}
	case "PLAIN":
		return &fixedAuth{initial: []byte("\x00" + user + "\x00" + password), responses: []string{"\x00" + user + "\x00" + password}}
	case "LOGIN":
		return &fixedAuth{responses: []string{user, password}}
	}
	return &cramMD5{username: user, password: password}
}

// authenticate holds the dialogue of one mechanism. Its error is the server's reply if
// it refused the login.
func (c *conn) authenticate(ctx context.Context, name string, m mechanism) error {
	command := "AUTH " + name
	if first := m.first(); first != nil {
		// A command has 512 bytes at most. If there is no room, the server asks for the
		// response (RFC 4954, 4).
		if with := command + " " + base64.StdEncoding.EncodeToString(first); len(with) <= maxCommand {
			command = with
		}
	}
	if err := c.say(command); err != nil {
		return err
	}
	for range maxChallenges {
		r, err := c.read(c.CommandTimeout)
		switch {
		case err != nil:
			return err
		case r.code >= 400:
			return r
		case r.code/100 == 2:
			return m.finish(r.text)
		case r.code != 334:
			return errBadReply
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.text))
		// Some servers prompt in plain text ("334 Username:"), which is for people.
		if _, prompted := m.(*fixedAuth); err != nil && !prompted {
			return errBadReply
		}
		response, err := m.next(ctx, challenge)
		if err != nil {
			// The login is cancelled, so that nothing is left half done.
			_ = c.say("*")
			return err
		}
		if err := c.say(base64.StdEncoding.EncodeToString(response)); err != nil {
			return err
		}
	}
	return errBadReply
}

// fixedAuth answers whatever the server asks with what it has, in order: PLAIN (RFC
// 4616) and LOGIN.
type fixedAuth struct {
	initial   []byte
	responses []string
}

func (f *fixedAuth) first() []byte { return f.initial }

func (f *fixedAuth) next(context.Context, []byte) ([]byte, error) {
	if len(f.responses) == 0 {
		return nil, errBadReply
	}
	response := f.responses[0]
	f.responses = f.responses[1:]
	return []byte(response), nil
}

func (*fixedAuth) finish(string) error { return nil }

// cramMD5 is CRAM-MD5 (RFC 2195).
type cramMD5 struct{ username, password string }

func (*cramMD5) first() []byte { return nil }

func (a *cramMD5) next(_ context.Context, challenge []byte) ([]byte, error) {
	h := hmac.New(md5.New, []byte(a.password))
	h.Write(challenge)
	return []byte(a.username + " " + hex.EncodeToString(h.Sum(nil))), nil
}

func (*cramMD5) finish(string) error { return nil }
