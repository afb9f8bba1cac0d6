// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// sending holds the fields of a message about whether it is sent in spite of a suppression or an
// unknown outcome.
type sending struct {
	ignoreSuppressions bool
	onUnknownOutcome   string
}

// throttle is the form of the field throttle.
type throttle struct {
	Messages int32  `json:"messages"`
	Per      string `json:"per"`
}

// fallback is the form of the field fallback.
type fallback struct {
	Notification  int64  `json:"notification"`
	IfUnreadAfter string `json:"if_unread_after,omitempty"`
}

const defaultOnUnknownOutcome = string(v1alpha1.RetryUnknownOutcome)

// sendingFields returns the fields that notifications and templates share.
func sendingFields[T any](at func(*T) *sending) []rest.Field[T] {
	return []rest.Field[T]{
		rest.Boolean("ignore_suppressions", func(t *T) *bool { return &at(t).ignoreSuppressions }).
			Describe("Whether messages are also sent to recipients who reported spam, asked for no more messages or were suppressed by an admin."),
		rest.Char("on_unknown_outcome", func(t *T) *string { return &at(t).onUnknownOutcome }).
			Choices(defaultOnUnknownOutcome, string(v1alpha1.StopUnknownOutcome)).
			Describe("Whether a message that the provider may or may not have accepted is sent once more."),
	}
}

// decodeStrictly decodes an object whose members are all known.
func decodeStrictly(value json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func isThrottle(value json.RawMessage) string {
	if message := rest.IsObject(value); message != "" {
		return message
	}
	var t throttle
	if decodeStrictly(value, &t) != nil || t.Messages < 1 || t.Per == "" || len(t.Per) > maxDuration {
		return `A throttle has the number of messages, from 1 to 1000, and the period, such as {"messages": 5, "per": "1h"}.`
	}
	return ""
}

func isFallback(value json.RawMessage) string {
	if message := rest.IsObject(value); message != "" {
		return message
	}
	var f fallback
	if decodeStrictly(value, &f) != nil || f.Notification < 1 || len(f.IfUnreadAfter) > maxDuration {
		return `A fallback has the id of another notification and may have a duration, such as {"notification": 1, "if_unread_after": "5m"}.`
	}
	return ""
}

// readSending returns the fields of a rule or template.
func readSending(spec *v1alpha1.NotificationSpec) sending {
	return sending{spec.IgnoreSuppressions, cmp.Or(string(spec.OnUnknownOutcome), defaultOnUnknownOutcome)}
}

// fill stores the fields in a rule.
func (s *sending) fill(spec *v1alpha1.NotificationSpec) {
	spec.IgnoreSuppressions = s.ignoreSuppressions
	if spec.OnUnknownOutcome != "" || s.onUnknownOutcome != defaultOnUnknownOutcome {
		spec.OnUnknownOutcome = v1alpha1.UnknownOutcomePolicy(s.onUnknownOutcome)
	}
}

// readThrottle returns a rule's throttle in the API's form.
func readThrottle(t *v1alpha1.Throttle) json.RawMessage {
	if t == nil {
		return nil
	}
	encoded, _ := json.Marshal(throttle{t.Messages, t.Per}) // can't fail
	return encoded
}

// ruleThrottle is the reverse of readThrottle.
func ruleThrottle(value json.RawMessage) *v1alpha1.Throttle {
	if len(value) == 0 {
		return nil
	}
	var t throttle
	_ = json.Unmarshal(value, &t) // checked when it was received
	return &v1alpha1.Throttle{Messages: t.Messages, Per: t.Per}
}

// readFallback returns which notification stands in for the one of a rule, in the API's form.
func readFallback(company string, rule *v1alpha1.NotificationRule) json.RawMessage {
	f := rule.Spec.Fallback
	if f == nil {
		return nil
	}
	encoded, _ := json.Marshal(fallback{notifications.Number(company, rule.Namespace+"/"+f.Name), f.IfUnreadAfter}) // can't fail
	return encoded
}

// resolveFallback finds the rule of the notification that the field fallback names. It returns
// an error for the field if the notification doesn't exist or can't stand in for this one.
func (n *notification) resolveFallback(all notifications.All) *rest.FieldError {
	if bytes.Equal(n.fallback, n.storedFallback) {
		return nil
	}
	n.fallbackTo = nil
	if len(n.fallback) == 0 {
		return nil
	}
	invalid := func(format string, args ...any) *rest.FieldError {
		return &rest.FieldError{Field: "fallback", Messages: []string{fmt.Sprintf(format, args...)}}
	}
	var f fallback
	_ = json.Unmarshal(n.fallback, &f) // checked when it was received
	found, ok := all.ByID(f.Notification)
	switch {
	case !ok:
		return invalid("Invalid pk \"%d\" - object does not exist.", f.Notification)
	case found.ID == n.id:
		return invalid("A notification can't stand in for itself.")
	case f.IfUnreadAfter != "" && n.kind != string(v1alpha1.ChannelSystem) && (n.kind != string(v1alpha1.ChannelPush) || !n.systemEnabled):
		return invalid("Only messages in the inbox are known to be read, so if_unread_after needs the type system, or the type push with system_enabled.")
	}
	n.fallbackTo = &v1alpha1.RuleFallback{Name: found.Rule.Name, IfUnreadAfter: f.IfUnreadAfter}
	return nil
}
