// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providertest

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"strings"
)

// NewSendGrid is a fake of SendGrid's v3 API.
func NewSendGrid(apiKey string) *API { return newAPI(sendGrid{apiKey}) }

type sendGrid struct{ key string }

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s sendGrid) authorized(r *http.Request) bool {
	return same(r.Header.Get("Authorization"), "Bearer "+s.key)
}

func sendGridErrors(status int, field, message string) answer {
	e := map[string]any{"message": message, "field": nil, "help": "https://example.com/help"}
	if field != "" {
		e["field"] = field
	}
	return answer{status: status, body: map[string]any{"errors": []any{e}}}
}

func (s sendGrid) send(r *http.Request, body []byte, n int) ([]Received, answer, bool) {
	if r.Method != http.MethodPost || r.URL.Path != "/v3/mail/send" {
		return nil, answer{}, false
	}
	var m struct {
		Personalizations []struct {
			To         []struct{ Email, Name string }
			CustomArgs map[string]string `json:"custom_args"`
		}
		From    struct{ Email, Name string }
		ReplyTo struct{ Email string } `json:"reply_to"`
		Subject string
		Content []struct{ Type, Value string }
		Headers map[string]string
	}
	refuse := func(field, message string) ([]Received, answer, bool) {
		return nil, sendGridErrors(http.StatusBadRequest, field, message), true
	}
	if err := json.Unmarshal(body, &m); err != nil || r.Header.Get("Content-Type") != "application/json" {
		return refuse("", "Bad Request")
	}
	if len(m.Personalizations) != 1 || len(m.Personalizations[0].To) != 1 {
		return refuse("personalizations", "The personalizations field is required and must have at least one personalization.")
	}
	to := m.Personalizations[0].To[0]
	if _, err := mail.ParseAddress(to.Email); err != nil {
		return refuse("personalizations.0.to.0.email", "Does not contain a valid address.")
	}
	if _, err := mail.ParseAddress(m.From.Email); err != nil {
		return refuse("from.email", "Does not contain a valid address.")
	}
	if m.Subject == "" {
		return refuse("subject", "The subject is required.")
	}
	if len(m.Content) == 0 {
		return refuse("content", "The content is required.")
	}
	for name, value := range m.Headers {
		if strings.ContainsAny(name+value, "\r\n") {
			return refuse("headers", "Invalid header.")
		}
	}
	got := Received{
		Key: m.Personalizations[0].CustomArgs["rehive_delivery"], From: strings.TrimSpace(m.From.Name + " <" + m.From.Email + ">"), To: to.Email, Subject: m.Subject,
		ReplyTo: m.ReplyTo.Email, ListUnsubscribe: m.Headers["List-Unsubscribe"], ListUnsubscribePost: m.Headers["List-Unsubscribe-Post"], BIMISelector: m.Headers["BIMI-Selector"],
	}
	for i, c := range m.Content {
		switch {
		case c.Value == "":
			return refuse(fmt.Sprintf("content.%d.value", i), "The content value must be a string at least one character in length.")
		case c.Type == "text/plain" && i == 0:
			got.Text = c.Value
		case c.Type == "text/html":
			got.HTML = c.Value
		default:
			return refuse("content", "If present, text/plain must be first, followed by text/html.")
		}
	}
	return []Received{got}, answer{status: http.StatusAccepted, header: map[string]string{"X-Message-Id": fmt.Sprintf("fake-%d", n)}}, true
}

func (s sendGrid) other(r *http.Request, _ []byte) answer {
	if r.Method == http.MethodGet && r.URL.Path == "/v3/scopes" {
		return answer{status: http.StatusOK, body: map[string]any{"scopes": []string{"mail.batch.read", "mail.send"}}}
	}
	return sendGridErrors(http.StatusNotFound, "", "not found")
}

func (s sendGrid) refused(body []byte) answer {
	return sendGridErrors(http.StatusBadRequest, "personalizations.0.to.0.email", string(body))
}

func (s sendGrid) unauthorized(body []byte) answer {
	return sendGridErrors(http.StatusUnauthorized, "", "The provided authorization grant is invalid "+s.key+string(body))
}

func (s sendGrid) throttled(body []byte) answer {
	return sendGridErrors(http.StatusTooManyRequests, "", "too many requests "+string(body))
}
