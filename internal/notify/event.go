// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// Company is what a template reads as context.company.
type Company struct {
	// ID is the company's identifier on Rehive.
	ID string
	// Name is the company's display name.
	Name string
	// SystemEmail is where the company's messages come from.
	SystemEmail string
	// Logo and Website are addresses, and SupportEmail is an email address; each may be
	// empty. Rehive's own extension doesn't have them.
	Logo, Website, SupportEmail string
	// PushDisabled says that the company's users get no push messages. Templates
	// don't read it.
	PushDisabled bool
}

// Event is one occurrence on the platform, parsed once for all the rules that
// are to judge it. It is for one goroutine.
type Event struct {
	// Name is the event's name, such as transaction.execute.
	Name string
	// Company is the company that the event belongs to.
	Company Company
	// Age is how long ago the event was received; 0 if that does not matter.
	Age time.Duration
	// OptedOut, if it isn't nil, returns, by user, the UIDs of the rules whose
	// messages the user doesn't want. It is called when a rule that lets users choose
	// is about to send, and once for each user; its error is taken to pass. Where it
	// is nil, nobody opted out.
	OptedOut func(ctx context.Context, users []string) (map[string][]string, error)
	// Compute, if it isn't nil, runs work that only computes: an expression, or the
	// templates of a message. It may wait for its turn, and bounds the time by the
	// context that it gives to work, which may be called more than once. It returns
	// ErrTooSlow or ErrEventTooSlow if work can't end in time, which is final; other
	// errors are passing.
	Compute func(ctx context.Context, work func(context.Context) error) error

	// Trace, if it isn't nil, is overwritten by each rule that is decided with how that
	// came about.
	Trace *Trace

	optedOut map[string][]string // of the users that were asked for
	data     *python.Dict
	computed func(context.Context) (*python.Dict, error)
	complete *python.Dict // data with computed, once it was asked for
	now      time.Time
}

// Errors of [Event.Compute].
var (
	// ErrTooSlow says that a rule takes longer for the event than it may.
	ErrTooSlow = errors.New("it takes too long")
	// ErrEventTooSlow says that the rules together took longer than they may.
	ErrEventTooSlow = errors.New("the rules of the event take too long together")
)

// MaxValues is how many values the data of an event may hold, with the names of
// members. Rehive's largest resources have some hundreds.
const MaxValues = 100_000

// ErrTooManyValues says that an event's data holds more than [MaxValues].
var ErrTooManyValues = fmt.Errorf("the event's data holds more than %d values", MaxValues)

// DataCost returns approximately how many bytes of memory an event with that data needs
// while it is evaluated, without parsing it. The error is ErrTooManyValues or nil.
func DataCost(data []byte) (int64, error) {
	if len(data) <= smallData {
		return MaxDataCost(len(data)), nil
	}
	values, cost := python.JSONCost(data)
	cost += dataCopies * int64(len(data))
	if values > MaxValues {
		return cost, ErrTooManyValues
	}
	return cost, nil
}

const (
	// smallData is the length up to which counting costs more than it gains.
	smallData = 8 << 10
	// dataCopies counts the JSON text, and the copy that its values share.
	dataCopies = 2
	// maxByteCost and maxValueCost are the most that a byte of JSON and a value
	// without its text can take when they are parsed.
	maxByteCost, maxValueCost = 47, 140
)

// MaxDataCost is the most that [DataCost] can return for data of a length that holds
// no more than [MaxValues].
func MaxDataCost(length int) int64 {
	n := int64(length)
	return dataCopies*n + min(maxByteCost*n, 2*n+maxValueCost*MaxValues)
}

// CheckData returns ErrTooManyValues if the data holds too many values. It looks at
// nothing if the data is too short for that.
func CheckData(data []byte) error {
	if len(data) <= MaxValues {
		return nil
	}
	_, err := DataCost(data)
	return err
}

// compute runs work as [Event.Compute] says.
func (e *Event) compute(ctx context.Context, work func(context.Context) error) error {
	if e.Compute == nil {
		return work(ctx)
	}
	return e.Compute(ctx, work)
}

// Names in a template's context that are not the event's own data. They win
// over keys of the same name in the data.
const (
	contextKey  = "context"
	computedKey = "computed"
)

// NewEvent parses the data of an event: the JSON of a webhook's "data". Data that is not
// a JSON object has no names for templates to read, and is treated as empty. now is the
// time that all rules of the event see.
//
// computed returns the values that templates read as "computed". It is called when a rule
// reads them, and not again once it has succeeded; its errors are treated as temporary.
func NewEvent(name string, company Company, data []byte, now time.Time, computed func(context.Context) (*python.Dict, error)) (*Event, error) {
	value, err := python.FromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("reading the event's data: %w", err)
	}
	parsed, ok := value.(*python.Dict)
	if !ok {
		parsed = python.NewDict(1)
	}
	info := python.NewDict(6)
	info.SetStr("id", python.Str(company.ID))
	info.SetStr("name", python.Str(company.Name))
	info.SetStr("system_email", python.Str(company.SystemEmail))
	info.SetStr("logo", python.Str(company.Logo))
	info.SetStr("website", python.Str(company.Website))
	info.SetStr("support_email", python.Str(company.SupportEmail))
	root := python.NewDict(1)
	root.SetStr("company", info)
	parsed.SetStr(contextKey, root)
	return &Event{Name: name, Company: company, data: parsed, computed: computed, now: now}, nil
}

// values returns what templates read: the event's data and context and, if it
// is asked for, computed.
func (e *Event) values(ctx context.Context, computed bool) (*python.Dict, error) {
	if !computed || e.computed == nil {
		return e.data, nil
	}
	if e.complete != nil {
		return e.complete, nil
	}
	answer, err := e.computed(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what the rule uses as computed: %w", err)
	}
	e.complete, err = with(e.data, computedKey, answer)
	return e.complete, err
}

// user returns the identifier of the user that the event's data is about; empty if
// it names none. Rehive nests it in most resources, names it at the top where the
// resource is the user itself, and has the transaction in a transition.
func (e *Event) user() string {
	data := e.data
	if strings.HasPrefix(e.Name, "transaction.transition.") {
		data = dict(data, "transaction")
	}
	if id := userID(dict(data, "user")); id != "" {
		return id
	}
	if strings.HasPrefix(e.Name, "user.") {
		return userID(data)
	}
	return ""
}

// dict returns the object that a key has in an object, which may be nil; nil if it
// has none.
func dict(data *python.Dict, key string) *python.Dict {
	if data == nil {
		return nil
	}
	value, _ := data.GetStr(key)
	found, _ := value.(*python.Dict)
	return found
}

func userID(data *python.Dict) string {
	if data == nil {
		return ""
	}
	value, _ := data.GetStr("id")
	id, ok := value.(python.Str)
	if !ok || !isUser(string(id)) {
		return ""
	}
	return strings.ToLower(string(id))
}

// askUsers makes sure that it is known what the users want.
func (e *Event) askUsers(ctx context.Context, users []string) error {
	users = slices.DeleteFunc(users, func(user string) bool {
		_, known := e.optedOut[user]
		return known || user == ""
	})
	if e.OptedOut == nil || len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	users = slices.Compact(users)
	out, err := e.OptedOut(ctx, users)
	if err != nil {
		return fmt.Errorf("reading what users opted out of: %w", err)
	}
	if e.optedOut == nil {
		e.optedOut = make(map[string][]string, len(users))
	}
	for _, user := range users {
		e.optedOut[user] = nil
	}
	maps.Copy(e.optedOut, out)
	return nil
}
