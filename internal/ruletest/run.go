// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ruletest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/internal/python"
)

const (
	// Timeout is how long the tests of one rule may take together.
	Timeout = 1500 * time.Millisecond
	// MaxData is how large the data of an event may be, in bytes of JSON.
	MaxData = 64 << 10
	// shownValue is how much of a text a failure repeats, in bytes.
	shownValue = 200
)

// Company is the company that tests use: templates read it as context.company.
var Company = notify.Company{
	ID: "northwind", Name: "Northwind", SystemEmail: "no-reply@northwind.example",
	Logo: "https://northwind.example/logo.png", Website: "https://northwind.example", SupportEmail: "support@northwind.example",
}

// UnsubscribeURL is the link that tests use: templates read it as context.unsubscribe_url.
const UnsubscribeURL = "https://notifications.example/unsubscribe/token"

// Now is the time that tests run at.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Failure is a test that fails.
type Failure struct {
	// Index and Name are those of the test.
	Index int
	Name  string
	// Message describes the difference in one sentence without a full stop.
	Message string
	// Diff shows the lines that differ, those that were expected after "- " and those that
	// were rendered after "+ "; empty if the failure is not about a text.
	Diff string
}

// Problem returns the failure as a mistake in the field of the test.
func (f *Failure) Problem() notify.Problem {
	return notify.Problem{Field: Field(f.Index), Message: fmt.Sprintf("the test %q fails: %s", f.Name, f.Message)}
}

// Field is the path of a test in its rule.
func Field(index int) string { return fmt.Sprintf("spec.tests[%d]", index) }

// Result is the result of the tests of a rule.
type Result struct {
	Tests    int
	Failures []Failure
	// Unfinished says that the tests took too long, or that ctx ended. Failures are then
	// incomplete.
	Unfinished bool
}

