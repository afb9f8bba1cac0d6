// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// env is a platform with the demo company and the session of its admin.
type env struct {
	*rehivetest.Platform
	seed   rehivetest.Seeded
	client *rehive.Client
	admin  rehive.Session
	ctx    context.Context
}

func newEnv(t *testing.T, opts ...rehive.Option) *env {
	t.Helper()
	p := rehivetest.New(rehivetest.Options{})
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	seed, err := p.Seed()
	if err != nil {
		t.Fatal(err)
	}
	client, err := rehive.New(p.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &env{p, seed, client, client.WithToken(seed.Admin.Token), ctx}
}

func TestNewChecksTheURL(t *testing.T) {
	for _, bad := range []string{"", "api.rehive.com/3/", "ftp://api.rehive.com/", "https:///3/", "https://user:hunter2@api.rehive.com/",
		"https://api.rehive.com/3/?x=1", "https://api.rehive.com/3/#x", "https://hunter2 %zz", "http://:80/"} {
		_, err := rehive.New(bad)
		if err == nil {
			t.Errorf("New(%q) succeeded", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New(%q) shows the password: %v", bad, err)
		}
	}
	for _, good := range []string{rehive.DefaultBaseURL, "http://127.0.0.1:1/3", "https://api.rehive.com"} {
		if _, err := rehive.New(good); err != nil {
			t.Errorf("New(%q): %v", good, err)
		}
	}
	if _, err := rehive.New(rehive.DefaultBaseURL, rehive.WithTimeout(0)); err == nil {
		t.Error("a timeout of 0 was accepted")
	}
}

func TestAuthAndCompany(t *testing.T) {
	e := newEnv(t)
	user, err := e.admin.Auth(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if user.ID != e.seed.Admin.ID || user.Company != "demo" || !user.InGroup("service", "admin") || user.InGroup("user") {
		t.Errorf("got %+v", user)
	}
	company, err := e.admin.Company(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if company.ID != "demo" || company.Name != "Demo Wallet" || company.SystemEmail != "no-reply@demo.example" || company.Mode != "test" {
		t.Errorf("got %+v", company)
	}
	customer := e.client.WithToken(e.seed.Customers[0].Token)
	if _, err := customer.Auth(e.ctx); err != nil {
		t.Errorf("a customer's own token: %v", err)
	}
	if _, err := customer.Company(e.ctx); !rehive.IsForbidden(err) || !rehive.IsPermanent(err) {
		t.Errorf("a customer may not read the admin's company: %v", err)
	}
}

func TestUnusableTokensMakeNoCall(t *testing.T) {
	e := newEnv(t)
	for _, token := range []string{"", "a b", "a\r\nX-Evil: 1", "ünicode", strings.Repeat("a", 5000)} {
		_, err := e.client.WithToken(token).Auth(e.ctx)
		if !rehive.IsUnauthorized(err) || !rehive.IsPermanent(err) || rehive.IsTransient(err) {
			t.Errorf("token %.20q: %v", token, err)
		}
	}
	if n := len(e.Requests()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
	_, err := e.client.WithToken("unknown").Auth(e.ctx)
	if !rehive.IsUnauthorized(err) || err.Error() != "checking the token: Rehive answered 401: Invalid token." {
		t.Errorf("unknown token: %v", err)
	}
}

func TestWebhooks(t *testing.T) {
	e := newEnv(t)
	const url = "https://extension.example/api/webhook/"
	events := platformevent.Platform()[:20] // more than a default page
	for _, event := range events {
		w, err := e.admin.CreateWebhook(e.ctx, rehive.WebhookRequest{URL: url, Event: event, Secret: "s3cret"})
		if err != nil {
			t.Fatal(err)
		}
		if w.ID == 0 || w.Event != event || w.Secret != "s3cret" || !w.Enabled || w.Service != nil {
			t.Errorf("got %+v", w)
		}
	}
	_, err := e.admin.CreateWebhook(e.ctx, rehive.WebhookRequest{URL: url, Event: events[0], Secret: "other"})
	if !rehive.IsDuplicateWebhook(err) || !rehive.IsPermanent(err) {
		t.Errorf("duplicate: %v", err)
	}
	_, err = e.admin.CreateWebhook(e.ctx, rehive.WebhookRequest{URL: url, Event: "no.such.event", Secret: "other"})
	var refused *rehive.Error
	if !errors.As(err, &refused) || refused.Status != 400 || len(refused.Data["event"]) != 1 || rehive.IsDuplicateWebhook(err) {
		t.Errorf("unknown event: %v", err)
	}

	all, err := e.admin.Webhooks(e.ctx, rehive.WebhookFilter{URL: url})
	if err != nil || len(all) != len(events) {
		t.Fatalf("%d webhooks, %v", len(all), err)
	}
	one, err := e.admin.Webhooks(e.ctx, rehive.WebhookFilter{URL: url, Event: events[3]})
	if err != nil || len(one) != 1 || one[0].Event != events[3] {
		t.Fatalf("%+v, %v", one, err)
	}
	if none, err := e.admin.Webhooks(e.ctx, rehive.WebhookFilter{URL: "https://elsewhere.example/"}); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}

	secret, off := "changed", false
	w, err := e.admin.UpdateWebhook(e.ctx, one[0].ID, rehive.WebhookPatch{Secret: &secret, Enabled: &off})
	if err != nil || w.Secret != secret || w.Enabled || w.Event != events[3] {
		t.Errorf("%+v, %v", w, err)
	}
	if err := e.admin.DeleteWebhook(e.ctx, one[0].ID); err != nil {
		t.Error(err)
	}
	if err := e.admin.DeleteWebhook(e.ctx, one[0].ID); !rehive.IsNotFound(err) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestTransactionsOverSeveralPages(t *testing.T) {
	e := newEnv(t)
	const children = 260
	spec := rehivetest.NewTransaction{User: e.seed.Customers[0].ID, TxType: "debit", Amount: big.NewInt(500)}
	huge, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	spec.Children = append(spec.Children, rehivetest.Child{Amount: huge, Currency: "XBT"})
	for range children - 1 {
		spec.Children = append(spec.Children, rehivetest.Child{Amount: big.NewInt(-1)})
	}
	made, err := e.AddTransaction("demo", spec)
	if err != nil {
		t.Fatal(err)
	}
	parent, err := e.admin.Transaction(e.ctx, made[0].ID)
	if err != nil || parent.Amount.Int64() != -500 || parent.TxType != "debit" || parent.Parent != "" ||
		parent.Currency != (rehive.Currency{Code: "USD", Divisibility: 2}) || parent.Status != "Complete" {
		t.Fatalf("%+v, %v", parent, err)
	}
	all, err := e.admin.ChildTransactions(e.ctx, parent.ID)
	if err != nil || len(all) != children {
		t.Fatalf("%d children, %v", len(all), err)
	}
	sum := new(big.Int)
	for _, child := range all {
		if child.Parent != parent.ID {
			t.Fatalf("got %+v", child)
		}
		sum.Add(sum, child.Amount.Int)
	}
	if want := new(big.Int).Sub(huge, big.NewInt(children-1)); sum.Cmp(want) != 0 {
		t.Errorf("the children sum to %s, not %s", sum, want)
	}
	if _, err := e.admin.ChildTransactions(e.ctx, ""); !rehive.IsPermanent(err) {
		t.Errorf("children of nothing: %v", err)
	}
	for _, id := range []string{"", "..", "a/../b", "nope?x=1"} {
		if _, err := e.admin.Transaction(e.ctx, id); !rehive.IsNotFound(err) {
			t.Errorf("transaction %q: %v", id, err)
		}
	}
}

// TestAdmins checks that the admins of a company are bounded in number and in calls, and that a
// platform that ignores the filter makes nobody an admin.
func TestAdmins(t *testing.T) {
	e := newEnv(t)
	for i := range rehive.MaxAdmins + 5 {
		if _, err := e.AddUser("demo", rehivetest.User{Email: fmt.Sprintf("a%d@example.com", i), Group: "admin", Archived: i == 7}); err != nil {
			t.Fatal(err)
		}
	}
	e.ClearRequests()
	n := 0
	for user, err := range e.admin.Admins(e.ctx) {
		if err != nil || !user.InGroup("admin") {
			t.Fatalf("%+v, %v", user, err)
		}
		n++
	}
	if calls := len(e.Requests()); n != rehive.MaxAdmins || calls != 1 {
		t.Errorf("%d admins in %d calls", n, calls)
	}

	var calls int
	rude := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"next":"http://%s%s","results":[
			{"id":"1","groups":[{"name":"admin"}]},{"id":"2","groups":[{"name":"user"}]},{"id":"3"},
			{"id":"4","groups":[{"name":"admin"}],"archived":true},{"id":"5","groups":[{"name":"admin"}],"deactivated":true}]}}`, r.Host, r.URL.Path)
	}))
	t.Cleanup(rude.Close)
	client, err := rehive.New(rude.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	n = 0
	for user, err := range client.WithToken("token").Admins(e.ctx) {
		if err != nil {
			break // the list has too many pages
		}
		if n++; user.ID != "1" {
			t.Errorf("%s is not an admin", user.ID)
		}
	}
	if n != calls || calls > 5 {
		t.Errorf("%d admins in %d calls", n, calls)
	}
}

func TestUsersAndDevices(t *testing.T) {
	e := newEnv(t)
	for i := range 300 {
		user := rehivetest.User{Email: fmt.Sprintf("u%d@example.com", i), Group: "vip", Archived: i == 7, Deactivated: i == 8}
		if _, err := e.AddUser("demo", user); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for user, err := range e.admin.UsersInGroup(e.ctx, "vip") {
		if err != nil {
			t.Fatal(err)
		}
		seen[user.ID] = true
	}
	if len(seen) != 298 {
		t.Errorf("%d users", len(seen))
	}
	if n, err := e.admin.CountUsersInGroup(e.ctx, "vip"); err != nil || n != 298 {
		t.Errorf("there are %d users: %v", n, err)
	}
	if n, err := e.admin.CountUsersInGroup(e.ctx, "none"); err != nil || n != 0 {
		t.Errorf("%d users are in no group: %v", n, err)
	}
	if n, err := e.admin.CountUsersInGroup(e.ctx, ""); !rehive.IsPermanent(err) {
		t.Errorf("%d users are in a group without a name: %v", n, err)
	}
	some := []string{e.seed.Customers[0].ID, e.seed.Customers[1].ID, "11111111-2222-3333-4444-555555555555"}
	records, err := e.admin.UsersByID(e.ctx, some)
	if err != nil || len(records) != 2 {
		t.Fatalf("%d users, %v", len(records), err)
	}
	for _, record := range records {
		if !slices.Contains(some[:2], record.ID) || !bytes.Contains(record.Raw, []byte(`"verification":`)) {
			t.Errorf("the user is %s, sent as %s", record.ID, record.Raw)
		}
	}
	for _, ids := range [][]string{nil, make([]string, rehive.MaxUserIDs+1)} {
		if _, err := e.admin.UsersByID(e.ctx, ids); !rehive.IsPermanent(err) {
			t.Errorf("%d identifiers: %v", len(ids), err)
		}
	}
	e.ClearRequests()
	for range e.admin.UsersInGroup(e.ctx, "vip") {
		break
	}
	if n := len(e.Requests()); n != 1 {
		t.Errorf("%d pages were read for one user", n)
	}

	jane := e.seed.Customers[0]
	user, err := e.admin.User(e.ctx, jane.ID)
	if err != nil || user.Email != jane.Email || user.Mobile != jane.Mobile || user.LastName != jane.LastName || user.Company != "demo" {
		t.Errorf("%+v, %v", user, err)
	}
	devices, err := e.admin.UserDevices(e.ctx, jane.ID)
	if err != nil || len(devices) != 1 || len(devices[0].Apps) != 1 || devices[0].Apps[0].Token != "ExponentPushToken[janes-phone]" ||
		devices[0].Apps[0].Type != "expo" || devices[0].User.ID != jane.ID {
		t.Errorf("%+v, %v", devices, err)
	}
	if devices, err := e.admin.UserDevices(e.ctx, e.seed.Customers[1].ID); err != nil || len(devices) != 0 {
		t.Errorf("%+v, %v", devices, err)
	}
}

func TestFaultsAreClassed(t *testing.T) {
	e := newEnv(t, rehive.WithTimeout(time.Minute))
	quick, err := rehive.New(e.URL(), rehive.WithTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fault     rehivetest.Fault
		quick     bool // hit the time limit soon
		transient bool
		is        func(error) bool
	}{
		"hang":            {fault: rehivetest.Fault{Kind: rehivetest.FaultHang}, quick: true, transient: true, is: timedOut},
		"slow":            {fault: rehivetest.Fault{Kind: rehivetest.FaultDelay, Delay: time.Minute}, quick: true, transient: true, is: timedOut},
		"connection lost": {fault: rehivetest.Fault{Kind: rehivetest.FaultClose}, transient: true, is: hasStatus(0)},
		"huge":            {fault: rehivetest.Fault{Kind: rehivetest.FaultHuge}, transient: true, is: says("larger than 8 MiB")},
		"web page":        {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage}, transient: true, is: hasStatus(200)},
		"web page 401":    {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Status: 401}, transient: true, is: not(rehive.IsUnauthorized)},
		"web page 404":    {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Status: 404}, transient: true, is: not(rehive.IsNotFound)},
		"empty":           {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: " "}, transient: true, is: hasStatus(200)},
		"error with 200":  {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"error","message":"x"}`}, transient: true, is: hasStatus(200)},
		"error and data":  {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"error","data":{"id":"u","company":"c"}}`}, transient: true, is: hasStatus(200)},
		"JSON 401":        {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Status: 401, Body: `{"message":"Log in to the hotel's network."}`}, transient: true, is: not(rehive.IsUnauthorized)},
		"no data":         {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"success"}`}, transient: true, is: hasStatus(200)},
		"null data":       {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":null}`}, transient: true, is: hasStatus(200)},
		"empty data":      {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":{}}`}, transient: true, is: hasStatus(200)},
		"wrong types":     {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":{"id":7}}`}, transient: true, is: says("(id)")},
		"a list":          {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `[1,2]`}, transient: true, is: hasStatus(200)},
		"truncated":       {fault: rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":{"id":"`}, transient: true, is: hasStatus(200)},
		"400":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 400}, is: hasStatus(400)},
		"401":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 401}, is: rehive.IsUnauthorized},
		"403":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 403}, is: rehive.IsForbidden},
		"404":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 404}, is: rehive.IsNotFound},
		"408":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 408}, transient: true, is: hasStatus(408)},
		"500":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 500}, transient: true, is: hasStatus(500)},
		"503":             {fault: rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 503, RetryAfter: "7"}, transient: true, is: waits(7 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			c.fault.Path = "/3/auth/"
			defer e.InjectFault(c.fault)()
			client := e.client
			if c.quick {
				client = quick
			}
			_, err := client.WithToken(e.seed.Admin.Token).Auth(e.ctx)
			if err == nil {
				t.Fatal("succeeded")
			}
			if rehive.IsTransient(err) != c.transient || rehive.IsPermanent(err) == c.transient {
				t.Errorf("transient %t, permanent %t: %v", rehive.IsTransient(err), rehive.IsPermanent(err), err)
			}
			if !c.is(err) {
				t.Errorf("classed wrongly: %#v", err)
			}
			if len(err.Error()) > 400 || strings.Contains(err.Error(), e.seed.Admin.Token) || strings.Contains(err.Error(), "<") {
				t.Errorf("unfit sentence: %v", err)
			}
		})
	}
}

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

func not(is func(error) bool) func(error) bool { return func(err error) bool { return !is(err) } }

func says(text string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), text) }
}

func waits(d time.Duration) func(error) bool {
	return func(err error) bool { return rehive.RetryAfter(err) == d }
}

func hasStatus(status int) func(error) bool {
	return func(err error) bool {
		var e *rehive.Error
		return errors.As(err, &e) && e.Status == status
	}
}

func TestUnreachableAndCancelled(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	client, err := rehive.New(url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.WithToken("token").Auth(t.Context())
	if !rehive.IsTransient(err) || err.Error() != "checking the token: Rehive refused the connection" {
		t.Errorf("refused connection: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = client.WithToken("token").Auth(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A list whose next page points elsewhere must not take the token there.
func TestForeignNextPageIsNotFollowed(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	var next atomic.Value
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/3/admin/webhooks/" {
			stolen.Add(1)
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"count":2,"next":%q,"previous":null,"results":[{"id":1}]}}`, next.Load())
	}))
	defer platform.Close()
	client, err := rehive.New(platform.URL + "/3/")
	if err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []string{
		thief.URL + "/3/admin/webhooks/?page=2",
		"//" + strings.TrimPrefix(thief.URL, "http://") + "/3/admin/webhooks/?page=2",
		"https://" + strings.TrimPrefix(platform.URL, "http://") + "/3/admin/webhooks/?page=2",
		platform.URL + "/3/elsewhere/?page=2",
		platform.URL + "/3/admin/webhooks/../../other/?page=2",
		strings.Replace(platform.URL, "http://", "http://user:pass@", 1) + "/3/admin/webhooks/?page=2",
		"/", "://", "javascript:alert(1)", "file:///etc/passwd",
	} {
		next.Store(foreign)
		_, err := client.WithToken("token").Webhooks(t.Context(), rehive.WebhookFilter{})
		if !rehive.IsTransient(err) || !strings.Contains(err.Error(), "next page") {
			t.Errorf("next %q: %v", foreign, err)
		}
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("%d calls went elsewhere", n)
	}

	// A list that never ends.
	next.Store("?page=2")
	if _, err := client.WithToken("token").Webhooks(t.Context(), rehive.WebhookFilter{}); !rehive.IsTransient(err) ||
		!strings.Contains(err.Error(), "longer than 100 pages") {
		t.Errorf("endless list: %v", err)
	}
}

