// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// spyClock remembers the time limits that were set.
type spyClock struct {
	*rehivetest.ManualClock
	limits chan time.Duration
}

func newSpyClock() spyClock {
	return spyClock{rehivetest.NewManualClock(epoch), make(chan time.Duration, 1000)}
}

func (c spyClock) AfterFunc(d time.Duration, f func()) func() {
	c.limits <- d
	return c.ManualClock.AfterFunc(d, f)
}

// start returns a platform with the demo company.
func start(t testing.TB, opts rehivetest.Options) (*rehivetest.Platform, rehivetest.Seeded) {
	t.Helper()
	p := rehivetest.New(opts)
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	seed, err := p.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return p, seed
}

func session(t testing.TB, p *rehivetest.Platform, token string) rehive.Session {
	t.Helper()
	client, err := rehive.New(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client.WithToken(token)
}

// call makes a raw call to the API and returns status and body.
func call(t testing.TB, method, url, token, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Token "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %d, not JSON: %v", method, url, resp.StatusCode, err)
	}
	fields, _ := answer.(map[string]any)
	return resp.StatusCode, fields
}

// extension is what the platform calls. A test may change how it answers.
type extension struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []received
	handle http.HandlerFunc
	got    chan received // every call, once read
}

type received struct {
	path   string
	header http.Header
	body   map[string]any
}

