// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/meter/metertest"
)

// shop is an in-memory resource.
type shop struct{ items []widget }

func (s *shop) resource() *Resource[widget] {
	return &Resource[widget]{
		Path: "admin/blue-widgets/", Param: "widget_id", NumericID: true, Serializer: widgets, Request: "AdminCreateWidget",
		Filters:   []Filter{TextFilter("name"), BooleanFilter("enabled"), TimeFilter("created__gt"), ChoiceFilter("kind", "round", "square"), ChoicesFilter("kind__in", "round", "square")},
		Orderings: []string{"created"},
		Position:  func(w *widget) string { return NumberPosition(w.id) },
		List: func(_ context.Context, _ *Request, q *Query) (List[widget], error) {
			var found []widget
			for _, w := range s.items {
				if name := q.Text("name"); name == "" || name == w.name {
					found = append(found, w)
				}
			}
			return Slice(found, q.Page, func(w *widget) string { return NumberPosition(w.id) }), nil
		},
		FindsLast: true,
		Retrieve: func(_ context.Context, r *Request) (*widget, error) {
			for i := range s.items {
				if s.items[i].id == r.Number() {
					found := s.items[i]
					return &found, nil
				}
			}
			return nil, NotFound()
		},
		New: func(*Request) *widget { return &widget{enabled: true} },
		Create: func(_ context.Context, _ *Request, w *widget) error {
			w.id = int64(len(s.items) + 1)
			s.items = append(s.items, *w)
			return nil
		},
		Update: func(_ context.Context, r *Request, w *widget) error {
			s.items[r.Number()-1] = *w
			return nil
		},
		Delete: func(context.Context, *Request, *widget) error { return nil },
	}
}

// call calls an operation like the server.
func call(t *testing.T, ops []Operation, method, target, body string) (Answer, error) {
	t.Helper()
	return serve(t, ops, &Request{HTTP: httptest.NewRequest(method, target, nil)}, body)
}

func serve(t *testing.T, ops []Operation, request *Request, body string) (Answer, error) {
	t.Helper()
	var served Answer
	err := errors.New("no such operation")
	mux := http.NewServeMux()
	for i := range ops {
		mux.HandleFunc(ops[i].Method+" /api/"+ops[i].Path+"{$}", func(_ http.ResponseWriter, r *http.Request) {
			request.HTTP = r
			members := map[string]json.RawMessage{}
			if body != "" {
				if bad := json.Unmarshal([]byte(body), &members); bad != nil {
					t.Fatal(bad)
				}
			}
			served, err = ops[i].Serve(t.Context(), request, members, "https://x.example")
		})
	}
	mux.ServeHTTP(httptest.NewRecorder(), request.HTTP)
	return served, err
}

func TestCreateUpdateRetrieve(t *testing.T) {
	g := gomega.NewWithT(t)
	ops := (&shop{}).resource().Operations()
	answer, err := call(t, ops, "POST", "/api/admin/blue-widgets/", `{"name":"one","kind":"round"}`)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(answer.Status).To(gomega.Equal(http.StatusCreated))
	g.Expect(string(answer.Data())).To(gomega.ContainSubstring(`"enabled":true`)) // the default
	// A PUT needs the required fields and keeps the others.
	_, err = call(t, ops, "PUT", "/api/admin/blue-widgets/1/", `{"enabled":false}`)
	g.Expect(err).To(gomega.MatchError("This field is required."))
	answer, err = call(t, ops, "PUT", "/api/admin/blue-widgets/1/", `{"name":"two"}`)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(string(answer.Data())).To(gomega.ContainSubstring(`"name":"two","text":null,"kind":"round","enabled":true`))
	_, err = call(t, ops, "PATCH", "/api/admin/blue-widgets/1/", "")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	answer, err = call(t, ops, "GET", "/api/admin/blue-widgets/1/", "")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(string(answer.Data())).To(gomega.ContainSubstring(`"name":"two"`))
	answer, err = call(t, ops, "DELETE", "/api/admin/blue-widgets/1/", "")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(answer.Data()).To(gomega.BeNil())
	for _, id := range []string{"2", "0", "01", "-1", "x", "9999999999999999999", "5%2F6"} {
		_, err = call(t, ops, "GET", "/api/admin/blue-widgets/"+id+"/", "")
		g.Expect(err).To(gomega.MatchError("Not found."), id)
	}
}

// page is the data of a list.
type page struct {
	Count    *int
	Next     *string
	Previous *string
	Results  []struct{ ID int }
}

func get(t *testing.T, ops []Operation, target string) (page, error) {
	t.Helper()
	var p page
	answer, err := call(t, ops, "GET", target, "")
	if err == nil {
		err = json.Unmarshal(answer.Data(), &p)
	}
	return p, err
}

