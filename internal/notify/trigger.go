// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"fmt"

	"github.com/rehive/extension-operator/internal/python"
)

// TriggerEvent is the name of the event with which an admin triggers one rule. Platform
// events never have this name, and rules can't use it.
const TriggerEvent = "notification:trigger"

// ReplayEvent is the name of the event with which an admin replays another event.
const ReplayEvent = "notification:replay"

// IsOwnEvent reports whether only this program creates events with a name.
func IsOwnEvent(name string) bool {
	return name == TriggerEvent || name == ReplayEvent || name == DigestEvent
}

// Replay is the data of a ReplayEvent.
type Replay struct {
	// Event is the key of the replayed event in the ledger.
	Event int64 `json:"event"`
	// Repeat are the IDs of messages in the ledger whose recipients receive them again.
	Repeat []int64 `json:"repeat,omitempty"`
}

// Trigger is the data of a TriggerEvent.
type Trigger struct {
	// Rule is the rule's namespace/name, and Channel its channel when it was triggered.
	Rule    string  `json:"rule"`
	Channel Channel `json:"channel"`
	// Data is the data for the rule's templates: a JSON object, or empty.
	Data json.RawMessage `json:"data,omitempty"`
	// Users are identifiers of users, and Groups names of groups, whose users get the
	// rule's message. Without any, the rule is evaluated once with only Data.
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

// Bounds of a Trigger.
const (
	MaxTriggerUsers  = 1000
	MaxTriggerGroups = 50
)

// userKey is where templates of a triggered rule find the user.
const userKey = "user"

// ForUser returns the event for one of several users, with the user's fields, a JSON
// object, as "user". That name wins over one in the event's own data.
func (e *Event) ForUser(user []byte) (*Event, error) {
	value, err := python.FromJSON(user)
	if err != nil {
		return nil, fmt.Errorf("reading the user: %w", err)
	}
	one := *e
	one.complete, one.optedOut, one.languages = nil, nil, nil
	one.data, err = with(e.data, userKey, value)
	return &one, err
}
