// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// platformCalls returns descriptions of the operations that the platform calls. Their
// handlers, which are on the hot path, are written by hand.
func platformCalls() []rest.Operation {
	type body struct {
		token, id, name, email, secret, event, company string
		push, purge                                    bool
		data                                           json.RawMessage
	}
	token := rest.Char("token", func(b *body) *string { return &b.token }).Required().MaxLength(maxTokenLength)
	// Rehive's own clients send these back, so they are described although they are
	// ignored.
	activate := &rest.Serializer[body]{Name: "Activate", Fields: []rest.Field[body]{
		token,
		rest.Char("id", func(b *body) *string { return &b.id }).ReadOnly(),
		rest.Char("name", func(b *body) *string { return &b.name }).ReadOnly(),
		rest.Char("system_email", func(b *body) *string { return &b.email }).ReadOnly(),
		rest.Char("secret", func(b *body) *string { return &b.secret }).ReadOnly(),
		rest.Boolean("push_enabled", func(b *body) *bool { return &b.push }).ReadOnly(),
	}}
	deactivate := &rest.Serializer[body]{Name: "Deactivate", Fields: []rest.Field[body]{
		token, rest.Boolean("purge", func(b *body) *bool { return &b.purge }),
	}}
	rotate := &rest.Serializer[body]{Name: "Rotate", Fields: []rest.Field[body]{token}}
	webhook := &rest.Serializer[body]{Name: "Webhook", Fields: []rest.Field[body]{
		rest.Char("id", func(b *body) *string { return &b.id }).Required().MaxLength(maxIDLength),
		rest.Char("event", func(b *body) *string { return &b.event }).Required().MaxLength(maxEventLength),
		rest.Char("company", func(b *body) *string { return &b.company }).Required().MaxLength(maxCompanyLength),
		rest.JSON("data", func(b *body) *json.RawMessage { return &b.data }, nil).Required(),
	}}
	var operations []rest.Operation
	for _, call := range []struct {
		path string
		body *rest.Serializer[body]
	}{
		{"activate/", activate}, {"deactivate/", deactivate}, {"rotate/", rotate}, {"webhook/", webhook}, {"admin/webhook/", webhook},
	} {
		action := rest.Action[body]{Path: call.path, For: rest.Anyone, Body: call.body}
		operations = append(operations, action.Operation())
	}
	return operations
}

// openAPI returns the OpenAPI document of the whole API.
func (s *Server) openAPI() *openapi3.T {
	return rest.Document("Rehive notification extension", s.version, s.publicURL+"/api/", append(platformCalls(), s.operations()...))
}

//go:embed description.html
var descriptionPage string

// describe returns the handlers of the OpenAPI document and of its HTML page. Both are
// built at the first request for one of them, which most processes never receive.
func (s *Server) describe() (document, page http.Handler) {
	build := sync.OnceValues(s.buildDescription)
	serve := func(choose func(description) http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			built, err := build()
			if err != nil {
				s.log.Error(err, "Describing the API failed")
				rest.WriteError(w, rest.Internal(err))
				return
			}
			choose(built).ServeHTTP(w, r)
		})
	}
	return serve(func(d description) http.Handler { return d.document }), serve(func(d description) http.Handler { return d.page })
}

// description is what describes the API: its OpenAPI document and an HTML page.
type description struct{ document, page http.Handler }

func (s *Server) buildDescription() (description, error) {
	doc := s.openAPI()
	text, err := json.Marshal(doc)
	if err != nil {
		return description{}, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	parsed, err := template.New("description").Funcs(template.FuncMap{"fields": describedFields}).Parse(descriptionPage)
	if err != nil {
		return description{}, fmt.Errorf("reading the page that describes the API: %w", err)
	}
	var html bytes.Buffer
	if err := parsed.Execute(&html, map[string]any{"Title": doc.Info.Title, "Version": doc.Info.Version, "Operations": describedOperations(doc)}); err != nil {
		return description{}, fmt.Errorf("writing the page that describes the API: %w", err)
	}
	return description{static("application/json", text), static("text/html; charset=utf-8", html.Bytes())}, nil
}

// static serves a body that never changes.
func static(contentType string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const allowed = "GET, HEAD, OPTIONS"
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			rest.WriteAnswer(w, r, rest.Answer{Allow: allowed})
			return
		default:
			rest.WriteError(w, rest.MethodNotAllowed(rest.Truncate(r.Method, 20), allowed))
			return
		}
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		h.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(body) // the caller may be gone
	})
}

// describedOperation is an operation as the page shows it.
type describedOperation struct {
	Method, Path, ID string
	Parameters       []string
	Body             *openapi3.Schema
}

func describedOperations(doc *openapi3.T) []describedOperation {
	var all []describedOperation
	for _, path := range doc.Paths.InMatchingOrder() {
		for method, op := range doc.Paths.Value(path).Operations() {
			d := describedOperation{Method: method, Path: "/api" + path, ID: op.OperationID}
			for _, parameter := range op.Parameters {
				if parameter.Value.In == openapi3.ParameterInQuery {
					d.Parameters = append(d.Parameters, parameter.Value.Name)
				}
			}
			if op.RequestBody != nil {
				d.Body = op.RequestBody.Value.Content["application/json"].Schema.Value
			}
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b describedOperation) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Method, b.Method)
	})
	return all
}

// describedField is a member of a body as the page shows it.
type describedField struct {
	Name, Type, Description string
	Required                bool
}

func describedFields(s *openapi3.Schema) []describedField {
	var fields []describedField
	for name, ref := range s.Properties {
		f := describedField{Name: name, Description: ref.Value.Description, Required: slices.Contains(s.Required, name)}
		if ref.Value.Type != nil {
			f.Type = strings.Join(*ref.Value.Type, " or ")
		}
		if len(ref.Value.Enum) > 0 {
			choices := make([]string, 0, len(ref.Value.Enum))
			for _, choice := range ref.Value.Enum {
				if text, ok := choice.(string); ok && text != "" {
					choices = append(choices, text)
				}
			}
			f.Type = strings.Join(choices, " or ")
		}
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(a, b describedField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

func index(context.Context, *call) (rest.Answer, error) {
	return rest.RawData(json.RawMessage(`{"description":"The notification extension of Rehive, on Kubernetes. Its API and the API's description are at /api/.","name":"Rehive extension operator"}`)), nil
}
