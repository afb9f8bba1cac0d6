// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
)

// ErrStale reports that an item has changed since it was retrieved.
var ErrStale = errors.New("the item changed meanwhile")

// maxTries is how many times a change is attempted on an item that others are changing too.
const maxTries = 5

// Resource declares the objects at a path. It has an operation for each of the functions
// that is set. The functions return an *[Error] for mistakes of the caller; any other error
// is answered with a 500.
type Resource[T any] struct {
	// Path begins after /api/ and ends in a slash, such as "admin/notifications/".
	Path string
	// Param is the name of the path parameter that identifies an item. A resource without
	// one is a single object, such as the company.
	Param string
	// NumericID means that ids are integers from 1; any other id is not found.
	NumericID bool
	// For is the set of users that may call it.
	For Audience
	// Serializer declares the fields.
	Serializer *Serializer[T]
	// Request is the name of the request's schema in the OpenAPI document; the serializer's
	// name if empty.
	Request string

	// Work is what each of its operations takes.
	Work Work

	// Filters narrow the list. Orderings are the fields that orderby accepts.
	Filters   []Filter
	Orderings []string
	// Position returns an item's position for cursors; List requires it.
	Position func(*T) string

	// List finds the items of a page. It is called with Page.Last only if
	// FindsLast is set.
	List      func(context.Context, *Request, *Query) (List[T], error)
	FindsLast bool
	// Retrieve returns the item with Request.ID, in a copy that may be modified.
	Retrieve func(context.Context, *Request) (*T, error)
	// New returns an item with its defaults for Create; if nil, a zero T.
	New func(*Request) *T
	// Create stores a new item and sets its read-only fields.
	Create func(context.Context, *Request, *T) error
	// Update stores an item from Retrieve after a PUT or PATCH has changed it. If it
	// returns [ErrStale], because the item has changed meanwhile, the change is applied
	// again to the new state.
	Update func(context.Context, *Request, *T) error
	// Delete deletes an item from Retrieve.
	Delete func(context.Context, *Request, *T) error
}

// Operations derives the resource's operations.
func (res *Resource[T]) Operations() []Operation {
	var ops []Operation
	add := func(method, action string, status int, handle HandlerFunc) *Operation {
		ops = append(ops, Operation{
			Method: method, Path: res.Path, action: action, For: res.For, Status: status, handle: handle,
			writes: method != http.MethodGet, work: res.Work,
		})
		return &ops[len(ops)-1]
	}
	item := func(op *Operation) *Operation {
		if res.Param != "" {
			op.Path += "{" + res.Param + "}/"
			op.numericID = res.NumericID
		}
		op.response = res.response
		return op
	}
	body := func(op *Operation, partial, optional bool) {
		op.members = res.Serializer.writable()
		op.bodyOptional = optional
		op.body = func(components openapi3.Schemas) *openapi3.SchemaRef {
			name := res.Request
			if name == "" {
				name = res.Serializer.Name
			}
			name += "Request"
			if partial {
				name = "Patched" + name
			}
			return res.Serializer.requestComponent(components, name, partial)
		}
	}
	if res.List != nil {
		op := add(http.MethodGet, "List", http.StatusOK, res.list)
		op.filters, op.orderings, op.paged = res.Filters, res.Orderings, true
		op.response = res.listResponse
	}
	if res.Create != nil {
		op := add(http.MethodPost, "Create", http.StatusCreated, res.create)
		op.response = res.response
		body(op, false, false)
	}
	if res.Retrieve != nil {
		item(add(http.MethodGet, "Retrieve", http.StatusOK, res.retrieve))
	}
	if res.Update != nil {
		optional := !slices.ContainsFunc(res.Serializer.Fields, func(f Field[T]) bool { return f.required && !f.readOnly })
		body(item(add(http.MethodPut, "Update", http.StatusOK, res.update(false))), false, optional)
		body(item(add(http.MethodPatch, "PartialUpdate", http.StatusOK, res.update(true))), true, true)
	}
	if res.Delete != nil {
		item(add(http.MethodDelete, "Destroy", http.StatusOK, res.delete))
	}
	return ops
}