func ids(p page) string {
	var all []string
	for _, r := range p.Results {
		all = append(all, fmt.Sprint(r.ID))
	}
	return strings.Join(all, " ")
}

func stocked(n int) []Operation {
	s := &shop{}
	for i := range n {
		s.items = append(s.items, widget{id: int64(i + 1), name: fmt.Sprintf("w%d", i%2)})
	}
	return s.resource().Operations()
}

func TestPages(t *testing.T) {
	g := gomega.NewWithT(t)
	ops := stocked(7)
	p, err := get(t, ops, "/api/admin/blue-widgets/?page_size=3&name=")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(*p.Count).To(gomega.Equal(7))
	g.Expect(ids(p)).To(gomega.Equal("1 2 3"))
	g.Expect(*p.Next).To(gomega.Equal("https://x.example/api/admin/blue-widgets/?name=&page=2&page_size=3"))
	g.Expect(p.Previous).To(gomega.BeNil())
	p, err = get(t, ops, "/api/admin/blue-widgets/?page_size=3&page=2")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(*p.Previous).To(gomega.Equal("https://x.example/api/admin/blue-widgets/?page_size=3"))
	for _, last := range []string{"last", "3"} {
		p, err = get(t, ops, "/api/admin/blue-widgets/?page_size=3&page="+last)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(ids(p)).To(gomega.Equal("7"))
		g.Expect(p.Next).To(gomega.BeNil())
		g.Expect(*p.Previous).To(gomega.HaveSuffix("?page=2&page_size=3"))
	}
	p, err = get(t, stocked(0), "/api/admin/blue-widgets/?page=last")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(p.Results).To(gomega.BeEmpty())
	p, err = get(t, ops, "/api/admin/blue-widgets/?page_size=x&page_size=100000")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(p.Results).To(gomega.HaveLen(7))
	for _, same := range []string{"page_size=3&page=last", "page=last&page_size=3", "page_size=3&page=1&page=last", "page_size=3&page=last&name=", "page_size=%33&page=l%61st", "page_size=3&page=03", "page_size=3&page=%203"} {
		p, err = get(t, ops, "/api/admin/blue-widgets/?"+same)
		g.Expect(err).NotTo(gomega.HaveOccurred(), same)
		g.Expect(ids(p)).To(gomega.Equal("7"), same)
	}
	p, err = get(t, ops, "/api/admin/blue-widgets/?page_size=3&page=")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(ids(p)).To(gomega.Equal("1 2 3"))
	for size, want := range map[string]int{"0": 15, "-1": 15, "": 15, "2.0": 15, "%2B2": 2, "%202": 2, "99999999999999999999": 20, "-99999999999999999999": 15} {
		p, err = get(t, stocked(20), "/api/admin/blue-widgets/?page_size="+size)
		g.Expect(err).NotTo(gomega.HaveOccurred(), size)
		g.Expect(p.Results).To(gomega.HaveLen(want), size)
	}
	for _, exact := range []string{"1", "7"} { // a last page that is full
		p, err = get(t, ops, "/api/admin/blue-widgets/?page=last&page_size="+exact)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(p.Next).To(gomega.BeNil())
		g.Expect(ids(p)).To(gomega.HaveSuffix("7"))
	}
	for _, bad := range []string{"4", "0", "-1", "x", "1e3", "99999999999999999999", "Last", "LAST", "last2", "lastt", "first", "3.5", "NaN"} {
		_, err = get(t, ops, "/api/admin/blue-widgets/?page_size=3&page="+bad)
		g.Expect(err).To(gomega.MatchError("Invalid page."), bad)
	}
}

func TestCursors(t *testing.T) {
	g := gomega.NewWithT(t)
	ops := stocked(5)
	follow := func(link *string) page {
		t.Helper()
		g.Expect(link).NotTo(gomega.BeNil())
		p, err := get(t, ops, strings.TrimPrefix(*link, "https://x.example"))
		g.Expect(err).NotTo(gomega.HaveOccurred())
		return p
	}
	first, err := get(t, ops, "/api/admin/blue-widgets/?pagination=cursor&page_size=2")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(first.Count).To(gomega.BeNil())
	g.Expect(first.Previous).To(gomega.BeNil())
	g.Expect(ids(first)).To(gomega.Equal("5 4"))
	second := follow(first.Next)
	g.Expect(ids(second)).To(gomega.Equal("3 2"))
	third := follow(second.Next)
	g.Expect(ids(third)).To(gomega.Equal("1"))
	g.Expect(third.Next).To(gomega.BeNil())
	g.Expect(ids(follow(third.Previous))).To(gomega.Equal("3 2"))
	back := follow(second.Previous)
	g.Expect(ids(back)).To(gomega.Equal("5 4"))
	g.Expect(back.Previous).To(gomega.BeNil())
	g.Expect(ids(follow(back.Next))).To(gomega.Equal("3 2"))
	ascending, err := get(t, ops, "/api/admin/blue-widgets/?pagination=cursor&page_size=2&orderby=created")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(ids(ascending)).To(gomega.Equal("1 2"))
	for _, bad := range []string{"x", "!", url.QueryEscape("Yzp4")} {
		_, err = get(t, ops, "/api/admin/blue-widgets/?pagination=cursor&cursor="+bad)
		g.Expect(err).To(gomega.MatchError("Invalid cursor"), bad)
	}
}

