// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/outbound"
)

// SendGridBaseURL is SendGrid's global API. Accounts in the EU use
// https://api.eu.sendgrid.com.
const SendGridBaseURL = "https://api.sendgrid.com"

// SendGridConfig is how to send through SendGrid. APIKey is needed; the other zero
// fields have defaults.
type SendGridConfig struct {
	// APIKey needs the scope mail.send.
	APIKey string
	// From is the sender of messages that name none: jane@example.com or
	// Jane <jane@example.com>.
	From string
	// BaseURL is SendGridBaseURL if empty.
	BaseURL string
	// Client makes the calls; one with outbound's defaults if nil.
	Client *outbound.Client
}

// SendGrid sends e-mail through SendGrid's v3 API. SendGrid has no idempotency
// keys: a message whose outcome is unknown may arrive twice. The message's Key goes
// along as Message-ID, by which many mailboxes drop the second, and as custom
// argument rehive_delivery, by which it is found in SendGrid's activity and events.
type SendGrid struct {
	api  *api
	from address.Address
}

// NewSendGrid checks the configuration. It makes no call.
func NewSendGrid(c SendGridConfig) (*SendGrid, error) {
	if !headerValue(c.APIKey) {
		return nil, errors.New("the SendGrid API key is empty or has characters that no API key has")
	}
	if c.BaseURL == "" {
		c.BaseURL = SendGridBaseURL
	}
	s := &SendGrid{}
	if c.From != "" {
		var err error
		if s.from, err = address.Parse(c.From); err != nil {
			return nil, fmt.Errorf("SendGrid's default sender: %w", err)
		}
	}
	var err error
	s.api, err = newAPI("SendGrid", c.BaseURL, c.Client, http.Header{"Authorization": {"Bearer " + c.APIKey}})
	if err != nil {
		return nil, err
	}
	return s, nil
}

type sendGridAddress struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

type sendGridContent struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type sendGridPersonalization struct {
	To         []sendGridAddress `json:"to"`
	CustomArgs map[string]string `json:"custom_args"`
}

type sendGridMail struct {
	Personalizations []sendGridPersonalization `json:"personalizations"`
	From             sendGridAddress           `json:"from"`
	ReplyTo          *sendGridAddress          `json:"reply_to,omitempty"`
	Subject          string                    `json:"subject"`
	Content          []sendGridContent         `json:"content"`
	Headers          map[string]string         `json:"headers"`
}

// Send implements [Provider]. The receipt's ID is SendGrid's X-Message-Id.
func (s *SendGrid) Send(ctx context.Context, m Message) (Receipt, error) {
	if err := checkKey(m.Key); err != nil {
		return Receipt{}, err
	}
	to, err := address.ParseBare(m.To)
	if err != nil {
		return Receipt{}, Permanent("RecipientInvalid", "The recipient "+err.Error()+".")
	}
	from := s.from
	if m.From != "" {
		if from, err = address.Parse(m.From); err != nil {
			return Receipt{}, Permanent("SenderInvalid", "The sender "+err.Error()+".")
		}
	}
	if from.IsZero() {
		return Receipt{}, Misconfigured("SenderMissing", "Neither the message nor the SendGrid provider names a sender.")
	}
	var replyTo *sendGridAddress
	if m.ReplyTo != "" {
		reply, err := address.ParseBare(m.ReplyTo)
		if err != nil {
			return Receipt{}, Permanent("SenderInvalid", "The address for replies "+err.Error()+".")
		}
		replyTo = &sendGridAddress{Email: reply.Bare()}
	}
	// SendGrid wants text before HTML, and neither empty.
	var content []sendGridContent
	if m.Text != "" {
		content = append(content, sendGridContent{"text/plain", m.Text})
	}
	if m.HTML != "" {
		content = append(content, sendGridContent{"text/html", m.HTML})
	}
	if content == nil {
		return Receipt{}, Permanent("MessageEmpty", "The message has neither text nor HTML.")
	}
	body, err := toJSON(sendGridMail{
		Personalizations: []sendGridPersonalization{{
			To:         []sendGridAddress{{Email: to.Bare()}},
			CustomArgs: map[string]string{"rehive_delivery": m.Key},
		}},
		From:    sendGridAddress{Email: from.Bare(), Name: from.Name},
		ReplyTo: replyTo,
		Subject: tidySubject(m.Subject),
		Content: content,
		Headers: map[string]string{"Message-ID": "<" + m.Key + "@" + from.Domain + ">"},
	})
	if err != nil {
		return Receipt{}, Permanent("MessageInvalid", "The message can't be written as JSON.")
	}
	resp, err := s.api.call(ctx, http.MethodPost, "/v3/mail/send", "application/json", body)
	if err != nil {
		return Receipt{}, err
	}
	if resp.Status == http.StatusAccepted {
		return Receipt{ID: receiptID(resp.Header.Get("X-Message-Id"))}, nil
	}
	return Receipt{}, s.refusal(resp, m.OwnSender)
}

