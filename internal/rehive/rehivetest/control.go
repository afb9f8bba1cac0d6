// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

const controlHelp = `The simulated platform's control API. JSON in, JSON out.

GET    /control/companies/                                     list
POST   /control/companies/                                     {"id", "name", "mode", "system_email", "currencies", ...}
DELETE /control/companies/{company}/                           remove; active services get a purge call
GET    /control/companies/{company}/users/                     list, with tokens
POST   /control/companies/{company}/users/                     {"email", "mobile", "first_name", "group", ...}
PATCH  /control/companies/{company}/users/{user}/              the same fields; raises user.update
POST   /control/companies/{company}/users/{user}/devices/      {"name", "tokens": ["ExponentPushToken[...]"]}
POST   /control/companies/{company}/users/{user}/tokens/       one more token
DELETE /control/tokens/{token}/                                revoke
GET    /control/companies/{company}/services/                  list, with the service users' tokens
POST   /control/companies/{company}/services/                  {"name", "url"}
POST   /control/companies/{company}/services/{id}/activate/    what an admin does with PATCH /3/admin/services/{id}/
POST   /control/companies/{company}/services/{id}/deactivate/
POST   /control/companies/{company}/services/{id}/rotate/
PUT    /control/companies/{company}/services/{id}/permissions/ [{"section": "admin", "type": "webhook", "level": "view"}, ...]
POST   /control/companies/{company}/transactions/              {"user", "amount", "currency", "tx_type", "recipient", "status", "subtype", "children": [{"amount": -10}]}
POST   /control/companies/{company}/transactions/{id}/execute/ {"status": "Complete"}
POST   /control/companies/{company}/events/                    {"event", "data"} or {"event", "user"} for a sample
GET    /control/companies/{company}/webhooks/
DELETE /control/companies/{company}/webhooks/{id}/             behind the extension's back
GET    /control/companies/{company}/tasks/                     webhook tasks and their attempts
POST   /control/tasks/{id}/redeliver/                          send a webhook task once more
GET    /control/stats/                                         webhook tasks by state
GET    /control/requests/                                      what the API received; DELETE forgets
GET    /control/faults/                                        in force; DELETE removes all
POST   /control/faults/                                        {"kind": "hang|delay|status|garbage|close|huge", "method", "path", "token", "company", "skip", "times", "after", "status", "message", "body", "retry_after", "delay"}
POST   /control/throttle/                                      {"limit": 200, "seconds": 60}; limit 0 lifts it
POST   /control/clock/                                         {"advance_seconds": 60}, with a manual clock only
POST   /control/seed/                                          the demo company

{user} is a UUID or an e-mail address. A delay is in nanoseconds.
`

// done is the answer of a control call that has nothing to show.
var done = object{"status": "done"}

// controlRoutes serves everything that a test does with Go calls to people with
// curl.
func (p *Platform) controlRoutes() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern+"{$}", func(w http.ResponseWriter, r *http.Request) {
			result, err := f(r)
			status := http.StatusOK
			if err != nil {
				status, result = http.StatusBadRequest, object{"status": "error", "message": err.Error()}
			}
			body, err := json.MarshalIndent(result, "", "  ")
			if err != nil {
				status, body = http.StatusInternalServerError, []byte(`{"status":"error"}`)
			}
			writeJSON(w, status, append(body, '\n'))
		})
	}
	mux.HandleFunc("/control/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if r.URL.Path != "/control/" || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, controlHelp)
	})

	route("GET /control/companies/", func(*http.Request) (any, error) { return p.Companies(), nil })
	route("POST /control/companies/", func(r *http.Request) (any, error) {
		return with(r, func(spec Company) (any, error) { return p.AddCompany(spec) })
	})
	route("DELETE /control/companies/{company}/", func(r *http.Request) (any, error) {
		return done, p.RemoveCompany(r.Context(), r.PathValue("company"))
	})
	p.controlUsers(route)
	p.controlServices(route)
	p.controlEvents(route)
	p.controlTrouble(route)
	route("POST /control/seed/", func(*http.Request) (any, error) { return p.Seed() })
	return mux
}

type router = func(pattern string, f func(*http.Request) (any, error))

func (p *Platform) controlUsers(route router) {
	const users = "/control/companies/{company}/users/"
	route("GET "+users, func(r *http.Request) (any, error) { return p.Users(r.PathValue("company")), nil })
	route("POST "+users, func(r *http.Request) (any, error) {
		return with(r, func(spec User) (any, error) { return p.AddUser(r.PathValue("company"), spec) })
	})
	route("PATCH "+users+"{user}/", func(r *http.Request) (any, error) {
		return with(r, func(body userBody) (any, error) {
			return p.UpdateUser(r.PathValue("company"), r.PathValue("user"), body.apply)
		})
	})
	route("POST "+users+"{user}/devices/", func(r *http.Request) (any, error) {
		return with(r, func(spec Device) (any, error) {
			id, err := p.AddDevice(r.PathValue("company"), r.PathValue("user"), spec)
			return object{"id": id}, err
		})
	})
	route("POST "+users+"{user}/tokens/", func(r *http.Request) (any, error) {
		token, err := p.IssueToken(r.PathValue("company"), r.PathValue("user"))
		return object{"token": token}, err
	})
	route("DELETE /control/tokens/{token}/", func(r *http.Request) (any, error) {
		p.RevokeToken(r.PathValue("token"))
		return done, nil
	})
}