// Taken for an empty list, such an answer would look as if all webhooks were gone.
func TestAnswersThatAreNotListsAreErrors(t *testing.T) {
	e := newEnv(t)
	for _, data := range []string{`{}`, `{"results":null}`, `{"results":[null]}`, `{"results":[1]}`, `{"results":{}}`, `[]`, `"x"`} {
		remove := e.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultGarbage, Body: `{"status":"success","data":` + data + `}`})
		if all, err := e.admin.Webhooks(e.ctx, rehive.WebhookFilter{}); !rehive.IsTransient(err) {
			t.Errorf("%s was read as %v, %v", data, all, err)
		}
		remove()
	}
}

// An object that moved to the next page while the list was read counts once.
func TestAnObjectOnTwoPagesCountsOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next, results := `"?page=2"`, `{"id":"a","amount":-1},{"id":"b","amount":-2}`
		if r.URL.Query().Get("page") == "2" {
			next, results = "null", `{"id":"b","amount":-2},{"id":"c","amount":null}`
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"next":%s,"results":[%s]}}`, next, results)
	}))
	defer server.Close()
	client, err := rehive.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.WithToken("token").ChildTransactions(t.Context(), "p")
	if err != nil || len(all) != 3 || all[2].Amount.Int != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestAmountsAreWholeNumbers(t *testing.T) {
	for _, bad := range []string{"1.5", "1e3", `"1"`, strings.Repeat("9", 65), "true", "{}"} {
		var a rehive.Amount
		if err := a.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%q was read as %s", bad, a)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	e := newEnv(t)
	var reached atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 307, 308} {
		defer e.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultGarbage, Status: status, Location: other.URL, Times: 1})()
		if _, err := e.admin.Auth(e.ctx); !hasStatus(status)(err) || !rehive.IsTransient(err) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// The simulator's own throttling speaks the platform's language.
func TestSimulatorThrottles(t *testing.T) {
	e := newEnv(t)
	e.SetThrottle(2, time.Minute)
	for range 2 {
		if _, err := e.admin.Auth(e.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.admin.Auth(e.ctx); !rehive.IsThrottled(err) || rehive.RetryAfter(err) <= 0 || rehive.RetryAfter(err) > time.Minute {
		t.Errorf("over the budget: %v, %s", err, rehive.RetryAfter(err))
	}
}

// The platform's words reach logs and conditions: no secret, no control
// characters, no novel.
func TestErrorSentencesAreSafe(t *testing.T) {
	e := newEnv(t)
	const secret = "a-webhook-secret-of-32-characters"
	message := "Bad\r\n\x1b[31m " + e.seed.Admin.Token + " and " + secret + "\u202e " + strings.Repeat("x", 5000)
	defer e.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 400, Message: message})()
	_, err := e.admin.CreateWebhook(e.ctx, rehive.WebhookRequest{URL: "https://e.example/", Event: "user.create", Secret: secret})
	text := err.Error()
	for _, bad := range []string{e.seed.Admin.Token, secret, "\n", "\r", "\x1b", "\u202e"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in %q", bad, text)
		}
	}
	if len(text) > 400 || !strings.Contains(text, "Bad") {
		t.Errorf("got %q", text)
	}
}

func TestHeaders(t *testing.T) {
	var got http.Header
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, path = r.Header, r.URL.RequestURI()
		_, _ = w.Write([]byte(`{"status":"success","data":{"id":"u","company":"c"}}`))
	}))
	defer server.Close()
	client, err := rehive.New(server.URL+"/3", rehive.WithVersion("1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	session := client.WithToken("abc").WithForwardedFor("203.0.113.9", " 2001:db8::1", "evil\r\nX: y", "unknown")
	if _, err := session.Auth(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Authorization": "Token abc", "User-Agent": "rehive-extension-operator/1.2.3", "Accept": "application/json",
		"X-Forwarded-For": "203.0.113.9, 2001:db8::1", "Content-Type": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, not %q", name, got.Get(name), want)
		}
	}
	if path != "/3/auth/" {
		t.Errorf("the path is %s", path)
	}
	if _, err := client.WithToken("abc").User(t.Context(), "5/6"); err != nil || path != "/3/admin/users/5%2F6/" {
		t.Errorf("the path is %s, %v", path, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	e := newEnv(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			token := e.seed.Admin.Token
			if i%2 == 0 {
				token = "unknown"
			}
			for range 20 {
				_, err := e.client.WithToken(token).Auth(e.ctx)
				if (err == nil) != (i%2 == 1) {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}
