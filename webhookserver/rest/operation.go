// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-logr/logr"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// Section says who may call an operation.
type Section int

const (
	// Admins are the users in the company's group admin, and this extension's own
	// service user.
	Admins Section = iota
	// Users are all users of the company.
	Users
	// Anyone needs no token of the platform: the operation checks credentials of its
	// own.
	Anyone
)

// Caller is the user who makes a call, as the platform identified them.
type Caller struct {
	// User and Company are the platform's identifiers; the user's in lower case, as
	// the ledger has it.
	User, Company string
	// Admin says whether the user may see and do what concerns the whole company.
	Admin bool
	// Activation is the company's, which is active. It belongs to the cache and must
	// not be changed.
	Activation *v1alpha1.CompanyActivation
}

// Request is a call of an operation.
type Request struct {
	// HTTP is the request, whose body has been read.
	HTTP *http.Request
	// Caller made it; nil for Anyone.
	Caller *Caller
	// ID is the value of the path parameter, if there is one.
	ID string
	// Query holds the filters and the page.
	Query *Query
	// IdempotencyKey is what the caller tells repeated calls by, if the operation takes
	// one; empty if there is none.
	IdempotencyKey string
	Log            logr.Logger

	members   map[string]json.RawMessage
	publicURL string
}

// Number returns ID as a number, 0 if it isn't one.
func (r *Request) Number() int64 {
	n, _ := parseNumber(r.ID)
	return n
}

// Given says whether the body holds a member.
func (r *Request) Given(name string) bool {
	_, ok := r.members[name]
	return ok
}

// parseNumber reads an id that is a number: digits, the first of them not 0.
func parseNumber(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// Idempotency keys are as on the Rehive platform.
const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 99
)

// HandlerFunc answers a request.
type HandlerFunc func(context.Context, *Request) (Answer, error)

// Operation is one method at one path.
type Operation struct {
	// Method and Path say where it is. The path begins after /api/.
	Method, Path string
	// For says who may call it.
	For Section
	// Status is that of success.
	Status int

	id            string // replaces the one that is derived
	action        string // the last word of the operation's id
	numericID     bool
	filters       []Filter
	orderings     []string
	paged, strict bool
	members       []string // of the body
	bodyOptional  bool
	idempotent    bool // takes an idempotency key
	writes        bool
	body          func(openapi3.Schemas) *openapi3.SchemaRef
	response      func(openapi3.Schemas) *openapi3.SchemaRef
	handle        HandlerFunc
}

// Writes says whether the operation creates, changes or deletes a resource's item.
func (op *Operation) Writes() bool { return op.writes }

// ID is the operation's id in the OpenAPI document, as drf-spectacular derives it:
// the words of the path and what is done there.
func (op *Operation) ID() string {
	if op.id != "" {
		return op.id
	}
	var id strings.Builder
	for part := range strings.SplitSeq(strings.Trim(op.Path, "/"), "/") {
		if strings.HasPrefix(part, "{") {
			continue
		}
		for word := range strings.SplitSeq(part, "-") {
			if id.Len() > 0 {
				word = strings.ToUpper(word[:1]) + word[1:]
			}
			id.WriteString(word)
		}
	}
	return id.String() + op.action
}

// param is the name of the path parameter, empty if there is none.
func (op *Operation) param() string {
	_, after, _ := strings.Cut(op.Path, "{")
	name, _, _ := strings.Cut(after, "}")
	return name
}

// Members are the names that the body is read for; none if the operation has no body.
func (op *Operation) Members() []string { return op.members }

// Serve answers a request whose body has been read into members. PublicURL is where
// callers reach the server, without a slash at its end; without it, links begin with
// the request's host.
func (op *Operation) Serve(ctx context.Context, r *Request, members map[string]json.RawMessage, publicURL string) (Answer, error) {
	r.members, r.publicURL = members, publicURL
	if param := op.param(); param != "" {
		r.ID = r.HTTP.PathValue(param)
		if op.numericID {
			if _, ok := parseNumber(r.ID); !ok {
				return Answer{}, NotFound()
			}
		}
	}
	var err error
	if r.Query, err = parseQuery(r.HTTP, op.filters, op.orderings, op.paged, op.strict); err != nil {
		return Answer{}, err
	}
	if op.idempotent {
		r.IdempotencyKey = strings.TrimSpace(r.HTTP.Header.Get(idempotencyHeader))
		if len(r.IdempotencyKey) > maxIdempotencyKey {
			return Answer{}, BadRequest(fmt.Sprintf("The header %s must be shorter than %d characters.", idempotencyHeader, maxIdempotencyKey+1))
		}
	}
	answer, err := op.handle(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	if answer.Status == 0 {
		answer.Status = op.Status
	}
	return answer, nil
}
