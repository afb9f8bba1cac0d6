// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"net/http"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// vocabulary is what an author of a notification can write, for completion and help while
// typing.
type vocabulary struct {
	events            []*platformevent.Event
	fields, variables []vocabularyField
	filters, tags     []django.Description
}

// maxVocabularyValues is how many values a field has at most.
const maxVocabularyValues = 64

// vocabularyField is something that templates and expressions can read.
type vocabularyField struct {
	path string
	*platformevent.Field
}

var vocabularySerializer = &rest.Serializer[vocabulary]{Name: "Vocabulary", Fields: []rest.Field[vocabulary]{
	rest.NestedList("events", vocabularyEventSerializer, func(v *vocabulary) []*platformevent.Event { return v.events }),
	rest.NestedList("fields", vocabularyFieldSerializer, func(v *vocabulary) []vocabularyField { return v.fields }).
		Describe("The fields of the event that the query names; empty for an event that isn't known."),
	rest.NestedList("variables", vocabularyFieldSerializer, func(v *vocabulary) []vocabularyField { return v.variables }).
		Describe("Variables in addition to the fields of the event."),
	rest.NestedList("filters", vocabularyWordSerializer, func(v *vocabulary) []django.Description { return v.filters }),
	rest.NestedList("tags", vocabularyWordSerializer, func(v *vocabulary) []django.Description { return v.tags }),
}}

var vocabularyEventSerializer = &rest.Serializer[*platformevent.Event]{Name: "VocabularyEvent", Fields: []rest.Field[*platformevent.Event]{
	rest.Char("name", func(e **platformevent.Event) *string { return &(*e).Name }).ReadOnly(),
	rest.Char("summary", func(e **platformevent.Event) *string { return &(*e).Summary }).ReadOnly(),
	rest.Char("extension", func(e **platformevent.Event) *string { return &(*e).Extension }).ReadOnly().Nullable().
		Describe("The Rehive extension that raises the event; null for the platform itself."),
	rest.Char("user", func(e **platformevent.Event) *string { return &(*e).User }).ReadOnly().Nullable().
		Describe("The path to the user whom the event is about: a dot if that is the event's data itself, null if there is none."),
	rest.Char("original", func(e **platformevent.Event) *string { return &(*e).Original }).ReadOnly().Nullable().
		Describe("The field that holds the resource as it was before an update."),
}}

var vocabularyFieldSerializer = &rest.Serializer[vocabularyField]{Name: "VocabularyField", Fields: []rest.Field[vocabularyField]{
	rest.Char("path", func(f *vocabularyField) *string { return &f.path }).ReadOnly().Describe("The name that a template writes, such as user.groups.0.name."),
	rest.Char("type", func(f *vocabularyField) *string { kind := string(f.Kind); return &kind }).ReadOnly().
		Describe("text, integer, amount, boolean, time, object, list or free, as in docs/events.md."),
	rest.Boolean("nullable", func(f *vocabularyField) *bool { return &f.Nullable }).ReadOnly(),
	rest.Strings("values", maxVocabularyValues, func(f *vocabularyField) *[]string { return &f.Values }).ReadOnly().Describe("All values that the text can have; empty if it can have any."),
	rest.Strings("common", maxVocabularyValues, func(f *vocabularyField) *[]string { return &f.Common }).ReadOnly().Describe("Values that the text often has."),
	rest.Char("description", func(f *vocabularyField) *string { return &f.Note }).ReadOnly().Nullable(),
}}

var vocabularyWordSerializer = &rest.Serializer[django.Description]{Name: "VocabularyWord", Fields: []rest.Field[django.Description]{
	rest.Char("name", func(d *django.Description) *string { return &d.Name }).ReadOnly(),
	rest.Char("signature", func(d *django.Description) *string { return &d.Signature }).ReadOnly(),
	rest.Char("library", func(d *django.Description) *string { return &d.Library }).ReadOnly().Nullable().
		Describe("The library that a load tag must name before the use; null if none is needed."),
	rest.Char("since", func(d *django.Description) *string { return &d.Since }).ReadOnly().Nullable().
		Describe("The version of Django that introduced it, if that is 5.0 or later, or Rehive; otherwise null."),
	rest.Char("removed", func(d *django.Description) *string { return &d.Removed }).ReadOnly().Nullable().
		Describe("The version of Django that removed it, which is still accepted here."),
	rest.Char("description", func(d *django.Description) *string { return &d.Summary }).ReadOnly(),
}}

// vocabulary answers with everything that templates and expressions can use. It is the same
// for all companies, and only changes with the program.
func (a *API) vocabulary() rest.Operation {
	action := rest.Action[struct{}]{
		Path: "admin/vocabulary/", Method: http.MethodGet, For: rest.Admins,
		Filters: []rest.Filter{rest.TextFilter("event")},
		Result:  rest.ResultOf(vocabularySerializer),
		Do: func(_ context.Context, r *rest.Request, _ *struct{}) (rest.Answer, error) {
			v := vocabulary{
				events: platformevent.All(), variables: vocabularyFields(platformevent.Variables()),
				filters: django.DescribeFilters(), tags: django.DescribeTags(),
			}
			if event := platformevent.Lookup(r.Query.Text("event")); event != nil {
				v.fields = vocabularyFields(event)
			}
			return rest.DataOf(vocabularySerializer, &v).Cacheable(), nil
		},
	}
	return action.Operation()
}

func vocabularyFields(e *platformevent.Event) (fields []vocabularyField) {
	e.Each(func(path string, field *platformevent.Field) { fields = append(fields, vocabularyField{path, field}) })
	return fields
}