func (res *Resource[T]) list(ctx context.Context, r *Request) (Answer, error) {
	q := r.Query
	list, page, err := res.page(ctx, r, q)
	if err != nil {
		return Answer{}, err
	}
	size := pageOverhead
	for i := range list.Items {
		size += res.Serializer.size(&list.Items[i])
	}
	r.keepWorkFor(size)
	buffer := make([]byte, 0, size)
	if page.ByCursor {
		return res.cursorPage(buffer, r, page, list), nil
	}
	if len(list.Items) == 0 && page.Number > 1 {
		return Answer{}, InvalidPage()
	}
	var next, previous *string
	if list.More {
		next = pageLink(r.HTTP, r.publicURL, page.Number+1)
	}
	if page.Number > 1 {
		previous = pageLink(r.HTTP, r.publicURL, page.Number-1)
	}
	return Answer{data: appendPage(buffer, res.Serializer, list, list.Count, next, previous, false)}, nil
}

// pageOverhead is about the size of a page without its items.
const pageOverhead = 512

// page returns the items of a page, and the page with its actual number.
func (res *Resource[T]) page(ctx context.Context, r *Request, q *Query) (List[T], Page, error) {
	if q.Nothing {
		if q.Page.Last {
			q.Page.Number, q.Page.Last = 1, false
		}
		return List[T]{}, q.Page, nil
	}
	if !q.Page.Last || res.FindsLast {
		list, err := res.List(ctx, r, q)
		if q.Page.Last {
			q.Page.Number = lastPage(list.Count, q.Page.Size)
		}
		return list, q.Page, err
	}
	q.Page.Last = false
	list, err := res.List(ctx, r, q)
	if err != nil || list.Count <= q.Page.Size {
		return list, q.Page, err
	}
	q.Page.Number = lastPage(list.Count, q.Page.Size)
	list, err = res.List(ctx, r, q)
	return list, q.Page, err
}

// cursorPage returns, in a buffer, the answer for a page that is read by cursor.
func (res *Resource[T]) cursorPage(buffer []byte, r *Request, p Page, list List[T]) Answer {
	var next, previous *string
	if n := len(list.Items); n > 0 {
		first, last := res.Position(&list.Items[0]), res.Position(&list.Items[n-1])
		if list.More || p.Backward {
			next = cursorLink(r.HTTP, r.publicURL, last, false)
		}
		if p.Backward && list.More || !p.Backward && p.Cursor != "" {
			previous = cursorLink(r.HTTP, r.publicURL, first, true)
		}
	}
	return Answer{data: appendPage(buffer, res.Serializer, list, 0, next, previous, true)}
}

