// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/unsubscribe"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// handlerFunc answers one request. An error that is an *rest.Error becomes that
// answer, any other a 500.
type handlerFunc func(context.Context, *call) (rest.Answer, error)

// route is one path of the API.
type route struct {
	path    string                 // ends in a slash, like every path of the platform
	methods map[string]handlerFunc // nil for a method that needs the last slash
	noHead  bool                   // GET streams its answer, so there is no HEAD
	maxBody int64
	budget  time.Duration // from the header to the answer
	quiet   bool          // too frequent to log each refusal
	public  bool          // answered without a credential, as OPTIONS always is
}

func (s *Server) table() []route {
	lifecycle := func(path string, h handlerFunc) route {
		return route{
			path:    path,
			methods: map[string]handlerFunc{http.MethodPost: h},
			maxBody: s.limits.LifecycleBody,
			budget:  s.limits.LifecycleBudget,
		}
	}
	webhook := func(path string) route {
		return route{
			path:    path,
			methods: map[string]handlerFunc{http.MethodPost: s.webhook},
			maxBody: s.limits.WebhookBody,
			budget:  s.limits.WebhookBudget,
			quiet:   true,
		}
	}
	return []route{
		{path: "/", methods: map[string]handlerFunc{http.MethodGet: index}, quiet: true, public: true},
		lifecycle("/api/activate/", s.activate),
		lifecycle("/api/deactivate/", s.deactivate),
		lifecycle("/api/rotate/", s.rotate),
		webhook("/api/webhook/"),
		// Some admins registered webhooks with this URL manually.
		webhook("/api/admin/webhook/"),
	}
}

// routes returns the handler of all paths. Web pages of the given origins may call the
// admin and user API.
func (s *Server) routes(origins []string) (http.Handler, error) {
	document, page := s.describe()
	shared, err := crossOrigin(origins, s.paced)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/{$}", s.paced(page))
	mux.Handle("/api", s.endpoint(route{path: "/api/", methods: map[string]handlerFunc{http.MethodGet: index}}.withoutSlash()))
	mux.Handle("/api/schema.json", shared(s.paced(document)))
	if s.unsubscribe != nil {
		page, err := newUnsubscriber(s, s.unsubscribe)
		if err != nil {
			return nil, err
		}
		mux.Handle(unsubscribe.Path+"{token}", page)
	}
	missing := s.endpoint(route{path: "other", quiet: true})
	mux.Handle("/", missing)
	handle := func(rt route, wrap func(http.Handler) http.Handler) {
		mux.Handle(rt.path+"{$}", wrap(s.endpoint(rt)))
		if bare := strings.TrimSuffix(rt.path, "/"); bare != "" {
			// The mux would redirect, which turns a POST into a GET.
			mux.Handle(bare, wrap(s.endpoint(rt.withoutSlash())))
		}
	}
	for _, rt := range append(s.table(), s.feedbackRoutes()...) {
		handle(rt, func(h http.Handler) http.Handler { return h })
	}
	for _, rt := range s.resources(s.operations()) {
		handle(rt, shared)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			// It may have had a Content-Length as well, which net/http drops. A proxy that
			// goes by that sees other requests on this connection (RFC 9112, 6.1).
			w.Header().Set("Connection", "close")
		}
		// The mux would redirect paths that it cleans. A call to /api without its slash has a wrong
		// URL, unless it only reads the page.
		clean := path.Clean(r.URL.Path)
		if clean != r.URL.Path && (clean == "/" || clean+"/" != r.URL.Path) || r.URL.Path == "/api" && r.Method != http.MethodGet && r.Method != http.MethodHead {
			missing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}
	return http.HandlerFunc(handler), nil
}

// handler returns the handler for a request's method.
func (rt route) handler(r *http.Request) (handlerFunc, error) {
	if len(rt.methods) == 0 {
		return nil, noSuchPath(r.Method, r.URL.Path)
	}
	method := r.Method
	if method == http.MethodHead && !rt.noHead {
		method = http.MethodGet
	}
	h, ok := rt.methods[method]
	switch {
	case h != nil:
		return h, nil
	case ok:
		missing := rest.NotFound()
		missing.Message = "Not found. The path must end in a slash."
		return nil, missing
	case method == http.MethodOptions:
		return func(context.Context, *call) (rest.Answer, error) { return rest.Answer{Allow: rt.allow()}, nil }, nil
	}
	return nil, rest.MethodNotAllowed(rest.Truncate(r.Method, 20), rt.allow())
}

// allow returns the value of the Allow header.
func (rt route) allow() string {
	methods := slices.Sorted(maps.Keys(rt.methods))
	if i := slices.Index(methods, http.MethodGet); i >= 0 && !rt.noHead {
		methods = slices.Insert(methods, i+1, http.MethodHead)
	}
	return strings.Join(append(methods, http.MethodOptions), ", ")
}

// withoutSlash returns the route of the same path without its last slash. Like Django with
// APPEND_SLASH, it redirects what can be read there. Clients would repeat other requests as a GET,
// so these are refused.
func (rt route) withoutSlash() route {
	if rt.methods[http.MethodGet] == nil {
		return route{path: "other", quiet: true}
	}
	redirect := func(_ context.Context, c *call) (rest.Answer, error) {
		u := c.request.URL
		// Relative to the path, because a proxy may have removed the beginning of it.
		location := "./" + path.Base(u.EscapedPath()) + "/"
		if u.RawQuery != "" {
			location += "?" + u.RawQuery
		}
		return rest.Answer{Status: http.StatusMovedPermanently, Location: location}, nil
	}
	methods := map[string]handlerFunc{http.MethodGet: redirect, http.MethodOptions: redirect}
	for method := range rt.methods {
		if method != http.MethodGet {
			methods[method] = nil
		}
	}
	return route{path: "other", methods: methods, maxBody: rt.maxBody, quiet: true, public: true}
}

// noSuchPath answers 404. The platform shows the message to the admin, who may have
// registered a URL that doesn't end in /api/, or misspelled the one of webhooks. The
// platform only makes POST requests.
func noSuchPath(method, requested string) *rest.Error {
	e := rest.NotFound()
	switch path.Base(requested) {
	case "activate", "deactivate", "rotate", "webhook":
	default:
		isAPI := strings.HasPrefix(requested, "/api/admin/") || strings.HasPrefix(requested, "/api/user/")
		if isAPI || method != http.MethodPost && strings.HasPrefix(requested, "/api/") {
			return e
		}
	}
	e.Message = "Not found. The URL of this extension ends in /api/, with the slash, as in https://notifications.example.com/api/; " +
		"webhooks are sent to /api/webhook/. Correct the URL that is registered on Rehive."
	return e
}