func TestFilters(t *testing.T) {
	g := gomega.NewWithT(t)
	ops := stocked(4)
	p, err := get(t, ops, "/api/admin/blue-widgets/?name=other&name=w1&unknown=1")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(ids(p)).To(gomega.Equal("2 4"))
	for query, want := range map[string]string{
		"name=%20w1+":         "2 4", // as Django's forms strip it
		"enabled=maybe":       "1 2 3 4",
		"enabled=TRUE":        "1 2 3 4",
		"created__gt=-1":      "1 2 3 4",
		"created__gt=%201%20": "1 2 3 4",
		"name=%20":            "1 2 3 4",
		"name=w1&a=%zz;b":     "2 4",
	} {
		p, err = get(t, ops, "/api/admin/blue-widgets/?"+query)
		g.Expect(err).NotTo(gomega.HaveOccurred(), query)
		g.Expect(ids(p)).To(gomega.Equal(want), query)
	}
	for _, nothing := range []string{
		"created__gt=yesterday", "created__gt=1.5", "created__gt=253402300800000", "created__gt=99999999999999999999", "kind=round&kind__in=square", "name=100%", "name=w1;", "name=%ff",
	} {
		p, err = get(t, ops, "/api/admin/blue-widgets/?"+nothing)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(*p.Count).To(gomega.BeZero(), nothing)
	}
	for query, message := range map[string]string{
		"kind=flat":                        "Select a valid choice. flat is not one of the available choices.",
		"kind__in=round,flat":              "Select a valid choice. flat is not one of the available choices.",
		"name=" + strings.Repeat("a", 256): "Ensure this value has at most 255 characters.",
		"name=w%001":                       "Null characters are not allowed.",
	} {
		_, err = get(t, ops, "/api/admin/blue-widgets/?"+query)
		g.Expect(err).To(gomega.MatchError(message), query)
	}
}

func TestOperationIDs(t *testing.T) {
	g := gomega.NewWithT(t)
	var got []string
	for _, op := range stocked(0) {
		got = append(got, op.ID()+" "+op.Method+" "+op.Path)
	}
	g.Expect(got).To(gomega.Equal([]string{
		"adminBlueWidgetsList GET admin/blue-widgets/",
		"adminBlueWidgetsCreate POST admin/blue-widgets/",
		"adminBlueWidgetsRetrieve GET admin/blue-widgets/{widget_id}/",
		"adminBlueWidgetsUpdate PUT admin/blue-widgets/{widget_id}/",
		"adminBlueWidgetsPartialUpdate PATCH admin/blue-widgets/{widget_id}/",
		"adminBlueWidgetsDestroy DELETE admin/blue-widgets/{widget_id}/",
	}))
}

func TestDocumentIsValid(t *testing.T) {
	g := gomega.NewWithT(t)
	send := Action[widget]{Path: "admin/blue-widgets/{widget_id}/send/", Body: widgets, Optional: true}
	doc := Document("Shop", "1", "https://x.example/api/", append(stocked(0), send.Operation()))
	text, err := json.Marshal(doc)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	loaded, err := openapi3.NewLoader().LoadFromData(text)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(loaded.Validate(t.Context())).To(gomega.Succeed())
	g.Expect(loaded.Paths.Value("/admin/blue-widgets/{widget_id}/send/").Post.OperationID).To(gomega.Equal("adminBlueWidgetsSendCreate"))

	// Answers match the document.
	answer, err := call(t, stocked(3), "GET", "/api/admin/blue-widgets/?page_size=2", "")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	var envelope any
	g.Expect(json.Unmarshal([]byte(`{"status":"success","data":`+string(answer.Data())+`}`), &envelope)).To(gomega.Succeed())
	schema := loaded.Components.Schemas["PaginatedWidgetListResponse"].Value
	g.Expect(schema.VisitJSON(envelope, openapi3.EnableJSONSchema2020())).To(gomega.Succeed())
}

