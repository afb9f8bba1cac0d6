// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
)

// Document describes operations as OpenAPI 3.1. ServerURL is the base URL of their paths,
// such as https://notifications.example.com/api/.
func Document(title, version, serverURL string, operations []Operation) *openapi3.T {
	schemas := openapi3.Schemas{}
	doc := &openapi3.T{
		OpenAPI: "3.1.0",
		Info:    &openapi3.Info{Title: title, Version: version},
		Servers: openapi3.Servers{{URL: serverURL}},
		Paths:   openapi3.NewPaths(),
		Components: &openapi3.Components{
			Schemas: schemas,
			SecuritySchemes: openapi3.SecuritySchemes{
				"tokenAuth": {Value: openapi3.NewSecurityScheme().WithType("apiKey").WithIn("header").WithName("Authorization").
					WithDescription("A token of the Rehive platform: \"Token <token>\".")},
			},
		},
	}
	for i := range operations {
		op := &operations[i]
		path := "/" + op.Path
		item := doc.Paths.Value(path)
		if item == nil {
			item = &openapi3.PathItem{}
			doc.Paths.Set(path, item)
		}
		item.SetOperation(op.Method, op.describe(schemas))
	}
	return doc
}

func (op *Operation) describe(schemas openapi3.Schemas) *openapi3.Operation {
	d := &openapi3.Operation{OperationID: op.ID(), Description: op.description}
	if op.For == Anyone {
		d.Security = openapi3.NewSecurityRequirements()
	} else {
		d.Security = openapi3.NewSecurityRequirements().With(openapi3.NewSecurityRequirement().Authenticate("tokenAuth"))
	}
	if param := op.param(); param != "" {
		s := openapi3.NewStringSchema()
		if op.numericID {
			s = openapi3.NewInt64Schema().WithMin(1)
		}
		d.AddParameter(openapi3.NewPathParameter(param).WithSchema(s))
	}
	for i := range op.filters {
		d.AddParameter(op.filters[i].parameter())
	}
	if op.paged {
		d.AddParameter(openapi3.NewQueryParameter("page").WithDescription("A number from 1, or last.").WithSchema(openapi3.NewStringSchema()))
		d.AddParameter(openapi3.NewQueryParameter("page_size").WithSchema(openapi3.NewInt64Schema().WithMax(maxPageSize)))
		paginations := openapi3.NewStringSchema().WithEnum("page", "cursor")
		d.AddParameter(openapi3.NewQueryParameter("pagination").WithSchema(paginations))
		d.AddParameter(openapi3.NewQueryParameter("cursor").WithSchema(openapi3.NewStringSchema()))
	}
	if len(op.orderings) > 0 {
		s := openapi3.NewStringSchema()
		for _, field := range op.orderings {
			s.Enum = append(s.Enum, field, "-"+field)
		}
		d.AddParameter(openapi3.NewQueryParameter("orderby").WithSchema(s))
	}
	if op.idempotent {
		d.AddParameter(openapi3.NewHeaderParameter(idempotencyHeader).
			WithDescription("Repeating a call with the same key has no effect and returns the answer of the first call.").
			WithSchema(openapi3.NewStringSchema().WithMaxLength(maxIdempotencyKey)))
	}
	if op.body != nil {
		body := openapi3.NewRequestBody().WithRequired(!op.bodyOptional).WithJSONSchemaRef(op.body(schemas))
		d.RequestBody = &openapi3.RequestBodyRef{Value: body}
	}
	content := openapi3.NewContentWithJSONSchemaRef
	if op.streams {
		d.AddParameter(openapi3.NewHeaderParameter(lastEventID).
			WithDescription("The id of the last event that the client has; the stream continues after it.").
			WithSchema(openapi3.NewInt64Schema().WithMin(1)))
		content = func(s *openapi3.SchemaRef) openapi3.Content {
			return openapi3.NewContentWithSchemaRef(s, []string{"text/event-stream"})
		}
	}
	d.Responses = openapi3.NewResponses(
		openapi3.WithName(strconv.Itoa(op.Status), openapi3.NewResponse().WithDescription("Success.").WithContent(content(op.response(schemas)))),
		openapi3.WithName("default", openapi3.NewResponse().WithDescription("An error.").
			WithContent(openapi3.NewContentWithJSONSchemaRef(errorResponse(schemas)))),
	)
	if op.Status != http.StatusOK {
		delete(d.Responses.Map(), "200")
	}
	return d
}

// envelopeOf adds the envelope of a successful answer with data to the schemas.
func envelopeOf(schemas openapi3.Schemas, name string, data *openapi3.SchemaRef) *openapi3.SchemaRef {
	return component(schemas, name, func() *openapi3.Schema {
		s := openapi3.NewObjectSchema().WithProperty("status", openapi3.NewStringSchema().WithEnum("success"))
		s.Properties["data"] = data
		s.Required = []string{"status"}
		return s
	})
}

func actionResponse(schemas openapi3.Schemas) *openapi3.SchemaRef {
	return component(schemas, "ActionResponse", func() *openapi3.Schema {
		s := openapi3.NewObjectSchema().WithProperty("status", openapi3.NewStringSchema().WithEnum("success"))
		s.Required = []string{"status"}
		return s
	})
}

func errorResponse(schemas openapi3.Schemas) *openapi3.SchemaRef {
	return component(schemas, "ErrorResponse", func() *openapi3.Schema {
		messages := openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
		items := openapi3.NewObjectSchema().WithAdditionalProperties(messages)
		items.Description = "The messages about items of a list, by their index from 0."
		s := openapi3.NewObjectSchema().
			WithProperty("status", openapi3.NewStringSchema().WithEnum("error")).
			WithProperty("message", openapi3.NewStringSchema()).
			WithProperty("data", openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewAnyOfSchema(messages, items)))
		s.Required = []string{"status", "message"}
		return s
	})
}

func component(schemas openapi3.Schemas, name string, make func() *openapi3.Schema) *openapi3.SchemaRef {
	known, ok := schemas[name]
	if !ok {
		known = make().NewRef()
		schemas[name] = known
	}
	return openapi3.NewSchemaRef("#/components/schemas/"+name, known.Value)
}