// Run runs tests of a rule for an event, disabled or not. Nothing is run if the rule or its
// layout has problems.
func Run(ctx context.Context, tests []v1alpha1.RuleTest, event string, compiled *notify.Compiled) Result {
	result := Result{Tests: len(tests)}
	if compiled.Rule == nil || compiled.LayoutProblem != nil {
		result.Tests = 0
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	for i := range tests {
		failure, err := run(ctx, &tests[i], event, compiled)
		if err != nil {
			result.Unfinished = true
			return result
		}
		if failure != nil {
			failure.Index, failure.Name = i, tests[i].Name
			result.Failures = append(result.Failures, *failure)
		}
	}
	return result
}

// run runs one test. The error means that there was no time for it.
func run(ctx context.Context, test *v1alpha1.RuleTest, event string, compiled *notify.Compiled) (*Failure, error) {
	trial, err := Try(ctx, &test.Event, event, compiled)
	var invalid *InvalidEventError
	switch {
	case errors.As(err, &invalid):
		return &Failure{Message: invalid.Error()}, nil
	case err != nil:
		return nil, err
	}
	return compare(&test.Expect, &trial.Decision, &trial.Trace), nil
}

// InvalidEventError says what is wrong with the event of a test, in a sentence without a
// full stop that begins with the field.
type InvalidEventError struct{ message string }

func (e *InvalidEventError) Error() string { return e.message }

// Trial is the result of a rule for an event.
type Trial struct {
	notify.Decision
	notify.Trace
	// Event is the name of the event, and Data its data as JSON.
	Event string
	Data  []byte
	// Missing are the variables that the rule reads and the event does not have.
	Missing []string
}

// Try decides a rule on an event, of the given name unless the event names a sample. The
// error is an [InvalidEventError], or says that ctx ended.
func Try(ctx context.Context, e *v1alpha1.RuleTestEvent, name string, compiled *notify.Compiled) (*Trial, error) {
	return try(ctx, e, name, compiled, func(event *notify.Event) (*notify.Event, error) { return event, nil })
}

// TryDigest decides the digest of a rule as if an event had been collected so many times. The error
// is an [InvalidEventError], or says that the rule has no digest or that ctx ended.
func TryDigest(ctx context.Context, e *v1alpha1.RuleTestEvent, name string, compiled *notify.Compiled, times int) (*Trial, error) {
	digest, ok := compiled.Digest()
	if !ok {
		return nil, errors.New("the rule has no digest: set spec.throttle.digest")
	}
	return try(ctx, e, name, &digest, func(event *notify.Event) (*notify.Event, error) { return event.AsDigest(times) })
}

func try(ctx context.Context, e *v1alpha1.RuleTestEvent, name string, compiled *notify.Compiled, as func(*notify.Event) (*notify.Event, error)) (*Trial, error) {
	if e.Sample != "" {
		name = e.Sample
	}
	data, err := Data(e, name)
	if err != nil {
		return nil, &InvalidEventError{err.Error()}
	}
	computed, err := computedOf(e, data)
	if err != nil {
		return nil, &InvalidEventError{err.Error()}
	}
	event, err := notify.NewEvent(name, Company, data, Now, func(context.Context) (*python.Dict, error) { return computed, nil })
	if err != nil {
		return nil, &InvalidEventError{"event: the data can't be read"} // the error repeats the data
	}
	if event, err = as(event); err != nil {
		return nil, err
	}
	event.UnsubscribeURL = func(string) string { return UnsubscribeURL }
	trial := &Trial{Event: name, Data: data}
	event.Trace = &trial.Trace
	enabled := compiled.Enabled()
	if trial.Decision, err = enabled.Decide(ctx, event, Company.SystemEmail); err != nil {
		return nil, fmt.Errorf("deciding: %w", err)
	}
	if enabled.Rule != nil {
		trial.Missing = event.Missing(enabled.Rule.Variables())
	}
	return trial, nil
}

// Data returns the data of a test's event: a JSON object. The name is the event's.
func Data(e *v1alpha1.RuleTestEvent, name string) ([]byte, error) {
	if e.Data != nil {
		switch {
		case len(e.Data.Raw) > MaxData:
			return nil, fmt.Errorf("event.data: must not be larger than %d bytes", MaxData)
		case len(e.Data.Raw) == 0 || e.Data.Raw[0] != '{':
			return nil, errors.New("event.data: must be an object")
		}
		return e.Data.Raw, nil
	}
	if name == "" {
		return nil, errors.New("event: set sample or data, because the rule has no event")
	}
	kind := platformevent.Lookup(name)
	if kind == nil {
		return nil, fmt.Errorf("event: there is no sample of the event %s: set data", name)
	}
	if e.Changes == nil {
		return kind.Sample(), nil
	}
	if len(e.Changes.Raw) > MaxData {
		return nil, fmt.Errorf("event.changes: must not be larger than %d bytes", MaxData)
	}
	sample, err := object(kind.Sample())
	if err != nil {
		return nil, err
	}
	changes, err := object(e.Changes.Raw)
	if err != nil {
		return nil, errors.New("event.changes: must be an object")
	}
	merge(sample, changes)
	merged, err := json.Marshal(sample)
	if err != nil {
		return nil, fmt.Errorf("event.changes: %w", err)
	}
	return merged, nil
}

func object(raw []byte) (o map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&o); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if o == nil {
		return nil, errors.New("reading JSON: it is null")
	}
	return o, nil
}

func merge(into, changes map[string]any) {
	for name, value := range changes {
		inner, is := into[name].(map[string]any)
		if more, too := value.(map[string]any); is && too {
			merge(inner, more)
			continue
		}
		into[name] = value
	}
}

// computedOf returns what the rule reads as computed: the values of the test, or a fee of
// 0 and the transaction's amount.
func computedOf(e *v1alpha1.RuleTestEvent, data []byte) (*python.Dict, error) {
	raw := []byte(nil)
	if e.Computed != nil {
		raw = e.Computed.Raw
	}
	if len(raw) == 0 {
		var transaction struct {
			Amount *json.Number `json:"amount"`
		}
		if json.Unmarshal(data, &transaction) != nil || transaction.Amount == nil {
			return python.NewDict(0), nil //nolint:nilerr // data of another form has no amount
		}
		raw = fmt.Appendf(nil, `{"fee":0,"total_amount":%s}`, *transaction.Amount)
	}
	if len(raw) > MaxData {
		return nil, fmt.Errorf("event.computed: must not be larger than %d bytes", MaxData)
	}
	value, err := python.FromJSON(raw)
	computed, is := value.(*python.Dict)
	if err != nil || !is {
		return nil, errors.New("event.computed: must be an object")
	}
	return computed, nil
}

