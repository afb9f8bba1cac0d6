// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/rehive/extension-operator/internal/outbound"
)

// maxReplyText bounds how much of a server's answer is kept.
const maxReplyText = 200

// classify says what an error of the conversation means for the message, in a
// sentence without addresses and secrets.
func (s *SMTP) classify(err error) error {
	var e *smtpError
	if !errors.As(err, &e) {
		return Transient("SendFailed", "The mail could not be sent.", 0)
	}
	if r, ok := e.reply(); ok {
		return s.classifyReply(e.stage, r.Code, s.tidyReply(r.Msg))
	}
	switch {
	case outbound.IsAddressRefused(err):
		return Misconfigured("AddressRefused", "The mail server is in a private or special-purpose network, which isn't allowed.")
	case errors.Is(err, errNoSTARTTLS):
		return Misconfigured("TLSUnavailable", "The mail server offers no STARTTLS, which the configuration asks for.")
	case errors.Is(err, errNoAuth), errors.Is(err, errNoMechanism):
		return Misconfigured("LoginUnsupported", "The mail server offers no login that the operator can use.")
	case errors.Is(err, errPlaintextAuth):
		return Misconfigured("LoginNotEncrypted", "The mail server wants the password over an unencrypted connection, which the configuration doesn't allow.")
	case errors.Is(err, errNoUTF8):
		return Permanent("RecipientUnsupported", "The mail server doesn't take addresses with letters beyond ASCII.")
	case errors.Is(err, errTooMuch):
		return Transient("BadReply", "The mail server's answer is too long.", 0)
	case e.stage == stageTLS && badCertificate(err):
		return Misconfigured("CertificateInvalid", "The mail server's certificate can't be verified.")
	case e.timedOut():
		return Transient("Timeout", fmt.Sprintf("The mail server didn't answer in time (%s).", e.stage), 0)
	case e.stage == stageTLS:
		return Transient("TLSFailed", "The encrypted connection to the mail server could not be made.", 0)
	case e.stage == stageConnect:
		return Transient("Unreachable", "The mail server can't be reached.", 0)
	case e.stage == stageAuth:
		return Transient("LoginFailed", "The login at the mail server failed.", 0)
	}
	return Transient("ConnectionLost", fmt.Sprintf("The connection to the mail server was lost (%s).", e.stage), 0)
}

var errNoSTARTTLS = errors.New("the server offers no STARTTLS")

func badCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid)
}

// classifyReply reads a refusal: 4yz is for now, 5yz for good (RFC 5321, 4.2.1).
// What is about the login is the configuration's fault and not the message's.
func (s *SMTP) classifyReply(stage smtpStage, code int, text string) error {
	sentence := func(what string) string {
		return strings.TrimSpace(fmt.Sprintf("The mail server %s: %d %s", what, code, text))
	}
	forGood := code >= 500
	switch {
	case stage == stageAuth && forGood:
		return Misconfigured("LoginRefused", sentence("refused the login"))
	case stage == stageAuth, stage == stageConnect, stage == stageTLS:
		return Transient("Unavailable", sentence("is not available"), 0)
	case code == 530, code == 534, code == 535, code == 538:
		return Misconfigured("LoginRequired", sentence("asks for a login"))
	case code == 421:
		return Transient("Unavailable", sentence("is not available"), 0)
	case !forGood && stage == stageRcpt:
		return Transient("RecipientDeferred", sentence("deferred the recipient"), 0)
	case !forGood:
		return Transient("MessageDeferred", sentence("deferred the message"), 0)
	case stage == stageMail:
		return Permanent("SenderRefused", sentence("refused the sender"))
	case stage == stageRcpt:
		return Permanent("RecipientRefused", sentence("refused the recipient"))
	}
	return Permanent("MessageRefused", sentence("refused the message"))
}

// addressLike is whatever could be an address or a part of one.
var addressLike = regexp.MustCompile(`\S*@\S*`)

// tidyReply makes a server's text fit to be stored and shown: one line, bounded,
// without the addresses that servers like to repeat and without the password.
func (s *SMTP) tidyReply(text string) string {
	for _, secret := range []string{s.config.Password, s.config.Username} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	text = addressLike.ReplaceAllString(text, "…")
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxReplyText {
		text = string(runes[:maxReplyText]) + "…"
	}
	return text
}
