// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxRequestBytes = 1 << 20
	defaultPageSize = 15
	maxPageSize     = 250
)

// apiCall is one authenticated request to the API.
type apiCall struct {
	p       *Platform
	http    *http.Request
	user    *user
	company *company
	body    []byte
}

// answer is what the API says: data of a success, or an error's sentence with
// the messages of fields.
type answer struct {
	status  int
	data    any
	message string
}

func ok(data any) answer                       { return answer{status: http.StatusOK, data: data} }
func created(data any) answer                  { return answer{status: http.StatusCreated, data: data} }
func refuse(status int, message string) answer { return answer{status: status, message: message} }

func notFound() answer { return refuse(http.StatusNotFound, "Not found.") }

func denied() answer { return refuse(http.StatusForbidden, "Permission denied.") }

// invalid is a validation error; the message is that of its one field.
func invalid(field, message string) answer {
	return answer{status: http.StatusBadRequest, message: message, data: object{field: []string{message}}}
}

func (a answer) encode() []byte {
	envelope := object{"status": "success"}
	if a.status >= 400 {
		envelope["status"], envelope["message"] = "error", a.message
	}
	if a.data != nil {
		envelope["data"] = a.data
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		return []byte(`{"status":"error","message":"A server error occurred."}`)
	}
	return body
}

// methods are the handlers of one path. They run under the platform's lock.
type methods map[string]func(*apiCall) answer

// resource is what permissions are named after; "" needs none.
func (p *Platform) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(path, resource string, m methods) {
		mux.Handle(path+"{$}", p.endpoint(resource, m))
	}
	route("/3/auth/", "", methods{http.MethodGet: getAuth})
	route("/3/admin/company/", "company", methods{http.MethodGet: getCompany, http.MethodPatch: patchCompany})
	route("/3/admin/webhooks/", "webhook", methods{http.MethodGet: listWebhooks, http.MethodPost: createWebhook})
	route("/3/admin/webhooks/{id}/", "webhook", methods{
		http.MethodGet: getWebhook, http.MethodPut: changeWebhook, http.MethodPatch: changeWebhook, http.MethodDelete: deleteWebhook,
	})
	route("/3/admin/webhook-tasks/", "webhook", methods{http.MethodGet: listTasks})
	route("/3/admin/webhook-tasks/{id}/", "webhook", methods{http.MethodGet: getTask})
	route("/3/admin/webhook-tasks/{id}/requests/", "webhook", methods{http.MethodGet: listTaskRequests})
	route("/3/admin/services/", "service", methods{http.MethodGet: listServices, http.MethodPost: createService})
	route("/3/admin/services/{id}/", "service", methods{
		http.MethodGet: getService, http.MethodPut: changeService, http.MethodPatch: changeService, http.MethodDelete: deleteService,
	})
	route("/3/admin/services/{id}/permissions/", "permission", methods{
		http.MethodGet: listPermissions, http.MethodPost: addPermissions,
	})
	route("/3/admin/services/{id}/permissions/{permission}/", "permission", methods{
		http.MethodGet: getPermission, http.MethodDelete: deletePermission,
	})
	route("/3/admin/transactions/", "transaction", methods{http.MethodGet: listTransactions, http.MethodPost: createTransaction})
	route("/3/admin/transactions/{id}/", "transaction", methods{http.MethodGet: getTransaction, http.MethodPatch: changeTransaction})
	route("/3/admin/users/", "user", methods{http.MethodGet: listUsers, http.MethodPost: createUser})
	route("/3/admin/users/{id}/", "user", methods{http.MethodGet: getUser, http.MethodPatch: changeUser})
	route("/3/admin/users/devices/", "device", methods{http.MethodGet: listDevices})
	route("/3/admin/currencies/", "currency", methods{http.MethodGet: listCurrencies})
	route("/3/admin/currencies/{code}/", "currency", methods{http.MethodGet: getCurrency})
	mux.Handle("/control/", p.controlRoutes())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		a := notFound()
		writeJSON(w, a.status, a.encode())
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// endpoint does what every call has in common: faults, throttling, the token,
// permissions and the record of the request.
func (p *Platform) endpoint(resource string, m methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
		if err != nil {
			a := refuse(http.StatusRequestEntityTooLarge, "Request body exceeded the limit.")
			writeJSON(w, a.status, a.encode())
			return
		}
		token := tokenOf(r)
		record := Request{Time: p.clock.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery}

		p.mu.Lock()
		owner := p.tokens[token]
		if owner != nil {
			record.Company, record.User = owner.company.ID, owner.ID
		}
		injected := p.matchFault(r, token, owner)
		p.mu.Unlock()

		if injected != nil {
			record.Fault = injected.Kind
			if !injected.After || injected.Kind == FaultDelay {
				status, handle := p.suffer(w, r, injected, &record)
				if !handle {
					record.Status = status
					p.record(record)
					return
				}
			}
		}

		p.mu.Lock()
		a, header := p.answer(&apiCall{p: p, http: r, body: body}, token, resource, m)
		p.mu.Unlock()

		if injected != nil && injected.After && injected.Kind != FaultDelay {
			record.Status, _ = p.suffer(w, r, injected, &record)
			p.record(record)
			return
		}
		for key, value := range header {
			w.Header().Set(key, value)
		}
		record.Status = a.status
		p.record(record)
		writeJSON(w, a.status, a.encode())
	})
}

