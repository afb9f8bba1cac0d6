// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// Expo is a fake of Expo's push API. The outcome of tokens and receipts can be set.
type Expo struct {
	*API

	accessToken string
	mu          sync.Mutex
	tickets     map[string]string // by token: a ticket's error
	receipts    map[string]string // by token: a receipt's error, or "pending"
	projects    map[string]string // by token: the Expo project
	sent        map[string]string // by ticket: the token
}

// NewExpo is a fake that demands the access token if it isn't empty.
func NewExpo(accessToken string) *Expo {
	e := &Expo{
		accessToken: accessToken, tickets: map[string]string{}, receipts: map[string]string{}, projects: map[string]string{}, sent: map[string]string{},
	}
	e.API = newAPI(e)
	return e
}

// Ticket makes the tickets for a token end with an error, such as
// DeviceNotRegistered.
func (e *Expo) Ticket(token, code string) { e.set(e.tickets, token, code) }

// Receipt makes the receipts for a token end with an error, or stay away if the
// code is pending.
func (e *Expo) Receipt(token, code string) { e.set(e.receipts, token, code) }

// Project puts a token in a project; messages to several can't be in one call.
func (e *Expo) Project(token, project string) { e.set(e.projects, token, project) }

func (e *Expo) set(m map[string]string, token, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m[token] = value
}

func (e *Expo) authorized(r *http.Request) bool {
	return e.accessToken == "" || same(r.Header.Get("Authorization"), "Bearer "+e.accessToken)
}

func expoErrors(status int, code, message string, details any) answer {
	return answer{status: status, body: map[string]any{"errors": []any{map[string]any{"code": code, "message": message, "details": details}}}}
}

func expoFailure(code, message string) map[string]any {
	return map[string]any{"status": "error", "message": message, "details": map[string]any{"error": code}}
}

func (e *Expo) send(r *http.Request, body []byte, n int) ([]Received, answer, bool) {
	if r.Method != http.MethodPost || r.URL.Path != "/--/api/v2/push/send" {
		return nil, answer{}, false
	}
	var messages []struct {
		To, Title, Body string
		Data            map[string]string
		TTL             int64
	}
	if err := json.Unmarshal(body, &messages); err != nil || len(messages) == 0 {
		return nil, expoErrors(http.StatusBadRequest, "VALIDATION_ERROR", "invalid", nil), true
	}
	if len(messages) > 100 {
		return nil, expoErrors(http.StatusBadRequest, "PUSH_TOO_MANY_NOTIFICATIONS", "too many", nil), true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	projects := map[string][]string{}
	for _, m := range messages {
		if !strings.HasPrefix(m.To, "ExponentPushToken[") && !strings.HasPrefix(m.To, "ExpoPushToken[") && uuid.Validate(m.To) != nil {
			return nil, expoErrors(http.StatusBadRequest, "VALIDATION_ERROR", m.To+" is not a token", nil), true
		}
		projects[e.projects[m.To]] = append(projects[e.projects[m.To]], m.To)
	}
	if len(projects) > 1 {
		return nil, expoErrors(http.StatusBadRequest, "PUSH_TOO_MANY_EXPERIENCE_IDS", "one project at a time", projects), true
	}
	var received []Received
	tickets := make([]any, len(messages))
	for i, m := range messages {
		switch code := e.tickets[m.To]; {
		case code != "":
			tickets[i] = expoFailure(code, m.To+" "+m.Body)
		case len(m.Title)+len(m.Body) > 4096:
			tickets[i] = expoFailure("MessageTooBig", m.Body)
		default:
			id := fmt.Sprintf("ticket-%d", n+i)
			e.sent[id] = m.To
			tickets[i] = map[string]any{"status": "ok", "id": id}
			received = append(received, Received{Key: m.Data["deliveryId"], To: m.To, Subject: m.Title, Text: m.Body, Validity: m.TTL})
		}
	}
	return received, answer{status: http.StatusOK, body: map[string]any{"data": tickets}}, true
}

func (e *Expo) other(r *http.Request, body []byte) answer {
	var asked struct{ IDs []string }
	if r.URL.Path != "/--/api/v2/push/getReceipts" || json.Unmarshal(body, &asked) != nil {
		return expoErrors(http.StatusNotFound, "NOT_FOUND", "not found", nil)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	receipts := map[string]any{}
	for _, id := range asked.IDs {
		switch token, known := e.sent[id]; {
		case !known || e.receipts[token] == "pending":
		case e.receipts[token] != "":
			receipts[id] = expoFailure(e.receipts[token], token)
		default:
			receipts[id] = map[string]any{"status": "ok"}
		}
	}
	return answer{status: http.StatusOK, body: map[string]any{"data": receipts}}
}

func (e *Expo) refused(body []byte) answer {
	return expoErrors(http.StatusBadRequest, "VALIDATION_ERROR", string(body), nil)
}

func (e *Expo) unauthorized(body []byte) answer {
	return expoErrors(http.StatusUnauthorized, "UNAUTHORIZED", e.accessToken+string(body), nil)
}

func (e *Expo) throttled(body []byte) answer {
	return expoErrors(http.StatusTooManyRequests, "TOO_MANY_REQUESTS", string(body), nil)
}
