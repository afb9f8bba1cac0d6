// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sendgrid sends email through SendGrid.
package sendgrid

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery/httpapi"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/outbound"
)

// BaseURL is SendGrid's global API. Accounts in the EU use
// https://api.eu.sendgrid.com.
const BaseURL = "https://api.sendgrid.com"

// Config is how to send through SendGrid. APIKey is required; the other zero fields
// have defaults.
type Config struct {
	// APIKey needs the scope mail.send.
	APIKey string
	// From is the sender of messages without one: jane@example.com or
	// Jane <jane@example.com>.
	From string
	// BaseURL defaults to the constant BaseURL.
	BaseURL string
	// EventKey is the verification key of SendGrid's signed event webhook, as SendGrid shows
	// it; without one, no reports are accepted.
	EventKey string
	// Reference, if not nil, returns what SendGrid's events refer to a message by.
	Reference func(m *provider.Message) string
	// Client makes the calls; one with outbound's defaults if nil.
	Client *outbound.Client
}

// Provider sends email through SendGrid's v3 API, which has no idempotency keys: a message
// whose outcome is unknown may arrive twice. The message's Key becomes the Message-ID, by
// which many mailboxes recognize a duplicate, and the custom argument rehive_delivery, by
// which the message can be found in SendGrid's activity feed and events.
type Provider struct {
	api       *httpapi.API
	from      address.Address
	eventKey  *ecdsa.PublicKey
	reference func(m *provider.Message) string
}

// CheckAPIKey returns why a text can't be an API key. Its error completes a sentence that
// begins with the name of the key.
func CheckAPIKey(key string) error {
	if !httpapi.IsHeaderValue(key) {
		return errors.New("must be the API key as SendGrid shows it: ASCII characters without spaces")
	}
	return nil
}