func (p *Platform) controlServices(route router) {
	const services = "/control/companies/{company}/services/"
	route("GET "+services, func(r *http.Request) (any, error) { return p.Services(r.PathValue("company")), nil })
	route("POST "+services, func(r *http.Request) (any, error) {
		return with(r, func(spec Service) (any, error) { return p.AddService(r.PathValue("company"), spec) })
	})
	for name, act := range map[string]func(*http.Request, string, int64) error{
		"activate":   func(r *http.Request, company string, id int64) error { return p.Activate(r.Context(), company, id) },
		"deactivate": func(r *http.Request, company string, id int64) error { return p.Deactivate(r.Context(), company, id) },
		"rotate":     func(r *http.Request, company string, id int64) error { return p.RotateToken(r.Context(), company, id) },
	} {
		route("POST "+services+"{id}/"+name+"/", func(r *http.Request) (any, error) {
			company, id := r.PathValue("company"), pathNumber(r)
			if err := act(r, company, id); err != nil {
				return nil, err
			}
			return p.Service(company, id)
		})
	}
	route("PUT "+services+"{id}/permissions/", func(r *http.Request) (any, error) {
		return with(r, func(permissions []Permission) (any, error) {
			return done, p.SetPermissions(r.PathValue("company"), pathNumber(r), permissions)
		})
	})
}

func (p *Platform) controlEvents(route router) {
	const company = "/control/companies/{company}/"
	route("POST "+company+"transactions/", func(r *http.Request) (any, error) {
		return with(r, func(spec NewTransaction) (any, error) { return p.AddTransaction(r.PathValue("company"), spec) })
	})
	route("POST "+company+"transactions/{id}/execute/", func(r *http.Request) (any, error) {
		return with(r, func(body struct {
			Status string `json:"status"`
		}) (any, error) {
			setDefault(&body.Status, "Complete")
			return done, p.ExecuteTransaction(r.PathValue("company"), r.PathValue("id"), body.Status)
		})
	})
	route("POST "+company+"events/", func(r *http.Request) (any, error) {
		return with(r, func(body struct {
			Event string          `json:"event"`
			User  string          `json:"user"`
			Data  json.RawMessage `json:"data"`
		}) (tasks any, err error) {
			var ids []int64
			if body.Data != nil {
				ids, err = p.Emit(r.PathValue("company"), body.Event, body.Data)
			} else {
				ids, err = p.EmitSample(r.PathValue("company"), body.Event, body.User)
			}
			return object{"tasks": ids}, err
		})
	})
	route("GET "+company+"webhooks/", func(r *http.Request) (any, error) { return p.Webhooks(r.PathValue("company")), nil })
	route("DELETE "+company+"webhooks/{id}/", func(r *http.Request) (any, error) {
		return done, p.RemoveWebhook(r.PathValue("company"), pathNumber(r))
	})
	route("GET "+company+"tasks/", func(r *http.Request) (any, error) { return p.Tasks(r.PathValue("company")), nil })
	route("POST /control/tasks/{id}/redeliver/", func(r *http.Request) (any, error) { return done, p.Redeliver(pathNumber(r)) })
	route("GET /control/stats/", func(*http.Request) (any, error) { return p.Stats(), nil })
}

func (p *Platform) controlTrouble(route router) {
	route("GET /control/requests/", func(*http.Request) (any, error) { return p.Requests(), nil })
	route("DELETE /control/requests/", func(*http.Request) (any, error) {
		p.ClearRequests()
		return done, nil
	})
	route("GET /control/faults/", func(*http.Request) (any, error) { return p.Faults(), nil })
	route("POST /control/faults/", func(r *http.Request) (any, error) {
		return with(r, func(spec Fault) (any, error) {
			if err := spec.check(); err != nil {
				return nil, err
			}
			p.InjectFault(spec)
			return spec, nil
		})
	})
	route("DELETE /control/faults/", func(*http.Request) (any, error) {
		p.ClearFaults()
		return done, nil
	})
	route("POST /control/throttle/", func(r *http.Request) (any, error) {
		return with(r, func(body struct {
			Limit   int     `json:"limit"`
			Seconds float64 `json:"seconds"`
		}) (any, error) {
			if body.Limit > 0 && body.Seconds <= 0 {
				return nil, errors.New("seconds must be positive")
			}
			p.SetThrottle(body.Limit, time.Duration(body.Seconds*float64(time.Second)))
			return done, nil
		})
	})
	route("POST /control/clock/", func(r *http.Request) (any, error) {
		return with(r, func(body struct {
			AdvanceSeconds float64 `json:"advance_seconds"`
		}) (any, error) {
			clock, manual := p.clock.(*ManualClock)
			if !manual {
				return nil, errors.New("the platform runs on the real clock")
			}
			clock.Advance(time.Duration(body.AdvanceSeconds * float64(time.Second)))
			return object{"now": clock.Now()}, nil
		})
	})
}

// with decodes the request's body, which may be missing, for f.
func with[T any](r *http.Request, f func(T) (any, error)) (any, error) {
	var in T
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBytes))
	if err != nil {
		return nil, errors.New("the body can't be read")
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, err
		}
	}
	return f(in)
}

func pathNumber(r *http.Request) int64 {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