func (p *Platform) answer(c *apiCall, token, resource string, m methods) (answer, map[string]string) {
	if token == "" {
		return refuse(http.StatusUnauthorized, "Authentication credentials were not provided."), nil
	}
	if wait := p.throttle.take(token, p.clock.Now()); wait > 0 {
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		return refuse(http.StatusTooManyRequests, "Request was throttled: expected available in "+seconds+" seconds."),
			map[string]string{"Retry-After": seconds}
	}
	c.user = p.tokens[token]
	switch {
	case c.user == nil:
		return refuse(http.StatusUnauthorized, "Invalid token."), nil
	case c.user.Deactivated, c.user.Archived:
		return refuse(http.StatusUnauthorized, "User inactive or deleted."), nil
	}
	c.company = c.user.company
	handle := m[c.http.Method]
	if handle == nil {
		return refuse(http.StatusMethodNotAllowed, fmt.Sprintf("Method %q not allowed.", c.http.Method)), nil
	}
	if resource != "" && !c.user.may(resource, c.http.Method) {
		return denied(), nil
	}
	if len(c.body) > 0 {
		if mediaType, _, err := mime.ParseMediaType(c.http.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
			return refuse(http.StatusUnsupportedMediaType,
				fmt.Sprintf("Unsupported media type %q in request.", c.http.Header.Get("Content-Type"))), nil
		}
		if !json.Valid(c.body) {
			return refuse(http.StatusBadRequest, "JSON parse error - Expecting value: line 1 column 1 (char 0)"), nil
		}
	}
	return handle(c), nil
}

func tokenOf(r *http.Request) string {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Token") {
		return ""
	}
	return strings.TrimSpace(token)
}

// may says whether the user has the permission of the admin section.
func (u *user) may(resource, method string) bool {
	level := map[string]string{
		http.MethodGet: "view", http.MethodPost: "add", http.MethodPut: "change",
		http.MethodPatch: "change", http.MethodDelete: "delete",
	}[method]
	switch {
	case u.Group == "admin":
		return true
	case u.service != nil:
		return slices.ContainsFunc(u.service.permissions, func(have Permission) bool {
			return have.Section == "admin" && have.Type == resource && have.Level == level
		})
	default:
		return false
	}
}

func (p *Platform) record(r Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) >= 2*p.opts.RequestHistory {
		p.requests = append([]Request(nil), p.requests[len(p.requests)-p.opts.RequestHistory:]...)
	}
	p.requests = append(p.requests, r)
}

// Requests lists the calls that the API received, oldest first, each once it
// has been answered or left hanging.
func (p *Platform) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := max(0, len(p.requests)-p.opts.RequestHistory)
	return append([]Request{}, p.requests[from:]...)
}

// ClearRequests forgets them.
func (p *Platform) ClearRequests() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// decode reads the body into v, which holds the present values of a change.
func (c *apiCall) decode(v any) (answer, bool) {
	if len(c.body) == 0 {
		return answer{}, true
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return invalid("non_field_errors", "Invalid data."), false
	}
	return answer{}, true
}

func (c *apiCall) pathID() int64 {
	id, err := strconv.ParseInt(c.http.PathValue("id"), 10, 64)
	if err != nil {
		return -1
	}
	return id
}

// paginate shows one page, newest first as the platform does by default.
func paginate[T any](c *apiCall, items []T, view func(T) any) answer {
	query := c.http.URL.Query()
	size, err := strconv.Atoi(query.Get("page_size"))
	if err != nil || size < 1 {
		size = defaultPageSize
	}
	size = min(size, maxPageSize)
	number := 1
	if raw := query.Get("page"); raw != "" {
		if number, err = strconv.Atoi(raw); err != nil || number < 1 {
			return refuse(http.StatusNotFound, "Invalid page.")
		}
	}
	pages := max(1, (len(items)+size-1)/size)
	if number > pages {
		return refuse(http.StatusNotFound, "Invalid page.")
	}
	results := []any{}
	for i := (number - 1) * size; i < min(number*size, len(items)); i++ {
		results = append(results, view(items[len(items)-1-i]))
	}
	var next, previous any
	if number < pages {
		next = pageURL(c.http, query, number+1)
	}
	if number > 1 {
		previous = pageURL(c.http, query, number-1)
	}
	return ok(object{"count": len(items), "next": next, "previous": previous, "results": results})
}

func pageURL(r *http.Request, query url.Values, number int) string {
	query.Set("page", strconv.Itoa(number))
	if number == 1 {
		query.Del("page")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	u := url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path, RawQuery: query.Encode()}
	return u.String()
}

// filter keeps the items whose fields equal what the query asks for; name__in
// asks for one of several.
func filter[T any](c *apiCall, items []T, fields map[string]func(T) string) []T {
	query := c.http.URL.Query()
	return slices.DeleteFunc(slices.Clone(items), func(item T) bool {
		for name, value := range fields {
			if want, asked := query[name]; asked && value(item) != want[0] {
				return true
			}
			if want, asked := query[name+"__in"]; asked && !slices.Contains(strings.Split(want[0], ","), value(item)) {
				return true
			}
		}
		return false
	})
}

// throttle is a budget of calls per token and window. Guarded by the platform's
// lock.
type throttle struct {
	limit  int
	window time.Duration
	used   map[string]*spent
}

type spent struct {
	since time.Time
	calls int
}

// SetThrottle lets every token make limit calls per window; 0 lifts the limit.
// The platform's own tiers are 150 to 1200 a minute.
func (p *Platform) SetThrottle(limit int, window time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.throttle = throttle{limit: limit, window: window, used: make(map[string]*spent)}
}

// take spends one call, or says how long to wait.
func (t *throttle) take(token string, now time.Time) time.Duration {
	if t.limit <= 0 {
		return 0
	}
	s := t.used[token]
	if s == nil || now.Sub(s.since) >= t.window {
		s = &spent{since: now}
		t.used[token] = s
	}
	if s.calls >= t.limit {
		return s.since.Add(t.window).Sub(now)
	}
	s.calls++
	return 0
}
