// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"slices"

	"github.com/wneessen/go-mail/smtp"
)

var (
	errNoAuth        = errors.New("the server offers no login")
	errNoMechanism   = errors.New("the server offers no login that the operator knows")
	errPlaintextAuth = errors.New("the password would be sent unencrypted")
)

// smtpAuth logs in with the best mechanism that the server offers. The password
// itself goes over an encrypted connection only, unless plaintext says otherwise.
type smtpAuth struct {
	username, password string
	plaintext          bool

	chosen smtp.Auth
}

// Start implements smtp.Auth.
func (a *smtpAuth) Start(server *smtp.ServerInfo) (mechanism string, response []byte, err error) {
	offers := func(name string) bool { return slices.Contains(server.Auth, name) }
	mayShow := server.TLS || a.plaintext
	switch {
	case offers("SCRAM-SHA-256"):
		a.chosen = smtp.ScramSHA256Auth(a.username, a.password)
	case offers("SCRAM-SHA-1"):
		a.chosen = smtp.ScramSHA1Auth(a.username, a.password)
	case offers("PLAIN") && mayShow:
		a.chosen = smtp.PlainAuth("", a.username, a.password, server.Name, a.plaintext)
	case offers("LOGIN") && mayShow:
		a.chosen = smtp.LoginAuth(a.username, a.password, server.Name, a.plaintext)
	case offers("CRAM-MD5"):
		a.chosen = smtp.CRAMMD5Auth(a.username, a.password)
	case offers("PLAIN") || offers("LOGIN"):
		return "", nil, errPlaintextAuth
	default:
		return "", nil, errNoMechanism
	}
	return a.chosen.Start(server)
}

// Next implements smtp.Auth.
func (a *smtpAuth) Next(fromServer []byte, more bool) ([]byte, error) {
	return a.chosen.Next(fromServer, more)
}
