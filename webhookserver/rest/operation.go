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

// Audience is the set of users that may call an operation.
type Audience int

const (
	// Admins are the users in the company's group admin, and this extension's service user.
	Admins Audience = iota
	// Users are all users of the company.
	Users
	// Anyone needs no token of the platform: the operation checks its own credentials.
	Anyone
)

// Caller is the user behind a request, as identified by the platform.
type Caller struct {
	// User and Company are the platform's identifiers, the user's in lower case as in the
	// ledger.
	User, Company string
	// Admin reports whether the user may see and change what concerns the whole company.
	Admin bool
	// Activation is the company's active CompanyActivation. It is shared with the cache:
	// read only.
	Activation *v1alpha1.CompanyActivation
}

// Request is a call of an operation.
type Request struct {
	// HTTP is the request, whose body has been read.
	HTTP *http.Request
	// Caller is nil for Anyone.
	Caller *Caller
	// ID is the value of the path parameter, if there is one.
	ID string
	// Query holds the filters and the page.
	Query *Query
	// IdempotencyKey is the key by which the caller identifies repeated calls, or "" if
	// there is none or the operation takes none.
	IdempotencyKey string
	Log            logr.Logger
	// EndWork gives others the call's [Work], before it waits for something such as the API
	// server. BeginWork takes it back; its error is an answer. Calls begin with it.
	EndWork   func()
	BeginWork func(context.Context) error
	// KeepWork keeps as much of the call's [Work] as is given, and gives others the rest. It
	// may be nil.
	KeepWork func(Work)

	members   map[string]json.RawMessage
	publicURL string
}

// Number returns ID as a number, or 0 if it isn't one.
func (r *Request) Number() int64 {
	n, _ := parseNumber(r.ID)
	return n
}

// Given reports whether the body has a member.
func (r *Request) Given(name string) bool {
	_, ok := r.members[name]
	return ok
}

// parseNumber parses a numeric id: digits without a leading zero.
func parseNumber(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// Idempotency keys work as on the Rehive platform.
const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 99
)

// Work is how much processor time and memory a call can take. It is counted in units, of
// which the server has a few for each processor.
type Work int64

const (
	// LightWork takes a few milliseconds and little memory.
	LightWork Work = 0
	// ReadingWork reads the texts of messages, which have up to some megabytes.
	ReadingWork Work = 1
	// HeavyWork parses, checks or encodes texts of which one request or one company has
	// megabytes. It can take a processor for a hundred milliseconds or more. The
	// server does one such call fewer at a time than it has processors, so that one stays
	// free for webhooks, but at least one.
	HeavyWork Work = 8
)

// bytesPerWork is the size of an answer that takes a unit of work to encode: a fraction of a
// millisecond.
const bytesPerWork = 64 << 10

// keepWorkFor keeps the work of encoding an answer of a size. Most lists are small, and
// would otherwise wait for each other's turns.
func (r *Request) keepWorkFor(size int) {
	if r.KeepWork != nil {
		r.KeepWork(Work(1 + size/bytesPerWork))
	}
}

// HandlerFunc answers a request.
type HandlerFunc func(context.Context, *Request) (Answer, error)

// Operation is one method at one path.
type Operation struct {
	// Method and Path identify the operation. The path begins after /api/.
	Method, Path string
	// For is the set of users that may call it.
	For Audience
	// Status is the HTTP status of success.
	Status int

	id            string // overrides the derived id
	action        string // the last word of the derived id
	numericID     bool
	filters       []Filter
	orderings     []string
	paged, strict bool
	members       []string // of the body
	bodyOptional  bool
	idempotent    bool // takes an idempotency key
	writes        bool
	work          Work
	streams       bool // answers with server-sent events
	description   string
	body          func(openapi3.Schemas) *openapi3.SchemaRef
	response      func(openapi3.Schemas) *openapi3.SchemaRef
	handle        HandlerFunc
}

// Writes reports whether the operation creates, changes or deletes a resource's item.
func (op *Operation) Writes() bool { return op.writes }

// Work returns what a call of the operation takes.
func (op *Operation) Work() Work { return op.work }

// Streams reports whether the operation answers with server-sent events.
func (op *Operation) Streams() bool { return op.streams }

// ID returns the operation's id in the OpenAPI document, derived like drf-spectacular from
// the words of the path and the action.
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

// param returns the name of the path parameter, or "".
func (op *Operation) param() string {
	_, after, _ := strings.Cut(op.Path, "{")
	name, _, _ := strings.Cut(after, "}")
	return name
}

// Members returns the names of the members to read from the body; none if the operation has
// no body.
func (op *Operation) Members() []string { return op.members }

// Serve answers a request whose body has been read into members. Links begin with
// publicURL, which has no trailing slash, or with the request's host if it is empty.
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