// compare returns the first difference between what is expected and what was decided; nil
// if there is none.
func compare(want *v1alpha1.RuleTestExpectation, got *notify.Decision, trace *notify.Trace) *Failure {
	fail := func(format string, args ...any) *Failure { return &Failure{Message: fmt.Sprintf(format, args...)} }
	var sent []*notify.Message
	for i := range got.Messages {
		// In-app copies have the channel system, as do the messages of rules for that
		// channel.
		if m := &got.Messages[i]; len(sent) == 0 || m.Channel == sent[0].Channel {
			sent = append(sent, m)
		}
	}
	var reason notify.NotSent
	if len(got.NotSent) > 0 {
		reason = got.NotSent[0]
	}
	if want.Sent != nil && !*want.Sent {
		switch {
		case len(sent) > 0:
			return fail("nothing must be sent, but a message goes to %s", strings.Join(recipients(sent), ", "))
		case want.Reason != "" && want.Reason != string(reason.Reason):
			return fail("the reason is %s and not %s%s", reason.Reason, want.Reason, because(&reason, trace))
		}
		return nil
	}
	if len(sent) == 0 {
		return fail("nothing is sent: %s%s", reason.Reason, because(&reason, trace))
	}
	if want.Recipients != nil {
		expected := slices.Sorted(slices.Values(want.Recipients))
		if actual := recipients(sent); !slices.Equal(expected, actual) {
			return fail("the message goes to %s and not to %s", strings.Join(actual, ", "), strings.Join(expected, ", "))
		}
	}
	for _, part := range []struct {
		name string
		want *v1alpha1.TextExpectation
		got  string
	}{
		{"subject", want.Subject, sent[0].Subject},
		{"text", want.Text, sent[0].Text},
		{"html", want.HTML, sent[0].HTML},
	} {
		if failure := compareText(part.name, part.want, part.got); failure != nil {
			return failure
		}
	}
	return nil
}

func recipients(messages []*notify.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Recipient)
	}
	slices.Sort(all)
	return all
}

// because explains a reason, as the end of a sentence.
func because(reason *notify.NotSent, trace *notify.Trace) string {
	switch {
	case reason.Reason == notify.ExpressionFalse && trace.Expression.Text != "":
		return fmt.Sprintf(" (%s)", shortened(trace.Expression.Text))
	case reason.Detail != "":
		return fmt.Sprintf(" (%s)", shortened(reason.Detail))
	}
	return ""
}

func compareText(name string, want *v1alpha1.TextExpectation, got string) *Failure {
	if want == nil {
		return nil
	}
	if want.Equals != nil && strings.TrimRight(*want.Equals, " \t\r\n") != strings.TrimRight(got, " \t\r\n") {
		line, expected, actual := firstDifference(*want.Equals, got)
		return &Failure{
			Message: fmt.Sprintf("%s, line %d: is %q and must be %q", name, line, shortened(actual), shortened(expected)),
			Diff:    diff(*want.Equals, got),
		}
	}
	for _, part := range want.Contains {
		if !strings.Contains(got, part) {
			return &Failure{Message: fmt.Sprintf("%s: does not contain %q", name, shortened(part)), Diff: diff("", got)}
		}
	}
	for _, part := range want.Excludes {
		if strings.Contains(got, part) {
			return &Failure{Message: fmt.Sprintf("%s: contains %q", name, shortened(part))}
		}
	}
	return nil
}

func shortened(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= shownValue {
		return text
	}
	return strings.ToValidUTF8(text[:shownValue], "") + "…"
}
