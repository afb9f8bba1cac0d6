// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

// Types of the API's answers, as clients decode them.
type (
	adminLog struct {
		ID           int64   `json:"id"`
		Notification *string `json:"notification"`
		Type         string  `json:"type"`
		User         *string `json:"user"`
		Recipient    string  `json:"recipient"`
		messageTexts
		Sent         bool    `json:"sent"`
		Received     *bool   `json:"received"`
		ErrorMessage *string `json:"error_message"`
		Created      int64   `json:"created"`
		Updated      int64   `json:"updated"`
		State        string  `json:"state"`
		Reason       *string `json:"reason"`
		Attempts     int     `json:"attempts"`
		Copy         int     `json:"copy"`
		Rule         string  `json:"rule"`
		Event        string  `json:"event"`
		EventID      string  `json:"event_id"`
	}
	messageTexts struct {
		Subject     *string `json:"subject"`
		TextMessage *string `json:"text_message"`
		HTMLMessage *string `json:"html_message"`
		SMSMessage  *string `json:"sms_message"`
		PushMessage *string `json:"push_message"`
	}
	resent struct {
		Count int  `json:"count"`
		More  bool `json:"more"`
	}
	quarantinedEvent struct {
		ID           int64  `json:"id"`
		Event        string `json:"event"`
		EventID      string `json:"event_id"`
		Reason       string `json:"reason"`
		ErrorMessage string `json:"error_message"`
		Attempts     int    `json:"attempts"`
		Created      int64  `json:"created"`
		Quarantined  int64  `json:"quarantined"`
	}
	userLog struct {
		ID           int64   `json:"id"`
		Notification *string `json:"notification"`
		Type         string  `json:"type"`
		messageTexts
		Created  int64  `json:"created"`
		Updated  string `json:"updated"`
		Received bool   `json:"received"`
	}
	userNotification struct {
		ID          int64   `json:"id"`
		Name        string  `json:"name"`
		Description *string `json:"description"`
		Event       string  `json:"event"`
		Type        string  `json:"type"`
		Enabled     bool    `json:"enabled"`
	}
)