func newExtension(t testing.TB, handle http.HandlerFunc) *extension {
	e := &extension{handle: handle, got: make(chan received, 1000)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		call := received{path: r.URL.Path, header: r.Header.Clone()}
		_ = json.Unmarshal(raw, &call.body)
		e.mu.Lock()
		e.calls = append(e.calls, call)
		handle := e.handle
		e.mu.Unlock()
		e.got <- call
		handle(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *extension) answer(handle http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handle = handle
}

func (e *extension) next(t testing.TB) received {
	t.Helper()
	select {
	case call := <-e.got:
		return call
	case <-time.After(3 * time.Minute):
		t.Fatal("the extension was not called")
		return received{}
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func addService(t testing.TB, p *rehivetest.Platform, url string) int64 {
	t.Helper()
	s, err := p.AddService("demo", rehivetest.Service{Name: "Notifications", URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func idle(t testing.TB, p *rehivetest.Platform) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Idle(ctx); err != nil {
		t.Fatalf("the platform did not become idle: %v", err)
	}
}

func TestEnvelopesAndErrors(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	url := p.URL()
	for name, c := range map[string]struct {
		method, path, token, body string
		status                    int
		message                   string
	}{
		"no token":        {"GET", "auth/", "", "", 401, "Authentication credentials were not provided."},
		"unknown token":   {"GET", "auth/", "nope", "", 401, "Invalid token."},
		"customer":        {"GET", "admin/company/", seed.Customers[0].Token, "", 403, "Permission denied."},
		"unknown path":    {"GET", "nope/", seed.Admin.Token, "", 404, "Not found."},
		"wrong method":    {"POST", "auth/", seed.Admin.Token, "", 405, `Method "POST" not allowed.`},
		"not JSON":        {"POST", "admin/webhooks/", seed.Admin.Token, "{", 400, "JSON parse error - Expecting value: line 1 column 1 (char 0)"},
		"no url":          {"POST", "admin/webhooks/", seed.Admin.Token, "{}", 400, "This field is required."},
		"invalid page":    {"GET", "admin/webhooks/?page=2", seed.Admin.Token, "", 404, "Invalid page."},
		"page zero":       {"GET", "admin/webhooks/?page=0", seed.Admin.Token, "", 404, "Invalid page."},
		"page word":       {"GET", "admin/webhooks/?page=x", seed.Admin.Token, "", 404, "Invalid page."},
		"unknown user":    {"GET", "admin/users/nope/", seed.Admin.Token, "", 404, "Not found."},
		"unknown webhook": {"DELETE", "admin/webhooks/99/", seed.Admin.Token, "", 404, "Not found."},
		"unknown service": {"PATCH", "admin/services/99/", seed.Admin.Token, `{"active":true}`, 404, "Not found."},
	} {
		status, got := call(t, c.method, url+c.path, c.token, c.body)
		if status != c.status || got["status"] != "error" || got["message"] != c.message {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	status, got := call(t, "GET", url+"admin/currencies/XBT/", seed.Admin.Token, "")
	if status != 200 || got["status"] != "success" || got["data"].(map[string]any)["divisibility"] != float64(8) {
		t.Errorf("currency: %d %v", status, got)
	}
}

func TestPages(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	for i := range 20 {
		if _, err := p.AddUser("demo", rehivetest.User{Email: fmt.Sprintf("u%d@example.com", i), Group: "vip"}); err != nil {
			t.Fatal(err)
		}
	}
	_, got := call(t, "GET", p.URL()+"admin/users/?group=vip", seed.Admin.Token, "")
	first := got["data"].(map[string]any)
	if first["count"] != float64(20) || len(first["results"].([]any)) != 15 || first["previous"] != nil {
		t.Fatalf("first page: %v", first)
	}
	if first["next"] != p.URL()+"admin/users/?group=vip&page=2" {
		t.Fatalf("next is %v", first["next"])
	}
	_, got = call(t, "GET", first["next"].(string), seed.Admin.Token, "")
	second := got["data"].(map[string]any)
	if len(second["results"].([]any)) != 5 || second["next"] != nil || second["previous"] != p.URL()+"admin/users/?group=vip" {
		t.Fatalf("second page: %v", second)
	}
	ids := seed.Customers[0].ID + "," + seed.Customers[1].ID
	_, got = call(t, "GET", p.URL()+"admin/users/?id__in="+ids, seed.Admin.Token, "")
	if got["data"].(map[string]any)["count"] != float64(2) {
		t.Errorf("id__in: %v", got)
	}
}

func TestActivationByAnAdmin(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	var fromInside error
	ext := newExtension(t, nil)
	ext.answer(func(w http.ResponseWriter, r *http.Request) {
		// The calls of an extension while it is being activated.
		ext.mu.Lock()
		token, _ := ext.calls[len(ext.calls)-1].body["token"].(string)
		ext.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/activate/") {
			s := session(t, p, token)
			user, err := s.Auth(r.Context())
			if err == nil && !user.InGroup("service") {
				err = fmt.Errorf("got %+v", user)
			}
			if err == nil {
				_, err = s.CreateWebhook(r.Context(), rehive.WebhookRequest{URL: ext.URL + "/api/webhook/", Event: "user.create", Secret: "s"})
			}
			fromInside = err
		}
		answer(200, `{"status":"success"}`)(w, r)
	})
	status, got := call(t, "POST", p.URL()+"admin/services/", seed.Admin.Token, `{"name":"Mine","url":"`+ext.URL+`/api/"}`)
	if status != 201 {
		t.Fatalf("create: %d %v", status, got)
	}
	id := int64(got["data"].(map[string]any)["id"].(float64))
	service := fmt.Sprintf("%sadmin/services/%d/", p.URL(), id)
	status, got = call(t, "PATCH", service, seed.Admin.Token, `{"active":true}`)
	if status != 200 || got["data"].(map[string]any)["active"] != true || fromInside != nil {
		t.Fatalf("activate: %d %v, inside: %v", status, got, fromInside)
	}
	activate := ext.next(t)
	if activate.path != "/api/activate/" || activate.header.Get("Authorization") != "" || len(activate.body) != 1 ||
		activate.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(activate.header.Get("User-Agent"), "rehive-platform/") {
		t.Errorf("the extension got %+v", activate)
	}

	// Its webhook is tied to the service while that is active, for all.
	hook := p.Webhooks("demo")[0]
	token := activate.body["token"].(string)
	for _, who := range []string{token, seed.Admin.Token} {
		s := session(t, p, who)
		secret := "changed"
		if _, err := s.UpdateWebhook(t.Context(), hook.ID, rehive.WebhookPatch{Secret: &secret}); !rehive.IsForbidden(err) {
			t.Errorf("change of a tied webhook: %v", err)
		}
		if err := s.DeleteWebhook(t.Context(), hook.ID); !rehive.IsForbidden(err) {
			t.Errorf("deletion of a tied webhook: %v", err)
		}
	}
	hooks, err := session(t, p, token).Webhooks(t.Context(), rehive.WebhookFilter{})
	if err != nil || len(hooks) != 1 || hooks[0].Service == nil || hooks[0].Service.ID != id || hooks[0].Secret != "s" {
		t.Errorf("%+v, %v", hooks, err)
	}

	// Rotation.
	if err := p.RotateToken(t.Context(), "demo", id); err != nil {
		t.Fatal(err)
	}
	rotate := ext.next(t)
	fresh, _ := rotate.body["token"].(string)
	if rotate.path != "/api/rotate/" || fresh == "" || fresh == token {
		t.Errorf("the extension got %+v", rotate)
	}
	if _, err := session(t, p, token).Auth(t.Context()); !rehive.IsUnauthorized(err) {
		t.Errorf("the old token: %v", err)
	}
	user, err := session(t, p, fresh).Auth(t.Context())
	if err != nil {
		t.Errorf("the new token: %v", err)
	}

	// Deactivation.
	status, got = call(t, "PUT", service, seed.Admin.Token, `{"name":"Mine","url":"`+ext.URL+`/api/","active":false}`)
	if status != 200 || got["data"].(map[string]any)["active"] != false {
		t.Fatalf("deactivate: %d %v", status, got)
	}
	deactivate := ext.next(t)
	if deactivate.path != "/api/deactivate/" || deactivate.body["token"] != fresh || deactivate.body["purge"] != nil {
		t.Errorf("the extension got %+v", deactivate)
	}
	if _, err := session(t, p, fresh).Auth(t.Context()); !rehive.IsUnauthorized(err) {
		t.Errorf("the token after deactivation: %v", err)
	}

	// Reactivation has another service user; its webhook is there already.
	if err := p.Activate(t.Context(), "demo", id); err != nil {
		t.Fatal(err)
	}
	if !rehive.IsDuplicateWebhook(fromInside) {
		t.Errorf("the webhook should be there already: %v", fromInside)
	}
	again := ext.next(t)
	other, err := session(t, p, again.body["token"].(string)).Auth(t.Context())
	if err != nil || other.ID == user.ID {
		t.Errorf("%+v, %v", other, err)
	}

	// The company leaves.
	if err := p.RemoveCompany(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if purge := ext.next(t); purge.path != "/api/deactivate/" || purge.body["purge"] != true {
		t.Errorf("the extension got %+v", purge)
	}
	if status, _ := call(t, "GET", p.URL()+"auth/", seed.Admin.Token, ""); status != 401 {
		t.Errorf("a token of a company that is gone: %d", status)
	}
}

func TestActivationFails(t *testing.T) {
	clock := newSpyClock()
	p, seed := start(t, rehivetest.Options{Clock: clock})
	ext := newExtension(t, nil)
	nobody := httptest.NewServer(nil)
	nobody.Close()
	for name, c := range map[string]struct {
		handle  http.HandlerFunc
		url     string
		message string
	}{
		"its own message":  {answer(400, `{"status":"error","message":"Invalid company."}`), ext.URL + "/api/", "Invalid company."},
		"a 502 page":       {answer(502, `<html>`), ext.URL + "/api/", "Received a 502 response."},
		"202 is a failure": {answer(202, ``), ext.URL + "/api", "Received a 202 response."},
		"redirect":         {answer(302, ``), ext.URL + "/api/", "Received a 302 response."},
		"nobody there":     {nil, nobody.URL + "/api/", "Unable to connect to " + nobody.URL + "/api/activate/."},
		"after 10 s":       {hang, ext.URL + "/api/", "Unable to connect to " + ext.URL + "/api/activate/."},
	} {
		t.Run(name, func(t *testing.T) {
			ext.answer(c.handle)
			id := addService(t, p, c.url)
			failed := make(chan map[string]any)
			go func() {
				status, got := call(t, "PATCH", fmt.Sprintf("%sadmin/services/%d/", p.URL(), id), seed.Admin.Token, `{"active":true}`)
				got["code"] = status
				failed <- got
			}()
			var token string
			if c.handle != nil {
				token, _ = ext.next(t).body["token"].(string)
			}
			if name == "after 10 s" {
				clock.Advance(10 * time.Second)
			}
			if limit := <-clock.limits; limit != 10*time.Second {
				t.Errorf("the limit is %s", limit)
			}
			got := <-failed
			if got["code"] != 400 || got["status"] != "error" || got["message"] != c.message {
				t.Errorf("the admin is told %v", got)
			}
			s, err := p.Service("demo", id)
			if err != nil || s.Active || s.Token != "" {
				t.Errorf("%+v, %v", s, err)
			}
			if token != "" {
				if _, err := session(t, p, token).Auth(t.Context()); !rehive.IsUnauthorized(err) {
					t.Errorf("the token of a failed activation: %v", err)
				}
			}
		})
	}
}

func TestRotationFailsAndTheOldTokenHolds(t *testing.T) {
	p, _ := start(t, rehivetest.Options{})
	ext := newExtension(t, answer(200, `{}`))
	id := addService(t, p, ext.URL)
	if err := p.RotateToken(t.Context(), "demo", id); err == nil {
		t.Error("an inactive service's token was rotated")
	}
	if err := p.Activate(t.Context(), "demo", id); err != nil {
		t.Fatal(err)
	}
	before, _ := p.Service("demo", id)
	ext.next(t)
	ext.answer(answer(500, `{"status":"error","message":"A server error occurred."}`))
	var told *rehivetest.ExtensionError
	if err := p.RotateToken(t.Context(), "demo", id); !errors.As(err, &told) || told.Message != "A server error occurred." {
		t.Errorf("got %v", err)
	}
	if _, err := session(t, p, before.Token).Auth(t.Context()); err != nil {
		t.Errorf("the old token: %v", err)
	}
	if _, err := session(t, p, ext.next(t).body["token"].(string)).Auth(t.Context()); !rehive.IsUnauthorized(err) {
		t.Errorf("the refused token: %v", err)
	}
}

func TestPermissionsOfAServiceUser(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	ext := newExtension(t, answer(200, `{}`))
	id := addService(t, p, ext.URL)
	if err := p.Activate(t.Context(), "demo", id); err != nil {
		t.Fatal(err)
	}
	service, _ := p.Service("demo", id)
	s := session(t, p, service.Token)
	if _, err := s.Company(t.Context()); err != nil {
		t.Errorf("the minimum does not suffice: %v", err)
	}
	if status, _ := call(t, "GET", p.URL()+"admin/services/", service.Token, ""); status != 403 {
		t.Errorf("services: %d", status)
	}
	if err := p.SetPermissions("demo", id, []rehivetest.Permission{{Section: "admin", Type: "webhook", Level: "view"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Webhooks(t.Context(), rehive.WebhookFilter{}); err != nil {
		t.Error(err)
	}
	if _, err := s.CreateWebhook(t.Context(), rehive.WebhookRequest{URL: ext.URL, Event: "user.create"}); !rehive.IsForbidden(err) {
		t.Errorf("without webhook:add: %v", err)
	}
	if _, err := s.Auth(t.Context()); err != nil {
		t.Errorf("auth needs no permission: %v", err)
	}
	url := fmt.Sprintf("%sadmin/services/%d/permissions/", p.URL(), id)
	status, got := call(t, "POST", url, seed.Admin.Token, `{"permissions":[{"section":"admin","type":"webhook","level":"add"}]}`)
	if status != 201 || len(got["data"].(map[string]any)["permissions"].([]any)) != 1 {
		t.Fatalf("grant: %d %v", status, got)
	}
	if _, err := s.CreateWebhook(t.Context(), rehive.WebhookRequest{URL: ext.URL, Event: "user.create"}); err != nil {
		t.Errorf("with webhook:add: %v", err)
	}
}

func register(t testing.TB, p *rehivetest.Platform, token, url, event string) *rehive.Webhook {
	t.Helper()
	w, err := session(t, p, token).CreateWebhook(t.Context(), rehive.WebhookRequest{URL: url, Event: event, Secret: "the-secret"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWebhookDelivery(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	ext := newExtension(t, answer(202, ``))
	for _, event := range []string{"transaction.create", "transaction.initiate", "transaction.execute", "user.update"} {
		register(t, p, seed.Admin.Token, ext.URL+"/api/webhook/", event)
	}
	jane := seed.Customers[0]
	made, err := p.AddTransaction("demo", rehivetest.NewTransaction{
		User: jane.Email, TxType: "debit", Amount: big.NewInt(500), Children: []rehivetest.Child{{Amount: big.NewInt(-10)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	idle(t, p)
	events := map[string]int{}
	ids := map[float64]bool{}
	for range 6 { // three events of the debit and of its fee
		got := ext.next(t)
		if got.path != "/api/webhook/" || got.header.Get("Authorization") != "Secret the-secret" ||
			got.header.Get("User-Agent") != "rehive-platform/3.0.0" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("the extension got %+v", got)
		}
		events[got.body["event"].(string)]++
		ids[got.body["id"].(float64)] = true
		data := got.body["data"].(map[string]any)
		user := data["user"].(map[string]any)
		if got.body["company"] != "demo" || user["email"] != jane.Email || data["currency"].(map[string]any)["code"] != "USD" ||
			data["creator"] == nil || data["created"].(float64) < 1e12 {
			t.Errorf("the data is %v", data)
		}
		if data["id"] == made[0].ID && (data["amount"] != float64(-500) || data["tx_type"] != "debit" || data["parent"] != nil) {
			t.Errorf("the data is %v", data)
		}
		if data["id"] == made[1].ID && (data["parent"] != made[0].ID || data["collection"] != made[0].Collection) {
			t.Errorf("the data is %v", data)
		}
	}
	if len(ids) != 6 || events["transaction.create"] != 2 || events["transaction.initiate"] != 2 || events["transaction.execute"] != 2 {
		t.Errorf("ids %v, events %v", ids, events)
	}

	if _, err := p.UpdateUser("demo", jane.ID, func(u *rehivetest.User) { u.FirstName = "Janet" }); err != nil {
		t.Fatal(err)
	}
	data := ext.next(t).body["data"].(map[string]any)
	if data["first_name"] != "Janet" || data["original_user"].(map[string]any)["first_name"] != "Jane" {
		t.Errorf("user.update: %v", data)
	}
	idle(t, p)
	if stats := p.Stats(); stats != (rehivetest.Stats{Completed: 7}) {
		t.Errorf("%+v", stats)
	}
	_, got := call(t, "GET", p.URL()+"admin/webhook-tasks/?webhook__event=user.update&completed__isnull=false", seed.Admin.Token, "")
	if got["data"].(map[string]any)["count"] != float64(1) {
		t.Errorf("webhook-tasks: %v", got)
	}
}

func TestTransferHasTwoSides(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	ext := newExtension(t, answer(200, ``))
	register(t, p, seed.Admin.Token, ext.URL, "transaction.execute")
	body := fmt.Sprintf(`{"user":%q,"recipient":%q,"amount":100000000000000000000000000001,"currency":"XBT"}`, seed.Customers[0].ID, seed.Customers[1].ID)
	status, got := call(t, "POST", p.URL()+"admin/transactions/", seed.Admin.Token, body)
	if status != 201 {
		t.Fatalf("%d %v", status, got)
	}
	idle(t, p)
	for range 2 {
		data := ext.next(t).body["data"].(map[string]any)
		if data["partner"] == nil || data["creator"].(map[string]any)["email"] != seed.Admin.Email {
			t.Errorf("the data is %v", data)
		}
	}
	if body := string(p.Tasks("demo")[0].Body); !strings.Contains(body, `"amount":-100000000000000000000000000001`) {
		t.Errorf("the amount is not exact: %s", body)
	}
}

func TestRetriesOfAWebhook(t *testing.T) {
	clock := rehivetest.NewManualClock(epoch)
	p, seed := start(t, rehivetest.Options{Clock: clock})
	ext := newExtension(t, answer(400, `{"status":"error"}`))
	register(t, p, seed.Admin.Token, ext.URL, "user.email.verify")
	ids, err := p.EmitSample("demo", "user.email.verify", seed.Customers[0].ID)
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v, %v", ids, err)
	}
	first := ext.next(t)
	idle(t, p)
	minute := time.Minute
	for i, delay := range []time.Duration{minute, 2 * minute, 4 * minute, 8 * minute, 16 * minute, 32 * minute, 60 * minute} {
		clock.Advance(delay - time.Millisecond)
		idle(t, p)
		if n := len(p.Tasks("demo")[0].Attempts); n != i+1 {
			t.Fatalf("attempt %d came before its time", n)
		}
		clock.Advance(time.Millisecond)
		if again := ext.next(t); again.body["id"] != first.body["id"] {
			t.Errorf("the id changed from %v to %v", first.body["id"], again.body["id"])
		}
		idle(t, p)
	}
	clock.Advance(100 * time.Hour)
	idle(t, p)
	task := p.Tasks("demo")[0]
	if len(task.Attempts) != 8 || !task.Failed || task.Completed || task.Attempts[7].Code != 400 {
		t.Errorf("%+v", task)
	}
	if stats := p.Stats(); stats != (rehivetest.Stats{Failed: 1}) {
		t.Errorf("%+v", stats)
	}
}

func TestAWebhookThatHangsIsRetried(t *testing.T) {
	clock := newSpyClock()
	p, seed := start(t, rehivetest.Options{Clock: clock})
	ext := newExtension(t, hang)
	register(t, p, seed.Admin.Token, ext.URL, "user.create")
	if _, err := p.AddUser("demo", rehivetest.User{Email: "new@example.com"}); err != nil {
		t.Fatal(err)
	}
	ext.next(t)
	if limit := <-clock.limits; limit != 5*time.Second {
		t.Errorf("the limit is %s", limit)
	}
	clock.Advance(5 * time.Second)
	idle(t, p)
	task := p.Tasks("demo")[0]
	if len(task.Attempts) != 1 || task.Attempts[0].Code != 0 || task.Attempts[0].Error != "The request timed out." || task.Failed {
		t.Fatalf("%+v", task)
	}
	ext.answer(answer(201, ``))
	clock.Advance(time.Minute)
	ext.next(t)
	idle(t, p)
	if task := p.Tasks("demo")[0]; !task.Completed || len(task.Attempts) != 2 {
		t.Errorf("%+v", task)
	}
	if err := p.Redeliver(task.ID); err != nil {
		t.Fatal(err)
	}
	if again := ext.next(t); again.body["id"] != float64(task.ID) {
		t.Errorf("redelivered as %v", again.body["id"])
	}
}

func TestAWebhookIsDisabledAfterTooManyServerErrors(t *testing.T) {
	clock := rehivetest.NewManualClock(epoch)
	p, seed := start(t, rehivetest.Options{Clock: clock, DisableAfter: 3, Workers: 1})
	ext := newExtension(t, answer(503, ``))
	w := register(t, p, seed.Admin.Token, ext.URL, "user.create")
	for i := range 5 {
		if _, err := p.Emit("demo", "user.create", map[string]any{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	idle(t, p)
	if hooks := p.Webhooks("demo"); hooks[0].Enabled {
		t.Error("the webhook is enabled still")
	}
	if n := len(ext.got); n != 3 {
		t.Errorf("the extension was called %d times", n)
	}
	if ids, _ := p.Emit("demo", "user.create", map[string]any{}); len(ids) != 0 {
		t.Errorf("a disabled webhook got tasks %v", ids)
	}
	on := true
	if _, err := session(t, p, seed.Admin.Token).UpdateWebhook(t.Context(), w.ID, rehive.WebhookPatch{Enabled: &on}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := p.Emit("demo", "user.create", map[string]any{}); len(ids) != 1 {
		t.Errorf("the webhook is not enabled again: %v", ids)
	}
}

func TestFaultAfterTheWorkWasDone(t *testing.T) {
	p, seed := start(t, rehivetest.Options{})
	defer p.InjectFault(rehivetest.Fault{Method: "POST", Path: "/3/admin/webhooks/", Kind: rehivetest.FaultClose, After: true, Times: 1, Skip: 1})()
	s := session(t, p, seed.Admin.Token)
	request := rehive.WebhookRequest{URL: "https://e.example/", Event: "user.create"}
	if _, err := s.CreateWebhook(t.Context(), request); err != nil {
		t.Fatalf("the first call should pass: %v", err)
	}
	request.Event = "user.update"
	if _, err := s.CreateWebhook(t.Context(), request); !rehive.IsTransient(err) {
		t.Errorf("the answer should be lost: %v", err)
	}
	if _, err := s.CreateWebhook(t.Context(), request); !rehive.IsDuplicateWebhook(err) {
		t.Errorf("the work should be done: %v", err)
	}
	if faults := p.Faults(); len(faults) != 0 {
		t.Errorf("in force: %+v", faults)
	}
}

func TestControlAPI(t *testing.T) {
	p, _ := start(t, rehivetest.Options{Clock: rehivetest.NewManualClock(epoch)})
	ext := newExtension(t, answer(200, `{}`))
	control := p.ControlURL()
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "companies/", `{"id":"acme","name":"Acme"}`, 200},
		{"POST", "companies/", `{"id":"acme"}`, 400},
		{"POST", "companies/acme/users/", `{"email":"root@acme.example","group":"admin"}`, 200},
		{"PATCH", "companies/acme/users/root@acme.example/", `{"first_name":"Root"}`, 200},
		{"POST", "companies/acme/users/root@acme.example/devices/", `{"name":"Phone","tokens":["ExponentPushToken[x]"]}`, 200},
		{"POST", "companies/acme/users/root@acme.example/tokens/", ``, 200},
		{"POST", "companies/acme/services/", `{"name":"N","url":"` + ext.URL + `"}`, 200},
		{"POST", "companies/acme/services/1/activate/", ``, 200},
		{"POST", "companies/acme/services/1/rotate/", ``, 200},
		{"PUT", "companies/acme/services/1/permissions/", `[]`, 200},
		{"POST", "companies/acme/services/1/deactivate/", ``, 200},
		{"POST", "companies/acme/services/9/activate/", ``, 400},
		{"POST", "companies/acme/transactions/", `{"user":"root@acme.example","amount":5,"status":"Pending"}`, 200},
		{"POST", "companies/acme/transactions/", `{"user":"nobody","amount":5}`, 400},
		{"POST", "companies/acme/events/", `{"event":"mfa.sms.verify","user":"root@acme.example"}`, 200},
		{"POST", "companies/acme/events/", `{"event":"custom.thing","data":{"a":1}}`, 200},
		{"POST", "companies/nope/events/", `{"event":"custom.thing","data":{"a":1}}`, 400},
		{"POST", "faults/", `{"kind":"status","status":503,"path":"/3/auth/","times":1}`, 200},
		{"POST", "faults/", `{"kind":"nonsense"}`, 400},
		{"DELETE", "faults/", ``, 200},
		{"POST", "throttle/", `{"limit":1000,"seconds":60}`, 200},
		{"POST", "clock/", `{"advance_seconds":60}`, 200},
		{"GET", "stats/", ``, 200},
		{"DELETE", "companies/acme/", ``, 200},
	} {
		if status, got := call(t, c.method, control+c.path, "", c.body); status != c.status {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, got)
		}
	}
	resp, err := http.Get(control)
	if err != nil {
		t.Fatal(err)
	}
	help, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(string(help), "/control/faults/") {
		t.Errorf("the help is %s", help)
	}
	for _, list := range []string{"companies/", "companies/demo/users/", "companies/demo/tasks/", "companies/demo/webhooks/", "requests/", "faults/"} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", control+list, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var all []any
		if err := json.NewDecoder(resp.Body).Decode(&all); err != nil || resp.StatusCode != 200 || all == nil {
			t.Errorf("%s: %d, %v", list, resp.StatusCode, err)
		}
		_ = resp.Body.Close()
	}
}

// TestEventsAreAsTheCatalogueSays holds all that the simulator sends to the catalogue of
// events: samples, and what changes raise.
func TestEventsAreAsTheCatalogueSays(t *testing.T) {
	var extra []string
	for _, e := range platformevent.All() {
		if e.Extension != "" {
			extra = append(extra, e.Name)
		}
	}
	p, seed := start(t, rehivetest.Options{Clock: rehivetest.NewManualClock(epoch), ExtraEvents: extra})
	ext := newExtension(t, answer(200, `{"status":"success"}`))
	user := seed.Customers[0]
	for _, e := range platformevent.All() {
		register(t, p, seed.Admin.Token, ext.URL, e.Name)
	}
	for _, e := range platformevent.All() {
		if ids, err := p.EmitSample("demo", e.Name, user.ID); err != nil || len(ids) != 1 {
			t.Errorf("%s: %v, %v", e.Name, ids, err)
		}
	}
	if _, err := p.EmitSample("demo", "weather.change", user.ID); err == nil {
		t.Error("weather.change has a sample")
	}
	samples := len(p.Tasks("demo"))

	for _, spec := range []rehivetest.NewTransaction{
		{User: user.ID, Amount: big.NewInt(500)},
		{User: user.ID, Recipient: seed.Customers[1].ID, Amount: big.NewInt(20), Children: []rehivetest.Child{{Amount: big.NewInt(-1)}}, Status: "Failed"},
	} {
		if _, err := p.AddTransaction("demo", spec); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.UpdateUser("demo", user.ID, func(u *rehivetest.User) { u.FirstName = "Janet" }); err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddDevice("demo", user.ID, rehivetest.Device{Name: "Phone", Tokens: []string{"ExponentPushToken[a]"}}); err != nil {
		t.Fatal(err)
	}
	if err := p.UpdateCompany("demo", func(c *rehivetest.Company) { c.Website = "https://www.example.com" }); err != nil {
		t.Fatal(err)
	}
	if status, _ := call(t, "POST", p.URL()+"admin/users/", seed.Admin.Token, `{"email":"new@example.com"}`); status != 201 {
		t.Fatalf("creating a user: %d", status)
	}

	seen := map[string]int{}
	for i, task := range p.Tasks("demo") {
		var body struct {
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(task.Body, &body); err != nil {
			t.Fatal(err)
		}
		seen[body.Event]++
		e := platformevent.Lookup(body.Event)
		for _, difference := range e.Differences(body.Data) {
			t.Errorf("task %d: %s", i, difference)
		}
		if i < samples && (e.User == "user" || e.User == ".") && !strings.Contains(string(body.Data), user.Email) {
			t.Errorf("%s isn't about the user: %s", body.Event, body.Data)
		}
	}
	for event, want := range map[string]int{
		"transaction.create": 5, "transaction.initiate": 5, "transaction.execute": 5, "transaction.update": 9,
		"user.create": 2, "user.update": 2, "device.create": 2, "company.update": 2, "mfa.sms.verify": 1,
	} {
		if seen[event] != want {
			t.Errorf("%s was raised %d times, want %d", event, seen[event], want)
		}
	}
}

func TestCloseLetsGoOfEverything(t *testing.T) {
	p := rehivetest.New(rehivetest.Options{})
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	seed, err := p.Seed()
	if err != nil {
		t.Fatal(err)
	}
	ext := newExtension(t, hang)
	register(t, p, seed.Admin.Token, ext.URL, "user.create")
	if _, err := p.Emit("demo", "user.create", map[string]any{}); err != nil {
		t.Fatal(err)
	}
	ext.next(t)
	p.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultHang})
	failed := make(chan error)
	s := session(t, p, seed.Admin.Token)
	go func() {
		_, err := s.Auth(context.Background())
		failed <- err
	}()
	for deadline := time.Now().Add(3 * time.Minute); !slices.ContainsFunc(p.Requests(), func(r rehivetest.Request) bool { return r.Fault == rehivetest.FaultHang }); {
		if time.Now().After(deadline) {
			t.Fatal("the call is not recorded while it hangs")
		}
		time.Sleep(time.Millisecond) // polling with a deadline
	}
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(3 * time.Minute):
		t.Fatal("Close hangs")
	}
	if err := <-failed; !rehive.IsTransient(err) {
		t.Errorf("a call left hanging: %v", err)
	}
}

// How many webhooks a second the platform can send: the ceiling of what a
// benchmark against it can measure.
func BenchmarkDelivery(b *testing.B) {
	p, seed := start(b, rehivetest.Options{Workers: 64, TaskHistory: 1000})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	register(b, p, seed.Admin.Token, server.URL, "user.create")
	data := json.RawMessage(`{"x":"` + strings.Repeat("x", 2000) + `"}`)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := p.Emit("demo", "user.create", data); err != nil {
			b.Fatal(err)
		}
	}
	idle(b, p)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "webhooks/s")
}
