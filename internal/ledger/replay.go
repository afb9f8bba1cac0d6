// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strconv"
	"strings"
	"time"
)

// A replay is an event of its own whose deliveries are those of another event, decided
// again. Its ID begins with the other event's key, so that an event's replays are found
// by the unique index of events.
const replayPrefix = "replay:"

// MaxReplays is how many times one event may be replayed. Each message of a replay is
// looked for among those of the event and of all its replays.
const MaxReplays = 20

// Reasons that a replay gives.
const (
	// ReasonAlreadySent: the recipient got the message before, or may have.
	ReasonAlreadySent = "AlreadySent"
	// ReasonReplayed: the message failed, and a replay of the event sends it instead.
	ReasonReplayed = "Replayed"
)

// ResendValidity is how long a message that expires is valid at least after it was sent
// again.
const ResendValidity = 24 * time.Hour

// ReplayID returns the ID of the event that replays the event with the key. Replays with
// the same name are the same replay.
func ReplayID(key int64, name string) string {
	return replayPrefix + strconv.FormatInt(key, 10) + ":" + name
}

// ReplayOf returns the key of the event that a replay with the ID decides again.
func ReplayOf(id string) (key int64, ok bool) {
	rest, ok := strings.CutPrefix(id, replayPrefix)
	number, _, found := strings.Cut(rest, ":")
	key, err := strconv.ParseInt(number, 10, 64)
	return key, ok && found && err == nil
}

// ReplayIDs returns the bounds between which the IDs of an event's replays are sorted: the
// first of them may be from, and none is before or after it.
func ReplayIDs(key int64) (from, before string) {
	prefix := replayPrefix + strconv.FormatInt(key, 10)
	return prefix + ":", prefix + ";" // the character after the colon
}

// Replay makes the completion of a claimed event that of a replay, see
// [ClaimedEvent.Replay].
type Replay struct {
	// Of is the key of the event that is decided again. It is an event of the same
	// company.
	Of int64
	// Repeat holds the IDs of deliveries of that event and of its replays. Their
	// recipients get the message again although they may have received it.
	Repeat []int64
}

// Earlier is a delivery of an event or of one of its replays.
type Earlier struct {
	ID      int64
	EventID string
	State   DeliveryState
	Reason  string
}

// Attempt is one or more attempts in a row to send a delivery that ended alike, without
// success, or were put off.
type Attempt struct {
	// First and Last are when the first and the last of them ended.
	First, Last time.Time
	Times       int
	// State is that of the delivery afterwards. Reason is one CamelCase word, Message one
	// sentence.
	State           DeliveryState
	Reason, Message string
}

// Outcome is how many deliveries of an event ended, or wait, for the same reason.
type Outcome struct {
	State  DeliveryState
	Reason string
	Count  int
}