// Check asks SendGrid what the API key may do.
func (s *SendGrid) Check(ctx context.Context) error {
	resp, err := s.api.call(ctx, http.MethodGet, "/v3/scopes", "", nil)
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return s.refusal(resp, false)
	}
	var scopes struct {
		Scopes []string `json:"scopes"`
	}
	if err := json.Unmarshal(resp.Body, &scopes); err != nil {
		return Transient("UnexpectedAnswer", "SendGrid answered with something that isn't its API's.", 0)
	}
	if !slices.Contains(scopes.Scopes, "mail.send") {
		return Misconfigured("MissingScope", "The SendGrid API key lacks the scope mail.send.")
	}
	return nil
}

// What SendGrid says, in lower case, when the account is the reason and not the
// message. It has no codes.
var (
	sendGridQuota   = regexp.MustCompile(`credits exceeded|(sending|email|daily|monthly|plan) (limit|quota)|exceeded (your|the) .{0,40}(limit|quota)`)
	sendGridAccount = regexp.MustCompile(`account .{0,60}(suspended|disabled|deactivated|banned|frozen|review)`)
)

// sendGridField is what may be repeated of an answer: a field of our own request.
var sendGridField = regexp.MustCompile(`^[a-z][a-z0-9_.\[\]]{0,60}$`)

// refusal classes an answer that isn't a success. A sender that the rule chose is that
// rule's fault; any other is a matter of configuration.
func (s *SendGrid) refusal(resp *outbound.Response, ownSender bool) error {
	var answer struct {
		Errors []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	// An answer that is no JSON leaves the status to go by.
	_ = json.Unmarshal(resp.Body, &answer)
	var field, message string
	for _, e := range answer.Errors {
		message += strings.ToLower(e.Message) + "\n"
		if field == "" && sendGridField.MatchString(e.Field) {
			field = e.Field
		}
	}
	refused := resp.Status == http.StatusBadRequest || resp.Status == http.StatusForbidden
	switch {
	case resp.Status < 500 && sendGridQuota.MatchString(message):
		return Misconfigured("QuotaExceeded", "SendGrid's quota of emails is used up.")
	case resp.Status < 500 && sendGridAccount.MatchString(message):
		return Misconfigured("AccountInactive", "SendGrid has suspended the account or is reviewing it.")
	case resp.Status == http.StatusUnavailableForLegalReasons:
		return Misconfigured("WrongRegion", "SendGrid refuses the message in this region; check the base URL.")
	case refused && (field == "from" || strings.HasPrefix(field, "from.") || strings.Contains(message, "sender identity")):
		if ownSender {
			return Permanent("SenderRefused", "SendGrid refuses the sender that the rule names; it is probably not verified there.")
		}
		return Misconfigured("SenderRefused", "SendGrid refuses the sender; it is probably not verified there.")
	case refused && strings.HasPrefix(field, "personalizations") && strings.Contains(field, ".to"):
		return Permanent("RecipientRefused", "SendGrid refuses the recipient's address.")
	}
	if field != "" {
		field = "field " + field
	}
	return s.api.statusError(resp, field)
}

// receiptID is an ID that a provider gave, if it looks like one.
func receiptID(id string) string {
	if len(id) > 128 || !headerValue(id) {
		return ""
	}
	return id
}
