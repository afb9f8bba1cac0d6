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

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/python"
)

// Company is the value of context.company in templates.
type Company struct {
	// ID is the company's identifier on Rehive.
	ID string
	// Name is the company's display name.
	Name string
	// SystemEmail is the sender address of the company's messages.
	SystemEmail string
	// Logo and Website are URLs, and SupportEmail is an email address; each may be empty.
	// Rehive's own extension doesn't have them.
	Logo, Website, SupportEmail string
	// PushDisabled means that the company's users receive no push messages. It is not
	// visible in templates.
	PushDisabled bool
}

// Event is an event, parsed once for all rules that evaluate it. It is for one goroutine.
type Event struct {
	// Name is the event's name, such as transaction.execute.
	Name string
	// Company is the company that the event belongs to.
	Company Company
	// Age is how long ago the event was received; 0 if that does not matter.
	Age time.Duration
	// OptedOut, if not nil, returns the UIDs of the rules that users have opted out of, by
	// user. It is called once for each user when a rule that lets users opt out is about to
	// send; its errors are considered temporary. If nil, nobody has opted out.
	OptedOut func(ctx context.Context, users []string) (map[string][]string, error)
	// Suppressed, if not nil, returns which of some recipients of a channel receive no
	// messages, and why. It is called once for the recipients of a rule that is about to
	// send; its errors are considered temporary. If nil, nobody is suppressed.
	Suppressed func(ctx context.Context, channel Channel, recipients []string) (map[string]Suppression, error)
	// Languages, if it isn't nil, returns, by user, the language tags of users whose
	// language the event's data doesn't have; users may be missing. It is called when a
	// rule with translations is about to send, and once for each user; its error is treated
	// as temporary.
	Languages func(ctx context.Context, users []string) (map[string]string, error)
	// UnsubscribeURL, if not nil, returns the URL by which a user opts out of the messages of
	// the rule that is being evaluated; empty if there is none.
	UnsubscribeURL func(user string) string
	// TestMode limits the recipients; nil if the company is not in test mode.
	TestMode TestMode
	// Compute, if not nil, runs CPU-bound work: an expression, or the templates of a
	// message. It may wait for a free CPU, and limits the time with the context that it
	// passes to work, which it may call more than once. It returns ErrTooSlow or
	// ErrEventTooSlow if work can't finish in time, which is final; other errors are
	// temporary.
	Compute func(ctx context.Context, work func(context.Context) error) error

	// Trace, if not nil, is overwritten by each evaluated rule with a trace of its
	// decision.
	Trace *Trace

	optedOut   map[string][]string          // results of OptedOut
	suppressed map[recipientKey]Suppression // results of Suppressed
	languages  map[string]string            // language tags by user; nil until a rule needs one
	testAllows map[recipientKey]bool        // results of TestMode.Allows
	data       *python.Dict
	computed   func(context.Context) (*python.Dict, error)
	complete   *python.Dict // data with computed, once it was read
	now        time.Time
	to         *addressee // of a digest, which has one recipient; nil for other events
}

// Suppression is why a recipient receives no messages.
type Suppression struct {
	// Reason is one CamelCase word.
	Reason string
	// Hard means that a message can't arrive.
	Hard bool
}

// recipientKey is a recipient of a channel.
type recipientKey struct {
	channel   Channel
	recipient string
}

// TestMode knows the recipients of a company that is in test mode on Rehive.
type TestMode interface {
	// Allows reports whether messages may be sent to a recipient. Its error is considered
	// temporary.
	Allows(ctx context.Context, channel v1alpha1.Channel, recipient string) (bool, error)
	// RedirectTo returns who receives the messages to other recipients; empty if nobody does.
	RedirectTo(channel v1alpha1.Channel) string
}

// Errors of [Event.Compute].
var (
	// ErrTooSlow means that a rule takes too long for the event.
	ErrTooSlow = errors.New("it takes too long")
	// ErrEventTooSlow means that the rules of the event took too long in total.
	ErrEventTooSlow = errors.New("the rules of the event take too long together")
)

// MaxValues is how many values the data of an event may contain, including the names of
// members. Rehive's largest resources have a few hundred.
const MaxValues = 100_000

// ErrTooManyValues means that an event's data contains more than [MaxValues].
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
	// smallData is the length up to which counting isn't worth the cost.
	smallData = 8 << 10
	// dataCopies is the number of copies of the JSON text: the original and the one that
	// values share.
	dataCopies = 2
	// maxByteCost and maxValueCost are the maximum memory of a parsed byte of JSON, and of
	// a value without its text.
	maxByteCost, maxValueCost = 47, 140
)

// MaxDataCost returns the maximum of [DataCost] for data of a length with at most
// [MaxValues] values.
func MaxDataCost(length int) int64 {
	n := int64(length)
	return dataCopies*n + min(maxByteCost*n, 2*n+maxValueCost*MaxValues)
}

// CheckData returns ErrTooManyValues if the data contains too many values. It skips data
// that is too short for that.
func CheckData(data []byte) error {
	if len(data) <= MaxValues {
		return nil
	}
	_, err := DataCost(data)
	return err
}

// compute runs work with [Event.Compute].
func (e *Event) compute(ctx context.Context, work func(context.Context) error) error {
	if e.Compute == nil {
		return work(ctx)
	}
	return e.Compute(ctx, work)
}

// Names in a template's context that are not part of the event's data. They take precedence
// over keys with the same name in the data.
const (
	contextKey = "context"
	// unsubscribeKey is a member of context.
	unsubscribeKey = "unsubscribe_url"
	computedKey    = "computed"
)

// NewEvent parses the data of an event: the JSON of a webhook's "data". Data that is not a
// JSON object is treated as empty. now is the current time for all rules of the event.
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
	root := python.NewDict(2)
	root.SetStr("company", info)
	root.SetStr(unsubscribeKey, python.Str(""))
	parsed.SetStr(contextKey, root)
	return &Event{Name: name, Company: company, data: parsed, computed: computed, now: now}, nil
}

// values returns the variables of templates: the event's data, context and, if requested,
// computed.
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

// user returns the identifier of the user that the event's data is about, or "". Rehive
// nests it in most resources and in the transaction of a transition; if the resource is the
// user itself, it is at the top.
func (e *Event) user() string {
	if e.to != nil {
		return e.to.user
	}
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

// dict returns the object at a key of an object, which may be nil, or nil.
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

// loadOptOuts makes sure that the users' opt-outs are known.
func (e *Event) loadOptOuts(ctx context.Context, users []string) error {
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
		return fmt.Errorf("reading users' preferences: %w", err)
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

// loadSuppressed adds which of some recipients are suppressed.
func (e *Event) loadSuppressed(ctx context.Context, channel Channel, recipients []string) error {
	if len(recipients) == 0 {
		return nil
	}
	found, err := e.Suppressed(ctx, channel, recipients)
	if err != nil {
		return fmt.Errorf("reading the suppression list: %w", err)
	}
	if len(found) > 0 && e.suppressed == nil {
		e.suppressed = make(map[recipientKey]Suppression, len(found))
	}
	for recipient, s := range found {
		e.suppressed[recipientKey{channel, recipient}] = s
	}
	return nil
}
