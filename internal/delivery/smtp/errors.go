// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/outbound"
)

// maxReplyText bounds how many characters of a server's answer are shown.
const maxReplyText = 200

var errNoSTARTTLS = errors.New("the server offers no STARTTLS")

// classify says what an error of the conversation means for the message, in a
// sentence without addresses and secrets. ownSender says that the rule named the
// sender.
func (s *Provider) classify(err error, ownSender bool) error {
	e := &stageError{stage: stageMail, err: err}
	_ = errors.As(err, &e)
	r := e.reply()
	if r == nil {
		return s.classifyEvent(e, ownSender)
	}
	o := outcomeOfReply(e.stage, r)
	sentence := strings.TrimSpace(fmt.Sprintf("%s: %d %s", o.meaning, r.code, s.tidyReply(r.text)))
	if o.reason == reasonRecipientRefused && isDeadMailbox(r) {
		return provider.Refused(provider.FaultHardBounce, o.reason, sentence)
	}
	return o.error(sentence, ownSender)
}

func (s *Provider) classifyEvent(e *stageError, ownSender bool) error {
	event := eventOf(e)
	o := outcomeOfEvent(e.stage, event)
	sentence := o.meaning
	switch event {
	case eventBlocked:
		sentence += ": " + outbound.AddressRefusal(e.err)
	case eventTimeout, eventLost:
		sentence += fmt.Sprintf(" (%s)", e.stage)
	}
	return o.error(sentence+".", ownSender)
}

// eventOf returns what happened instead of a refusal.
func eventOf(e *stageError) event {
	var dns *net.DNSError
	switch err := e.err; {
	case e.complete:
		return eventUnanswered
	case outbound.IsAddressRefused(err):
		return eventBlocked
	case errors.As(err, &dns) && dns.IsNotFound:
		return eventNoHost
	case errors.Is(err, errNoSTARTTLS):
		return eventNoSTARTTLS
	case errors.Is(err, errNoAuth), errors.Is(err, errNoMechanism):
		return eventNoLogin
	case errors.Is(err, errPlaintextAuth):
		return eventClearLogin
	case errors.Is(err, errUnsafeAuth):
		return eventUnsafeLogin
	case errors.Is(err, errNoUTF8):
		return eventNoUTF8
	case errors.Is(err, errSenderUTF8):
		return eventSenderUTF8
	case errors.Is(err, errTooBig):
		return eventTooBig
	case errors.Is(err, errTooMuch), errors.Is(err, errBadReply):
		return eventBadReply
	case e.stage == stageTLS && badCertificate(err):
		return eventCertificate
	case e.stage == stageTLS && notTLS(err):
		return eventNotTLS
	case timedOut(err):
		return eventTimeout
	}
	return eventLost
}

// error returns the error that the row describes.
func (o *outcome) error(sentence string, ownSender bool) error {
	switch o.result {
	case resultFails:
		return provider.Permanent(o.reason, sentence)
	case resultWaits:
		return provider.Misconfigured(o.reason, sentence)
	case resultDeferred:
		return provider.Deferred(o.reason, sentence, 0)
	case resultUnknown:
		return provider.Unknown(sentence)
	case resultSender:
		if ownSender {
			return provider.Permanent(o.reason, sentence)
		}
		return provider.Misconfigured(o.reason, sentence)
	}
	return provider.Transient(o.reason, sentence, 0)
}

func badCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid)
}

// notTLS reports whether a handshake failed in a way that trying again won't change.
func notTLS(err error) bool {
	var record tls.RecordHeaderError
	var operation *net.OpError
	// crypto/tls names alerts so; their type isn't exported.
	return errors.As(err, &record) || errors.As(err, &operation) && (operation.Op == "remote error" || operation.Op == "local error")
}

// addressLike is whatever could be an address or a part of one.
var addressLike = regexp.MustCompile(`\S*@\S*`)

// tidyReply makes a server's text fit to be stored and shown: one line, bounded,
// without the addresses that servers like to repeat and without the password.
func (s *Provider) tidyReply(text string) string {
	for _, secret := range []string{s.config.Password, s.config.Username} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	text = plainReply(text)
	if runes := []rune(text); len(runes) > maxReplyText {
		text = string(runes[:maxReplyText]) + "…"
	}
	return text
}