// New checks the configuration. It makes no call.
func New(c Config) (*Provider, error) {
	if err := CheckAPIKey(c.APIKey); err != nil {
		return nil, fmt.Errorf("the SendGrid API key %w", err)
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	p := &Provider{reference: c.Reference}
	if c.EventKey != "" {
		var err error
		if p.eventKey, err = parsePublicKey(c.EventKey); err != nil {
			return nil, err
		}
	}
	if c.From != "" {
		var err error
		if p.from, err = address.Parse(c.From); err != nil {
			return nil, fmt.Errorf("SendGrid's default sender (spec.sender) %w: write it like Shop <no-reply@shop.example>", err)
		}
	}
	var err error
	p.api, err = httpapi.New("SendGrid", c.BaseURL, c.Client, http.Header{"Authorization": {"Bearer " + c.APIKey}})
	if err != nil {
		return nil, err
	}
	return p, nil
}

type emailAddress struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

type content struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type personalization struct {
	To         []emailAddress    `json:"to"`
	CustomArgs map[string]string `json:"custom_args"`
}

type mail struct {
	Personalizations []personalization `json:"personalizations"`
	From             emailAddress      `json:"from"`
	ReplyTo          *emailAddress     `json:"reply_to,omitempty"`
	Subject          string            `json:"subject"`
	Content          []content         `json:"content"`
	Headers          map[string]string `json:"headers"`
}

// Send implements [provider.Provider]. The receipt's ID is SendGrid's X-Message-Id.
func (p *Provider) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	if err := m.CheckKey(); err != nil {
		return provider.Receipt{}, err
	}
	to, err := address.ParseBare(m.To)
	if err != nil {
		return provider.Receipt{}, provider.Permanent("RecipientInvalid", "The recipient "+err.Error()+".")
	}
	from := p.from
	if m.From != "" {
		if from, err = address.Parse(m.From); err != nil {
			return provider.Receipt{}, provider.Permanent("SenderInvalid", "The sender "+err.Error()+".")
		}
	}
	if from.IsZero() {
		return provider.Receipt{}, provider.Misconfigured("SenderMissing", "Neither the message nor the SendGrid provider names a sender.")
	}
	var replyTo *emailAddress
	if m.ReplyTo != "" {
		reply, err := address.ParseBare(m.ReplyTo)
		if err != nil {
			return provider.Receipt{}, provider.Permanent("SenderInvalid", "The reply address "+err.Error()+".")
		}
		replyTo = &emailAddress{Email: reply.Bare()}
	}
	// SendGrid requires text before HTML, and neither may be empty.
	var contents []content
	if m.Text != "" {
		contents = append(contents, content{"text/plain", m.Text})
	}
	if m.HTML != "" {
		contents = append(contents, content{"text/html", m.HTML})
	}
	if contents == nil {
		return provider.Receipt{}, provider.Permanent("MessageEmpty", "The message has neither text nor HTML.")
	}
	args := map[string]string{"rehive_delivery": m.Key}
	if p.reference != nil {
		args[referenceArg] = p.reference(&m)
	}
	headers := map[string]string{"Message-ID": "<" + m.Key + "@" + from.Domain + ">"}
	for _, header := range m.Headers() {
		headers[header.Name] = header.Value
	}
	body, err := httpapi.JSON(mail{
		Personalizations: []personalization{{
			To:         []emailAddress{{Email: to.Bare()}},
			CustomArgs: args,
		}},
		From:    emailAddress{Email: from.Bare(), Name: from.Name},
		ReplyTo: replyTo,
		Subject: m.SubjectLine(),
		Content: contents,
		Headers: headers,
	})
	if err != nil {
		return provider.Receipt{}, provider.Permanent("MessageInvalid", "The message can't be written as JSON.")
	}
	resp, err := p.api.Call(ctx, http.MethodPost, "/v3/mail/send", "application/json", body)
	if err != nil {
		return provider.Receipt{}, err
	}
	// SendGrid answers 202. A 200 or 201 with the number of a message comes from something in
	// between, and to send again would be to send twice.
	if resp.Status == http.StatusAccepted || resp.Status/100 == 2 && resp.Header.Get("X-Message-Id") != "" {
		return provider.Receipt{ID: httpapi.ReceiptID(resp.Header.Get("X-Message-Id"))}, nil
	}
	return provider.Receipt{}, p.refusal(resp, m.OwnSender)
}

// Check reads which scopes the API key has.
func (p *Provider) Check(ctx context.Context) error {
	var scopes struct {
		Scopes []string `json:"scopes"`
	}
	if err := p.api.Read(ctx, "/v3/scopes", &scopes, p.refusalToRead); err != nil {
		return err
	}
	if !slices.Contains(scopes.Scopes, "mail.send") {
		return provider.Misconfigured("MissingScope", "The SendGrid API key lacks the scope mail.send.")
	}
	return nil
}

// Phrases, in lower case, of refusals that are about the account and not the message.
// SendGrid has no codes for them.
var (
	quotaExceeded = regexp.MustCompile(`credits exceeded|(insufficient|not enough|out of|no|all (of )?your) credits|over (your |the )?quota|maximum (number|amount) of (emails|messages|credits)|` +
		`(sending|email|daily|monthly|plan) (limit|quota)|exceeded (your|the|its) .{0,40}(limit|quota|plan|emails|messages|credits)|(limit|quota) (exceeded|reached)|reached (your|the) .{0,40}(limit|quota)`)
	// otherLimits are those of a message, and those that pass by themselves.
	otherLimits     = regexp.MustCompile(`(rate|request|size|length|characters?|recipients?|attachments?) (limit|quota)s?|too many requests`)
	accountInactive = regexp.MustCompile(`(account|subuser) .{0,60}(suspended|disabled|deactivated|banned|frozen|restricted|review|not (been )?(activated|provisioned|verified|approved)|(is|are) not active|inactive|past due|temporarily limited)|user is (banned|suspended|disabled)|payment (is )?required|` +
		`(suspended|disabled|deactivated|blocked|banned|restricted) .{0,60}account|sending .{0,40}(suspended|disabled|deactivated|paused)|verify your account|authori[sz]ed to send (mail|e-?mails?)\b|` +
		`trial .{0,40}(expired|ended)|upgrade your (account|plan)`)
	credentialsRefused = regexp.MustCompile(`(invalid|unknown|missing|revoked|expired|disabled) api[ -]?key|api[ -]?key .{0,40}(invalid|revoked|expired|disabled|not exist)|wrong credentials|bad username|authorization grant|` +
		`permission denied|access forbidden|authori[sz]ation required|authentication required|2fa|unauthorized scopes|two-factor authentication|ip address is not (whitelisted|allowed)`)
	senderRefused = regexp.MustCompile(`sender identity|verified sender|unverified|from (address|e-?mail|domain)|authori[sz]ed to send (from|to this domain)|permission to send (from|as)|sender .{0,60}(not owned|not allowed|rejected|not verified)|domain .{0,60}(not verified|not authenticated)`)
)

