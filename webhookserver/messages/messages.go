// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package messages converts the ledger's messages to the form that the admin and user API
// share.
package messages

import (
	"context"
	"errors"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// Texts are the texts of a message. A channel uses some of them.
type Texts struct {
	Subject, Text, HTML, SMS, Push string
	// ContentSID and ContentVariables are set for an SMS that is sent through WhatsApp.
	ContentSID, ContentVariables string
}

// TextsOf returns the texts of a delivery.
func TextsOf(d *ledger.Delivery) Texts {
	t := Texts{Subject: d.Content.Subject}
	switch d.Channel {
	case ledger.ChannelSMS:
		t.SMS = d.Content.Text
		t.ContentSID, t.ContentVariables = d.Content.SMS.ContentSID, d.Content.SMS.ContentVariables
	case ledger.ChannelPush:
		t.Push = d.Content.Text
	default:
		t.Text, t.HTML = d.Content.Text, d.Content.HTML
	}
	return t
}

// TextFields returns the fields for a T's texts.
func TextFields[T any](at func(*T) *Texts) []rest.Field[T] {
	text := func(name string, field func(*Texts) *string) rest.Field[T] {
		return rest.Text(name, func(t *T) *string { return field(at(t)) }).Nullable().ReadOnly()
	}
	return []rest.Field[T]{
		text("subject", func(t *Texts) *string { return &t.Subject }),
		text("text_message", func(t *Texts) *string { return &t.Text }),
		text("html_message", func(t *Texts) *string { return &t.HTML }),
		text("sms_message", func(t *Texts) *string { return &t.SMS }),
		text("push_message", func(t *Texts) *string { return &t.Push }),
		text("whatsapp_content_sid", func(t *Texts) *string { return &t.ContentSID }),
		text("whatsapp_variables", func(t *Texts) *string { return &t.ContentVariables }),
	}
}

// Error converts an error of the ledger to an answer.
func Error(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ledger.ErrNotFound):
		return rest.NotFound()
	case errors.Is(err, ledger.ErrPending):
		return rest.Conflict("This message has not been sent yet.")
	case errors.Is(err, ledger.ErrMasked):
		return rest.Conflict("This message is sensitive and was masked, so it can't be sent again. Trigger a new one instead, for example by requesting another code or link.")
	case errors.Is(err, ledger.ErrNoMessage):
		return rest.InvalidField(nil, rest.NonFieldErrors, "There is no message to send: see error_message.")
	case errors.Is(err, context.DeadlineExceeded):
		return rest.Unavailable(err, "The log could not be searched in time. Narrow the search, by created__gt for instance, or try again later.")
	case errors.Is(err, ledger.ErrUnavailable):
		return rest.Unavailable(err, "The log is not available. Try again later.")
	}
	return rest.Internal(err)
}