// TestKeepsWorkByTheSizeOfTheAnswer checks that a call keeps only the work that encoding its
// answer takes, wherever the texts are.
func TestKeepsWorkByTheSizeOfTheAnswer(t *testing.T) {
	long := strings.Repeat("x", 4*bytesPerWork)
	for name, c := range map[string]struct {
		item widget
		want Work
	}{
		"short": {widget{name: "x", tags: []string{"a", "b"}, part: &part{id: "c"}}, 1},
		"text":  {widget{text: long}, 5}, "JSON": {widget{extra: json.RawMessage(`"` + long + `"`)}, 5},
		"list": {widget{tags: []string{"a", long}}, 5}, "nested": {widget{part: &part{id: long}}, 5},
		"write-only": {widget{note: long}, 1},
	} {
		c.item.id = 1
		for _, path := range []string{"", "?pagination=cursor", "1/"} {
			var kept []Work
			r := &Request{HTTP: httptest.NewRequest("GET", "/api/admin/blue-widgets/"+path, nil), KeepWork: func(w Work) { kept = append(kept, w) }}
			answer, err := serve(t, (&shop{items: []widget{c.item}}).resource().Operations(), r, "")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(kept, []Work{c.want}) {
				t.Errorf("%s: GET %s keeps %d, want %d", name, path, kept, c.want)
			}
			if n := cap(answer.data); n > answer.Size()*5/4+4096 {
				t.Errorf("%s: GET %s has a buffer of %d bytes for %d", name, path, n, answer.Size())
			}
		}
	}
}

// TestCostOfManyFieldErrors checks that the time for an answer grows with the number of its
// errors, not with its square: a query has thousands of parameters that are not filters. The
// same number of errors costs a few times as much in one answer as in many, because a long
// list exceeds the processor's caches, and dozens of times as much if each is compared with
// all others.
func TestCostOfManyFieldErrors(t *testing.T) {
	const total, few, allowed = 20_000, 20, 12
	fields := make([]FieldError, total)
	for i := range fields {
		fields[i] = FieldError{Field: strconv.Itoa(total + i), Messages: []string{"There is no such filter."}}
	}
	inMany := metertest.MeasureWithin(0, func() {
		for some := range slices.Chunk(fields, few) {
			appendFieldErrors(nil, some)
		}
	})
	if inOne := metertest.MeasureWithin(allowed*inMany, func() { appendFieldErrors(nil, fields) }); inOne > allowed*inMany {
		t.Errorf("%d errors take %s, and %s in answers of %d", total, inOne, inMany, few)
	}
}

func TestWriteError(t *testing.T) {
	g := gomega.NewWithT(t)
	w := httptest.NewRecorder()
	WriteError(w, InvalidFields(FieldError{Field: "b", Messages: []string{"Bad."}}, FieldError{Field: "a", Messages: []string{"Bad.", "Worse."}}))
	g.Expect(w.Code).To(gomega.Equal(http.StatusBadRequest))
	g.Expect(w.Body.String()).To(gomega.Equal(`{"status":"error","message":"Bad. Worse.","data":{"b":["Bad."],"a":["Bad.","Worse."]}}`))
	g.Expect(w.Header().Get("Content-Type")).To(gomega.Equal("application/json"))
	w = httptest.NewRecorder()
	WriteError(w, InvalidFields(FieldError{Field: "b", Messages: []string{"Bad."}}, FieldError{Field: "a", Items: []ItemError{{1, []string{"Worse."}}, {12, []string{"Worst."}}}}))
	g.Expect(w.Body.String()).To(gomega.Equal(`{"status":"error","message":"Invalid request.","data":{"b":["Bad."],"a":{"1":["Worse."],"12":["Worst."]}}}`))
	w = httptest.NewRecorder()
	first := []string{"Bad.", "Unseen."}[:1]
	WriteError(w, InvalidFields(FieldError{Field: "b", Messages: first}, FieldError{Field: "a", Messages: []string{"Worse."}}, FieldError{Field: "b", Messages: []string{"Worst."}}))
	g.Expect(w.Body.String()).To(gomega.Equal(`{"status":"error","message":"Bad. Worse. Worst.","data":{"b":["Bad.","Worst."],"a":["Worse."]}}`))
	g.Expect(first[:2]).To(gomega.Equal([]string{"Bad.", "Unseen."}), "the caller's messages are unchanged")
	w = httptest.NewRecorder()
	WriteError(w, Unavailable(nil, "Later."))
	g.Expect(w.Header().Get("Retry-After")).To(gomega.Equal("10"))
}
