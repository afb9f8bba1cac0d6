// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
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
}

// Event is one occurrence on the platform, parsed once for all the rules that
// are to judge it. It is for one goroutine.
type Event struct {
	// Name is the event's name, such as transaction.execute.
	Name string
	// Company is the company that the event belongs to.
	Company Company

	data     *python.Dict
	computed func(context.Context) (*python.Dict, error)
	complete *python.Dict // data with computed, once it was asked for
	now      time.Time
}

// Names in a template's context that are not the event's own data. They win
// over keys of the same name in the data.
const (
	contextKey  = "context"
	computedKey = "computed"
)

// NewEvent parses the data of an event: the JSON of a webhook's "data". Data
// that is no JSON object has no names for templates to read, and counts as
// empty. now is the one moment that all rules of the event see.
//
// computed brings what templates read as "computed". It is called when a rule
// reads it, and not again once it has answered; its error is taken to pass.
func NewEvent(name string, company Company, data []byte, now time.Time, computed func(context.Context) (*python.Dict, error)) (*Event, error) {
	value, err := python.FromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("reading the event's data: %w", err)
	}
	parsed, ok := value.(*python.Dict)
	if !ok {
		parsed = python.NewDict(1)
	}
	info := python.NewDict(3)
	info.SetStr("id", python.Str(company.ID))
	info.SetStr("name", python.Str(company.Name))
	info.SetStr("system_email", python.Str(company.SystemEmail))
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