func (res *Resource[T]) retrieve(ctx context.Context, r *Request) (Answer, error) {
	t, err := res.Retrieve(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	r.keepWorkFor(res.Serializer.size(t))
	return res.answer(t), nil
}

func (res *Resource[T]) create(ctx context.Context, r *Request) (Answer, error) {
	t := new(T)
	if res.New != nil {
		t = res.New(r)
	}
	if err := res.Serializer.Decode(t, r.members, false); err != nil {
		return Answer{}, err
	}
	if err := res.Create(ctx, r, t); err != nil {
		return Answer{}, err
	}
	return res.answer(t), nil
}

func (res *Resource[T]) update(partial bool) HandlerFunc {
	return func(ctx context.Context, r *Request) (Answer, error) {
		// A PATCH contains only the fields that it changes, so applying it to a newer state
		// doesn't lose the other changes.
		for try := 1; ; try++ {
			t, err := res.Retrieve(ctx, r)
			if err != nil {
				return Answer{}, err
			}
			if err := res.Serializer.Decode(t, r.members, partial); err != nil {
				return Answer{}, err
			}
			switch err := res.Update(ctx, r, t); {
			case err == nil:
				return res.answer(t), nil
			case !errors.Is(err, ErrStale):
				return Answer{}, err
			case try == maxTries || ctx.Err() != nil:
				return Answer{}, &Error{Status: http.StatusConflict, Message: "Somebody else is changing this. Read it again and repeat your change.", Cause: err}
			}
		}
	}
}

func (res *Resource[T]) delete(ctx context.Context, r *Request) (Answer, error) {
	for try := 1; ; try++ {
		t, err := res.Retrieve(ctx, r)
		if err != nil {
			return Answer{}, err
		}
		if err := res.Delete(ctx, r, t); !errors.Is(err, ErrStale) || try == maxTries {
			return Answer{}, err
		}
	}
}

func (res *Resource[T]) answer(t *T) Answer { return DataOf(res.Serializer, t) }

func (res *Resource[T]) response(components openapi3.Schemas) *openapi3.SchemaRef {
	return envelopeOf(components, res.Serializer.Name+"Response", res.Serializer.component(components))
}

func (res *Resource[T]) listResponse(components openapi3.Schemas) *openapi3.SchemaRef {
	link := openapi3.NewStringSchema()
	link.Type = &openapi3.Types{openapi3.TypeString, openapi3.TypeNull}
	results := openapi3.NewArraySchema()
	results.Items = res.Serializer.component(components)
	page := openapi3.NewObjectSchema().
		WithProperty("count", openapi3.NewInt64Schema()).
		WithProperty("next", link).WithProperty("previous", link).
		WithProperty("results", results)
	page.Required = []string{"next", "previous", "results"}
	return envelopeOf(components, "Paginated"+res.Serializer.Name+"ListResponse", page.NewRef())
}

// Action is an operation with its own path, such as sending a message again. A is the type
// of its body.
type Action[A any] struct {
	// Path is the path with its parameters, such as "admin/logs/{log_id}/send/".
	Path string
	// ID overrides the operation's id if the derived one is taken.
	ID string
	// Method is POST if empty.
	Method string
	// NumericID means that the path parameter is an integer from 1.
	NumericID bool
	// For is the set of users that may call it.
	For Audience
	// Body declares the body; nil if there is none.
	Body *Serializer[A]
	// Optional means that the body may be missing, which counts as an empty object.
	Optional bool
	// Begin, if not nil, returns the value that the body changes. As for a PATCH, no field
	// is required then.
	Begin func(context.Context, *Request) (*A, error)
	// Verb is the last word of the operation's id; Create for POST and Retrieve for GET
	// if it is empty.
	Verb string
	// Filters select the items that the action applies to. Any other query parameter is an
	// error.
	Filters []Filter
	// Idempotent means that the action accepts an idempotency key, see
	// [Request.IdempotencyKey].
	Idempotent bool
	// Work is what a call takes.
	Work Work
	// Do performs the action.
	Do func(context.Context, *Request, *A) (Answer, error)
	// Result describes the data that Do answers with; nil if there is none.
	Result func(openapi3.Schemas) *openapi3.SchemaRef
}

// Operation derives the action's operation.
func (a *Action[A]) Operation() Operation {
	op := Operation{
		id: a.ID, Method: a.Method, Path: a.Path, For: a.For, Status: http.StatusOK, action: "Create",
		numericID: a.NumericID, filters: a.Filters, strict: a.Filters != nil, bodyOptional: a.Optional, idempotent: a.Idempotent,
		work: a.Work,
	}
	switch op.Method {
	case "":
		op.Method = http.MethodPost
	case http.MethodGet:
		op.action = "Retrieve"
	}
	if a.Verb != "" {
		op.action = a.Verb
	}
	if a.Body != nil {
		op.members = a.Body.writable()
		op.body = func(components openapi3.Schemas) *openapi3.SchemaRef {
			return a.Body.requestComponent(components, a.Body.Name, a.Begin != nil)
		}
	}
	op.response = actionResponse
	if a.Result != nil {
		op.response = a.Result
	}
	op.handle = func(ctx context.Context, r *Request) (Answer, error) {
		body := new(A)
		if a.Begin != nil {
			var err error
			if body, err = a.Begin(ctx, r); err != nil {
				return Answer{}, err
			}
		}
		if a.Body != nil {
			if err := a.Body.Decode(body, r.members, a.Begin != nil); err != nil {
				return Answer{}, err
			}
		}
		return a.Do(ctx, r, body)
	}
	return op
}

// DataOf returns an answer with t as its data.
func DataOf[T any](s *Serializer[T], t *T) Answer {
	return Answer{data: s.Append(make([]byte, 0, s.size(t)), t)}
}

// ResultOf describes answers made by [DataOf].
func ResultOf[T any](s *Serializer[T]) func(openapi3.Schemas) *openapi3.SchemaRef {
	return func(components openapi3.Schemas) *openapi3.SchemaRef {
		return envelopeOf(components, s.Name+"Response", s.component(components))
	}
}

// RawData returns an answer with the given JSON as its data.
func RawData(data json.RawMessage) Answer { return Answer{data: data} }

// NumberPosition returns the position for cursors of an item with a numeric id.
func NumberPosition(id int64) string { return strconv.FormatInt(id, 10) }
