// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtptest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// view is how a message is shown.
type view struct {
	Number     int       `json:"number"`
	From       string    `json:"from"`
	To         []string  `json:"to"`
	TLS        bool      `json:"tls"`
	ReceivedAt time.Time `json:"receivedAt"`
	Subject    string    `json:"subject,omitempty"`
	MessageID  string    `json:"messageID,omitempty"`
	Text       string    `json:"text,omitempty"`
	HTML       string    `json:"html,omitempty"`
	Error      string    `json:"error,omitempty"`
}

func (m *Message) view() view {
	v := view{Number: m.Number, From: m.From, To: m.To, TLS: m.TLS, ReceivedAt: m.ReceivedAt}
	c, err := m.Parse()
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Subject, v.MessageID, v.Text, v.HTML = c.Subject, c.Header.Get("Message-Id"), c.Text, c.HTML
	return v
}

// Handler shows the kept messages: GET /messages lists them as JSON, the newest
// first, with ?to= only those to an address; GET /messages/{number} gives one as
// it came.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /messages", func(w http.ResponseWriter, r *http.Request) {
		to := r.URL.Query().Get("to")
		views := []view{}
		messages := s.Messages()
		for i := len(messages) - 1; i >= 0 && len(views) < 100; i-- {
			v := messages[i].view()
			if to == "" || strings.Contains(strings.Join(v.To, " "), to) {
				views = append(views, v)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(map[string]any{"count": s.Count(), "messages": views})
	})
	mux.HandleFunc("GET /messages/{number}", func(w http.ResponseWriter, r *http.Request) {
		number, err := strconv.Atoi(r.PathValue("number"))
		for _, m := range s.Messages() {
			if err == nil && m.Number == number {
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				_, _ = w.Write(m.Raw)
				return
			}
		}
		http.Error(w, fmt.Sprintf("no message %q", r.PathValue("number")), http.StatusNotFound)
	})
	return mux
}
