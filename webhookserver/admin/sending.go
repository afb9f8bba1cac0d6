// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
	Messages int32            `json:"messages"`
	Per      string           `json:"per"`
	Digest   *v1alpha1.Digest `json:"digest,omitempty"`
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
		return `A throttle has the number of messages, from 1 to 1000, and the period, such as {"messages": 5, "per": "1h"}. It may have a digest, such as {"subject": "…", "text": "…"}.`
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
	encoded, _ := json.Marshal(throttle{t.Messages, t.Per, t.Digest}) // can't fail
	return encoded
}

// ruleThrottle is the reverse of readThrottle.
func ruleThrottle(value json.RawMessage) *v1alpha1.Throttle {
	if len(value) == 0 {
		return nil
	}
	var t throttle
	_ = json.Unmarshal(value, &t) // checked when it was received
	return &v1alpha1.Throttle{Messages: t.Messages, Per: t.Per, Digest: t.Digest}
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
	if chain, closed := n.chain(found, all); closed {
		return invalid("The notifications would stand in for each other in a circle: %s.", strings.Join(chain, ", "))
	} else if len(chain) > v1alpha1.MaxFallbacks+1 {
		return invalid("More than %d notifications would follow one another: %s.", v1alpha1.MaxFallbacks, strings.Join(chain, ", "))
	}
	n.fallbackTo = &v1alpha1.RuleFallback{Name: found.Rule.Name, IfUnreadAfter: f.IfUnreadAfter}
	return nil
}

// chain returns the names of the notification and of those that would stand in for it, one after
// the other, if the first of them is the given one; closed is whether the last one is among those
// before it. At most one more than allowed are returned.
func (n *notification) chain(first notifications.Notification, all notifications.All) (names []string, closed bool) {
	names, ids := []string{n.name}, []int64{n.id}
	for next, ok := first, true; ok && len(ids) <= v1alpha1.MaxFallbacks+1; {
		names = append(names, cmp.Or(next.Rule.Spec.DisplayName, next.Rule.Name))
		if slices.Contains(ids, next.ID) {
			return names, true
		}
		ids = append(ids, next.ID)
		if next.Rule.Spec.Fallback == nil {
			break
		}
		next, ok = all.ByName(next.Rule.Spec.Fallback.Name)
	}
	return names, false
}