// fieldName matches a field of our own request, the only part of an answer that may be
// repeated.
var fieldName = regexp.MustCompile(`^[a-z][a-z0-9_.\[\]]{0,60}$`)

// refusal classes an answer other than success. If the rule chose the sender, a refused
// sender is an error of that rule, else one of the configuration.
func (p *Provider) refusal(resp *outbound.Response, ownSender bool) error {
	// If the answer is not JSON, its status decides.
	var field, message string
	for _, e := range errorsOf(resp.Body) {
		message += strings.ToLower(e.Message) + "\n"
		if field == "" && fieldName.MatchString(e.Field) {
			field = e.Field
		}
	}
	refused := resp.Status == http.StatusBadRequest || resp.Status == http.StatusForbidden
	passing := otherLimits.MatchString(message)
	message = otherLimits.ReplaceAllString(message, "")
	switch {
	case resp.Status == http.StatusTooManyRequests && passing:
	case resp.Status < 500 && quotaExceeded.MatchString(message):
		return provider.Misconfigured("QuotaExceeded", "SendGrid's quota of emails is used up.")
	case resp.Status < 500 && accountInactive.MatchString(message):
		return provider.Misconfigured("AccountInactive", "SendGrid has suspended the account or is reviewing it.")
	case refused && (field == "from" || strings.HasPrefix(field, "from.") || senderRefused.MatchString(message)):
		if ownSender {
			return provider.Permanent("SenderRefused", "SendGrid refuses the sender that the rule names; it is probably not verified there.")
		}
		return provider.Misconfigured("SenderRefused", "SendGrid refuses the sender; it is probably not verified there.")
	case refused && credentialsRefused.MatchString(message):
		return provider.Misconfigured("CredentialsRefused", "SendGrid refuses the API key, or it lacks a permission.")
	case refused && strings.HasPrefix(field, "personalizations") && strings.Contains(field, ".to"):
		return provider.Permanent("RecipientRefused", "SendGrid refuses the recipient's address.")
	}
	if field != "" {
		field = "field " + field
	}
	return p.api.StatusError(resp, field)
}

// refusalToRead is refusal for calls that name no sender.
func (p *Provider) refusalToRead(resp *outbound.Response) error { return p.refusal(resp, false) }

// errorsOf returns the errors that an answer names. SendGrid writes them in several forms:
// {"errors": [{"field": …, "message": …}]}, {"errors": ["…"]} and {"error": "…"}.
func errorsOf(body []byte) httpapi.Texts {
	var answer struct {
		Errors  httpapi.Texts `json:"errors"`
		Error   httpapi.Texts `json:"error"`
		Message httpapi.Texts `json:"message"`
	}
	var list httpapi.Texts
	if httpapi.Decode(body, &answer) != nil {
		_ = httpapi.Decode(body, &list)
	}
	return slices.Concat(answer.Errors, answer.Error, answer.Message, list)
}
