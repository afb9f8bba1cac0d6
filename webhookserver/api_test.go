// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// call calls the API with a user's token and, unless it is empty, a JSON body.
func (f *fixture) call(token, method, path, body string) response {
	f.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Token "+token)
	}
	var reader io.Reader
	if body != "" {
		header.Set("Content-Type", "application/json")
		reader = strings.NewReader(body)
	}
	return f.send(method, path, reader, header)
}

// data decodes the data of a successful answer.
func (f *fixture) data(r response, into any) {
	f.Helper()
	f.Expect(r.status).To(gomega.Equal(200), r.String())
	f.Expect(r.header.Get("Content-Type")).To(gomega.Equal("application/json"))
	f.Expect(r.header.Get("Cache-Control")).To(gomega.Equal("no-store"))
	var envelope struct {
		Status string          `json:"status"`
		Data   json.RawMessage `json:"data"`
	}
	f.Expect(json.Unmarshal([]byte(r.body), &envelope)).To(gomega.Succeed())
	f.Expect(envelope.Status).To(gomega.Equal("success"))
	f.Expect(json.Unmarshal(envelope.Data, into)).To(gomega.Succeed(), r.body)
}

// logList is a page of logs.
type logList struct {
	Count    int        `json:"count"`
	Next     *string    `json:"next"`
	Previous *string    `json:"previous"`
	Results  []adminLog `json:"results"`
}

func (f *fixture) adminLogs(query string) logList {
	f.Helper()
	var list logList
	f.data(f.call(f.admin.Token, "GET", "/api/admin/logs/?"+query, ""), &list)
	return list
}

// events counts the events that tests have created.
var events struct {
	sync.Mutex
	n int
}

// decided stores deliveries for a new event of the company.
func (f *fixture) decided(company string, deliveries ...ledger.NewDelivery) {
	f.Helper()
	events.Lock()
	events.n++
	id := strconv.Itoa(events.n)
	events.Unlock()
	_, err := f.store.AcceptEvent(f.Context(), ledger.Event{Company: company, ID: id, Name: "user.create", Data: []byte("{}")})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	claimed, err := f.store.ClaimEvents(f.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(claimed).To(gomega.HaveLen(1))
	f.Expect(f.store.CompleteEvent(f.Context(), claimed[0], deliveries)).To(gomega.Succeed())
}

// finishDeliveries completes all pending deliveries and returns their number. Those to
// "failing" fail; the others are sent.
func (f *fixture) finishDeliveries() (n int) {
	f.Helper()
	claimed, err := f.store.ClaimDeliveries(f.Context(), ledger.Claim{Limit: 1000, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	for _, d := range claimed {
		if strings.HasPrefix(d.Recipient, "failing") {
			f.Expect(f.store.FailDelivery(f.Context(), d, "RecipientRefused", "The server refused it.")).To(gomega.Succeed())
		} else {
			f.Expect(f.store.MarkSent(f.Context(), d, "id")).To(gomega.Succeed())
		}
	}
	return len(claimed)
}

func message(rule, channel, recipient, user string) ledger.NewDelivery {
	return ledger.NewDelivery{
		RuleName: rule, Channel: channel, Recipient: recipient, UserID: user,
		Content: ledger.Content{From: "no-reply@acme.example", Subject: "Hello", Text: "A <b>text</b>", HTML: "<b>html</b>"},
	}
}

func fullName(r *v1alpha1.NotificationRule) string { return r.Namespace + "/" + r.Name }

// rule creates a rule of the company and waits for the cache to have it.
func (f *fixture) rule(name, displayName string, change func(*v1alpha1.NotificationRuleSpec)) *v1alpha1.NotificationRule {
	f.Helper()
	a := f.activation()
	rule := &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: a.Name + "-" + name},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: a.Name},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: displayName,
				Event:       "user.create",
				SMS:         &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "Hello"},
			},
		},
	}
	if change != nil {
		change(&rule.Spec)
	}
	f.Expect(f.client.Create(f.Context(), rule)).To(gomega.Succeed())
	f.Eventually(func() (notifications.All, error) { return notifications.Of(f.Context(), f.client, a) }).
		Should(gomega.ContainElement(gomega.WithTransform(func(n notifications.Notification) types.UID { return n.Rule.UID }, gomega.Equal(rule.UID))))
	return rule
}

// newActiveFixture returns a fixture whose company is active.
func newActiveFixture(t *testing.T, change ...func(*Options)) *fixture {
	f := newFixture(t, change...)
	f.expectSuccess(f.activate(f.admin.Token))
	f.Eventually(func() int { return f.call(f.admin.Token, "GET", "/api/admin/logs/", "").status }).Should(gomega.Equal(200))
	return f
}

// lookups counts the token lookups at the platform.
func (f *fixture) lookups() (n int) {
	for _, r := range f.platform.Requests() {
		if r.Path == "/3/auth/" {
			n++
		}
	}
	return n
}

func TestAuthentication(t *testing.T) {
	f := newActiveFixture(t)
	user := f.addUser(f.company, "user")
	service := f.addUser(f.company, "service")
	other := f.addUser(f.addCompany("idle"), "admin")

	for name, test := range map[string]struct {
		header  string
		status  int
		message string
	}{
		"nothing":           {"", 401, "Authentication credentials were not provided."},
		"another scheme":    {"Secret " + f.admin.Token, 401, "Authentication credentials were not provided."},
		"no token":          {"Token ", 401, "Authentication credentials were not provided."},
		"two tokens":        {"Token planted planted", 401, "Authentication credentials were not provided."},
		"no header's text":  {"Token planted\xff", 401, "Invalid token."},
		"too long":          {"Token " + strings.Repeat("planted", 200), 401, "Invalid token."},
		"an unknown one":    {"Token planted-unknown", 401, "Invalid token."},
		"not an admin":      {"Token " + user.Token, 403, "You do not have permission to perform this action."},
		"in capitals":       {"TOKEN " + f.admin.Token, 200, ""},
		"another extension": {"Token " + service.Token, 403, "You do not have permission to perform this action."},
		"an inactive one's": {"Token " + other.Token, 400, "Inactive company."},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			r := f.send("GET", "/api/admin/logs/", nil, http.Header{"Authorization": {test.header}})
			f.Expect(r.status).To(gomega.Equal(test.status), r.String())
			if test.message == "" {
				return
			}
			field := ""
			if test.status == 400 {
				field = rest.NonFieldErrors
			}
			f.expectError(r, test.status, field, test.message)
			f.Expect(r.header.Get("WWW-Authenticate")).To(gomega.Equal(map[bool]string{true: "Token"}[test.status == 401]))
		})
	}
	f.Expect(f.call(user.Token, "GET", "/api/user/logs/", "").status).To(gomega.Equal(200), "users may call the user API")
	f.expectError(f.call(f.admin.Token, "DELETE", "/api/admin/logs/", ""), 405, "", `Method "DELETE" not allowed.`)
}

// TestAuthenticationIsCached checks that several calls with a token cause a single lookup,
// whether or not they are concurrent, and that a refusal is cached only briefly.
func TestAuthenticationIsCached(t *testing.T) {
	var mu sync.Mutex
	ahead := time.Duration(0)
	step := func(d time.Duration) {
		mu.Lock()
		ahead += d
		mu.Unlock()
	}
	f := newActiveFixture(t, func(o *Options) {
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}
	})
	user := f.addUser(f.company, "user")
	f.platform.ClearRequests()
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			if r := f.call(user.Token, "GET", "/api/user/logs/", ""); r.status != 200 {
				t.Error(r)
			}
		})
	}
	calls.Wait()
	f.Expect(f.lookups()).To(gomega.Equal(1))

	f.platform.RevokeToken(user.Token)
	f.Expect(f.call(user.Token, "GET", "/api/user/logs/", "").status).To(gomega.Equal(200))
	step(tokenTTL)
	f.expectError(f.call(user.Token, "GET", "/api/user/logs/", ""), 401, "", "Invalid token.")
	f.expectError(f.call(user.Token, "GET", "/api/user/logs/", ""), 401, "", "Invalid token.")
	f.Expect(f.lookups()).To(gomega.Equal(2))
	step(refusalTTL)
	f.expectError(f.call(user.Token, "GET", "/api/user/logs/", ""), 401, "", "Invalid token.")
	f.Expect(f.lookups()).To(gomega.Equal(3))

	// The cached token doesn't imply that the company is still active.
	f.expectSuccess(f.post("/api/deactivate/", object{"token": f.admin.Token}))
	f.Eventually(func() int { return f.call(f.admin.Token, "GET", "/api/admin/logs/", "").status }).Should(gomega.Equal(400))
}

func TestAuthenticationWhenThePlatformFails(t *testing.T) {
	t.Parallel() // it waits
	f := newActiveFixture(t, func(o *Options) { o.Limits.PlatformCall = 5 * time.Second })
	for name, test := range map[string]struct {
		fault      rehivetest.Fault
		status     int
		message    string
		retryAfter string
	}{
		"throttled": {rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 429, Message: "Out of order.", RetryAfter: "7"}, 429, "Request was throttled.", "7"},
		"bad":       {rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 400, Message: "Bad request."}, 400, "Bad request.", ""},
		"forbidden": {rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 403, Message: "Challenge required."}, 403, "Challenge required.", ""},
		"missing":   {rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 404, Message: "Out of order."}, 502, platformUnavailable, "10"},
		"broken":    {rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 500, Message: "Out of order."}, 502, platformUnavailable, "10"},
		"garbage":   {rehivetest.Fault{Kind: rehivetest.FaultGarbage, Status: 401}, 502, platformUnavailable, "10"},
		"closed":    {rehivetest.Fault{Kind: rehivetest.FaultClose}, 503, platformUnavailable, "10"},
		"hanging":   {rehivetest.Fault{Kind: rehivetest.FaultHang}, 503, platformUnavailable, "10"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			user := f.addUser(f.company, "admin")
			test.fault.Token = user.Token
			remove := f.platform.InjectFault(test.fault)
			r := f.call(user.Token, "GET", "/api/admin/logs/", "")
			f.expectError(r, test.status, "", test.message)
			f.Expect(r.header.Get("Retry-After")).To(gomega.Equal(test.retryAfter))
			remove()
			if test.status >= 500 {
				f.Expect(f.call(user.Token, "GET", "/api/admin/logs/", "").status).To(gomega.Equal(200), "an outage must not be cached")
			}
		})
	}
}

// TestAuthenticationIsRateLimited checks that a caller who guesses tokens exhausts neither
// the platform's rate limit nor the budget of known callers.
func TestAuthenticationIsRateLimited(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.Limits.StrangerRate = 0.001
		o.Limits.TurnTime = 50 * time.Millisecond
	})
	f.platform.ClearRequests()
	answers := make(map[int]int)
	for i := range rehive.StrangerBurst + 10 {
		header := http.Header{"Authorization": {fmt.Sprintf("Token planted-%d", i)}, "X-Forwarded-For": {"203.0.113.9"}}
		answers[f.send("GET", "/api/admin/logs/", nil, header).status]++
	}
	f.Expect(answers[401]).To(gomega.BeNumerically(">=", 3))
	f.Expect(f.lookups()).To(gomega.BeNumerically("<=", rehive.StrangerBurst/2), "one caller leaves most of the burst to others")
	f.Expect(answers[503]).To(gomega.BeNumerically(">=", 10))

	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/logs/", "").status).To(gomega.Equal(200))
	for i := range 5 {
		user := f.addUser(f.company, "user")
		header := http.Header{"Authorization": {"Token " + user.Token}, "X-Forwarded-For": {fmt.Sprintf("203.0.113.%d", 20+i)}}
		f.Expect(f.send("GET", "/api/user/logs/", nil, header).status).To(gomega.Equal(200), "another caller is served")
	}
}

func TestTokenCacheIsBounded(t *testing.T) {
	g := gomega.NewWithT(t)
	m := newTokenCache()
	now := time.Now()
	good := func(i int, company string) (tokenKey, tokenVerdict) {
		return tokenKey{byte(i), byte(i >> 8), 1}, tokenVerdict{caller: caller{company: company}}
	}
	known := func(i int, at time.Time) (string, bool) {
		key, _ := good(i, "")
		_, company, ok := m.get(key, at)
		return company, ok
	}
	for i := range 100 {
		key, v := good(i, "small")
		m.put(key, v, now)
	}
	for i := 100; i < maxTokens+50; i++ {
		key, v := good(i, "large")
		m.put(key, v, now.Add(time.Duration(i)))
	}
	g.Expect(m.good).To(gomega.HaveLen(maxTokens))
	for i := range 2 * maxRefusals {
		m.put(tokenKey{byte(i), byte(i >> 8), 2}, tokenVerdict{refusal: &rest.Error{}}, now)
	}
	g.Expect(m.refused.Len()).To(gomega.Equal(maxRefusals))
	const latest = 2*maxRefusals - 1
	_, _, ok := m.get(tokenKey{latest & 0xff, latest >> 8, 2}, now)
	g.Expect(ok).To(gomega.BeTrue(), "the latest refusals are known")
	_, _, ok = m.get(tokenKey{0, 0, 2}, now)
	g.Expect(ok).To(gomega.BeFalse(), "the oldest are not")
	for i := range 100 {
		company, ok := known(i, now)
		g.Expect(ok).To(gomega.BeTrue(), "other companies' tokens and refusals must not evict a company's token")
		g.Expect(company).To(gomega.Equal("small"))
	}
	_, ok = known(100, now)
	g.Expect(ok).To(gomega.BeFalse(), "the oldest token of the company with the most is evicted first")

	company, ok := known(0, now.Add(tokenTTL))
	g.Expect(ok).To(gomega.BeFalse(), "the platform must be asked again")
	g.Expect(company).To(gomega.Equal("small"), "but as for a known company")
	company, _ = known(0, now.Add(companyTTL))
	g.Expect(company).To(gomega.BeEmpty())

	key, _ := good(0, "")
	m.put(key, tokenVerdict{refusal: &rest.Error{}}, now)
	v, company, ok := m.get(key, now)
	g.Expect(ok).To(gomega.BeTrue())
	g.Expect(v.refusal).NotTo(gomega.BeNil(), "the refusal replaces the valid token")
	g.Expect(company).To(gomega.BeEmpty())

	key, v = good(9999, "late")
	m.put(key, v, now.Add(2*companyTTL))
	g.Expect(m.good).To(gomega.HaveLen(maxTokens))
	key, v = good(9998, "late")
	m.put(key, v, now.Add(2*companyTTL))
	g.Expect(m.good).To(gomega.HaveLen(2), "expired entries are evicted first")
	g.Expect(m.tokens).To(gomega.Equal(map[string]int{"late": 2}))
}

func TestKnownNetworksAreBounded(t *testing.T) {
	g := gomega.NewWithT(t)
	var k knownNetworks
	now := time.Now()
	network := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	contains := func(i int, at time.Time) bool {
		_, known := k.get(network(i), at)
		return known
	}
	many, other := holder{Name: "many"}, holder{Name: "other"}
	k.add(network(0), other, now)
	for i := range 2 * maxKnown {
		k.add(network(i+1), many, now.Add(time.Duration(i+1)*time.Millisecond))
		g.Expect(len(k.networks)).To(gomega.BeNumerically("<=", maxKnown))
	}
	g.Expect(len(k.networks)).To(gomega.BeNumerically(">", maxKnown*9/10))
	g.Expect(contains(0, now)).To(gomega.BeTrue(), "a company with many networks can't evict another's")
	g.Expect(contains(1, now)).To(gomega.BeFalse(), "the least recently used one is evicted first")
	g.Expect(contains(2*maxKnown, now)).To(gomega.BeTrue())
	later := now.Add(2 * knownTTL)
	g.Expect(contains(0, later)).To(gomega.BeFalse())
	var full knownNetworks
	for i := range maxKnown {
		full.add(network(i), many, now)
	}
	full.add(network(maxKnown), many, later)
	g.Expect(len(full.networks)).To(gomega.Equal(1), "expired entries are evicted first")
}

// TestNetworksOfHolders checks that a network belongs to a holder while only credentials of
// that one came from it.
func TestNetworksOfHolders(t *testing.T) {
	g := gomega.NewWithT(t)
	var k knownNetworks
	network, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	one, two := holder{Name: "one"}, holder{Name: "two"}
	expect := func(who holder, several bool) {
		known, ok := k.get(network, now)
		g.Expect(ok).To(gomega.BeTrue())
		g.Expect(known.several).To(gomega.Equal(several))
		if !several {
			g.Expect(known.holder).To(gomega.Equal(who))
		}
	}
	k.add(network, holder{}, now)
	expect(holder{}, false)
	k.add(network, one, now)
	expect(one, false)
	k.add(network, holder{}, now)
	expect(one, false)
	k.add(network, two, now)
	expect(holder{}, true)
	k.add(network, one, now)
	expect(holder{}, true)
	now = now.Add(2 * knownTTL)
	k.add(network, one, now)
	expect(one, false)
}

func TestAdminLogs(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) { o.PublicURL = "https://notifications.example.com" })
	const user = "0f0e0d0c-0b0a-4908-8706-050403020100"
	receipt, welcome := f.rule("receipt", "Debit receipt", nil), f.rule("welcome", "Welcome 100%", nil)
	id := func(r *v1alpha1.NotificationRule) string {
		return strconv.FormatInt(notifications.Number(f.company, fullName(r)), 10)
	}
	f.decided(f.company,
		message(fullName(receipt), "email", "joe@example.com", user),
		message(fullName(receipt), "sms", "+27820000001", ""),
		message(fullName(welcome), "email", "failing@example.com", ""),
		message(fullName(welcome), "push", user, user),
		message(fullName(welcome), "system", user, user),
		message("deleted", "email", "ann@example.com", ""),
		ledger.NewDelivery{RuleName: fullName(welcome), Channel: "email", Recipient: "opted@example.com", SkipReason: "OptedOut", SkipMessage: "the user opted out"},
		ledger.NewDelivery{RuleName: fullName(receipt), Channel: "email", SkipReason: "ExpressionFalse"},
		ledger.NewDelivery{RuleName: "off", Channel: "email", SkipReason: "RuleDisabled"})
	f.Expect(f.finishDeliveries()).To(gomega.Equal(6))
	f.decided(f.company, message(fullName(receipt), "email", "later@example.com", ""))
	stranger := f.addCompany("stranger")
	f.decided(stranger, message(fullName(receipt), "email", "stranger@example.com", ""))

	all := f.adminLogs("")
	f.Expect(all.Count).To(gomega.Equal(8))
	f.Expect(all.Results).To(gomega.HaveLen(8))
	f.Expect(all.Next).To(gomega.BeNil())
	f.Expect(all.Previous).To(gomega.BeNil())
	created := strconv.FormatInt(all.Results[7].Created, 10)

	for query, want := range map[string]string{
		"":                                           "later opted ann " + user + " " + user + " failing +27820000001 joe",
		"sent=true":                                  "ann " + user + " " + user + " +27820000001 joe",
		"sent=false":                                 "later opted failing",
		"state=failed":                               "failing",
		"state__in=failed,pending":                   "later failing",
		"state=skipped":                              "  opted",
		"reason=ExpressionFalse":                     "",
		"reason=OptedOut":                            "opted",
		"type=sms":                                   "+27820000001",
		"type__in=sms%2Cpush":                        user + " +27820000001",
		"type__in=sms&type__in=push":                 user + " +27820000001",
		"type=sms&type__in=sms,push":                 "+27820000001",
		"type=email&type__in=sms,push":               "",
		"notification=" + id(welcome):                "opted " + user + " " + user + " failing",
		"notification=1":                             "",
		"notification=x":                             "",
		"notification__name=Debit+receipt":           "later +27820000001 joe",
		"notification__name=debit+receipt":           "",
		"notification__name__contains=%25":           "opted " + user + " " + user + " failing",
		"notification__name__contains=_":             "",
		"recipient=joe@example.com":                  "joe",
		"recipient=joe":                              "",
		"recipient__contains=%2B2782":                "+27820000001",
		"recipient__contains=%25":                    "",
		"user__identifier=" + user:                   user + " " + user + " joe",
		"user__identifier=" + upper(user):            user + " " + user + " joe",
		"received=false":                             user,
		"received=true":                              "",
		"created__gt=0&type=sms":                     "+27820000001",
		"created__lt=" + created:                     "",
		"created__gt=99999999999999":                 "",
		"created__gt=yesterday":                      "",
		"page_size=2":                                "later opted",
		"page_size=2&page=4":                         "+27820000001 joe",
		"page_size=2&page=last":                      "+27820000001 joe",
		"page_size=100&page=last&sent=true&type=sms": "+27820000001",
		"page=last&recipient=nobody":                 "",
		"page_size=x":                                "later opted ann " + user + " " + user + " failing +27820000001 joe",
		"page_size=-1&sent=":                         "later opted ann " + user + " " + user + " failing +27820000001 joe",
		"page_size=9999&company=" + stranger:         "later opted ann " + user + " " + user + " failing +27820000001 joe",
		"recipient=joe@example.com'+OR+'1'%3D'1":     "",
	} {
		t.Run(query, func(t *testing.T) {
			f := f.in(t)
			list := f.adminLogs(query)
			var got []string
			for _, log := range list.Results {
				got = append(got, strings.TrimSuffix(log.Recipient, "@example.com"))
			}
			f.Expect(strings.Join(got, " ")).To(gomega.Equal(want))
			if !strings.Contains(query, "page_size=2") {
				f.Expect(list.Count).To(gomega.Equal(len(got)))
			}
		})
	}
	f.Expect(f.adminLogs("reason=ExpressionFalse").Count).To(gomega.Equal(1))

	t.Run("pages", func(t *testing.T) {
		f := f.in(t)
		list := f.adminLogs("type__in=email,sms&page_size=2&page=2")
		f.Expect(list.Count).To(gomega.Equal(6))
		f.Expect(*list.Next).To(gomega.Equal("https://notifications.example.com/api/admin/logs/?page=3&page_size=2&type__in=email%2Csms"))
		f.Expect(*list.Previous).To(gomega.Equal("https://notifications.example.com/api/admin/logs/?page_size=2&type__in=email%2Csms"))
		f.Expect(f.adminLogs("type__in=email,sms&page_size=2&page=3").Next).To(gomega.BeNil())
		for _, page := range []string{"0", "-1", "x", "1.5", "9", "99999999999999999999", "9223372036854775807", "1e3"} {
			f.expectError(f.call(f.admin.Token, "GET", "/api/admin/logs/?page="+page, ""), 404, "", "Invalid page.")
		}
	})
	t.Run("invalid filters", func(t *testing.T) {
		f := f.in(t)
		f.expectError(f.call(f.admin.Token, "GET", "/api/admin/logs/?type=fax", ""), 400, "type", "Select a valid choice. fax is not one of the available choices.")
		f.expectError(f.call(f.admin.Token, "GET", "/api/admin/logs/?type__in=sms,", ""), 400, "type__in", "Select a valid choice.  is not one of the available choices.")
		f.Expect(f.adminLogs("sent=maybe").Count).To(gomega.Equal(8), "django-filter ignores what is not a boolean")
		f.expectError(f.call(f.admin.Token, "GET", "/api/admin/logs/?recipient="+strings.Repeat("x", 256), ""), 400, "recipient", "Ensure this value has at most 255 characters.")
		f.Expect(f.adminLogs("a=%zz").Count).To(gomega.Equal(8), "Django reads what is not an escape as it is")
	})
	t.Run("one", func(t *testing.T) {
		f := f.in(t)
		var got map[string]any
		f.data(f.call(f.admin.Token, "GET", fmt.Sprintf("/api/admin/logs/%d/", all.Results[5].ID), ""), &got)
		f.Expect(got["created"]).To(gomega.BeNumerically("~", time.Now().UnixMilli(), 60_000))
		for _, name := range []string{"created", "updated", "event_id"} {
			delete(got, name)
		}
		f.Expect(got).To(gomega.Equal(map[string]any{
			"id": float64(all.Results[5].ID), "notification": "Welcome 100%", "type": "email", "user": nil, "recipient": "failing@example.com",
			"subject": "Hello", "text_message": "A <b>text</b>", "html_message": "<b>html</b>", "sms_message": nil, "push_message": nil,
			"whatsapp_content_sid": nil, "whatsapp_variables": nil, "use_twilio_verify": false, "sent_via_whatsapp": false,
			"sent": false, "received": nil, "error_message": "The server refused it.",
			"state": "failed", "reason": "RecipientRefused", "attempts": float64(1), "copy": float64(0), "fallback_of": float64(0), "rule": fullName(welcome), "event": "user.create",
			"expires": float64(0), "sensitive": false, "digest": nil, "outcome": nil, "outcome_message": nil, "outcome_updated": float64(0),
		}))
		for i, want := range map[int]string{3: "system", 4: "push", 6: "sms"} {
			log := all.Results[i]
			f.Expect(log.Type).To(gomega.Equal(want))
			texts := map[string]*string{"system": log.TextMessage, "push": log.PushMessage, "sms": log.SMSMessage}
			f.Expect(*texts[want]).To(gomega.Equal("A <b>text</b>"))
			delete(texts, want)
			for _, other := range texts {
				f.Expect(other).To(gomega.BeNil())
			}
			f.Expect(log.Received == nil).To(gomega.Equal(want != "system"))
		}
		f.Expect(all.Results[2].Notification).To(gomega.BeNil(), "its rule was deleted")
		f.Expect(*all.Results[7].User).To(gomega.Equal(user))
		f.Expect(all.Results[7].ErrorMessage).To(gomega.BeNil())
	})
	t.Run("none", func(t *testing.T) {
		f := f.in(t)
		theirs, err := f.store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: stranger})
		f.Expect(err).NotTo(gomega.HaveOccurred())
		for _, id := range []string{strconv.FormatInt(theirs[0].ID, 10), "999999", "0", "-1", "01", "+1", "1e3", "x", "1%2F2", "1;2", "%27", "9223372036854775808"} {
			f.expectError(f.call(f.admin.Token, "GET", "/api/admin/logs/"+id+"/", ""), 404, "", "Not found.")
			f.expectError(f.call(f.admin.Token, "POST", "/api/admin/logs/"+id+"/send/", ""), 404, "", "Not found.")
		}
	})
}

func upper(s string) string { return strings.ToUpper(s) }

func TestSendAgain(t *testing.T) {
	f := newActiveFixture(t)
	f.decided(f.company,
		message("rule", "email", "failing@example.com", ""),
		message("rule", "email", "joe@example.com", ""),
		message("rule", "sms", "+27820000001", ""),
		ledger.NewDelivery{RuleName: "rule", Channel: "email", Recipient: "opted@example.com", SkipReason: "OptedOut"})
	f.Expect(f.finishDeliveries()).To(gomega.Equal(3))
	logs := f.adminLogs("").Results
	skipped, sms, sent, failed := logs[0], logs[1], logs[2], logs[3]
	send := func(log adminLog, body string) response {
		return f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/logs/%d/send/", log.ID), body)
	}

	f.expectSuccess(send(failed, ""))
	f.expectError(send(failed, ""), 409, "", "This message has not been sent yet.")
	again := f.adminLogs("state=pending").Results
	f.Expect(again).To(gomega.HaveLen(1))
	f.Expect(again[0].ID).To(gomega.Equal(failed.ID))
	f.Expect(*again[0].Reason).To(gomega.Equal("RecipientRefused"), "kept until the next attempt ends")
	f.Expect(f.finishDeliveries()).To(gomega.Equal(1))

	f.expectSuccess(send(sent, "{}"))
	f.expectSuccess(send(sent, `{"recipient":" Ann <ann@example.com> ","sent":true}`))
	f.Expect(f.adminLogs("state=pending").Count).To(gomega.Equal(2))
	f.Expect(f.adminLogs("recipient=ann@example.com").Results[0].Copy).To(gomega.Equal(1))
	f.Expect(f.adminLogs("recipient=joe@example.com").Count).To(gomega.Equal(2), "the log shows both")
	f.Expect(f.finishDeliveries()).To(gomega.Equal(2))
	f.expectSuccess(send(sms, `{"recipient":"+27 82 000 0002"}`))
	f.Expect(f.adminLogs("recipient=%2B27820000002").Count).To(gomega.Equal(1))

	f.expectError(send(skipped, ""), 400, rest.NonFieldErrors, "There is no message to send: see error_message.")
	for body, message := range map[string]string{
		`{"recipient":"nobody"}`: "This is not exactly one email address.", `{"recipient":""}`: "This field may not be blank.",
		`{"recipient":null}`: "This field may not be null.", `{"recipient":["x"]}`: "Not a valid string.",
		`{"recipient":"a@b.example, c@d.example"}`:           "This is not exactly one email address.",
		`{"recipient":"a@b.example\r\nBcc: eve@x.example"}`:  "This is not exactly one email address.",
		`{"recipient":"` + strings.Repeat("a", 256) + `@x"}`: "Ensure this field has no more than 255 characters.",
	} {
		f.expectError(send(sent, body), 400, "recipient", message)
	}
	f.expectError(send(sms, `{"recipient":"0820000001"}`), 400, "recipient", "This is a phone number without a country code, and no default region is set.")
	user := f.addUser(f.company, "user")
	f.expectError(f.call(user.Token, "POST", fmt.Sprintf("/api/admin/logs/%d/send/", sent.ID), ""), 403, "", "You do not have permission to perform this action.")
	f.Expect(f.finishDeliveries()).To(gomega.Equal(1), "refused requests must not send anything")
}

func TestSendAgainInBulk(t *testing.T) {
	f := newActiveFixture(t)
	rule := f.rule("receipt", "Debit receipt", nil)
	var deliveries []ledger.NewDelivery
	for i := range 5 {
		deliveries = append(deliveries, message(fullName(rule), "email", fmt.Sprintf("failing%d@example.com", i), ""),
			message(fullName(rule), "email", fmt.Sprintf("joe%d@example.com", i), ""), message("other", "push", fmt.Sprintf("failing%d", i), ""))
	}
	f.decided(f.company, deliveries...)
	stranger := f.addCompany("stranger")
	f.decided(stranger, message(fullName(rule), "email", "failing@example.com", ""))
	f.finishDeliveries()

	refused := func(query, field, message string) {
		f.Helper()
		f.expectError(f.call(f.admin.Token, "POST", "/api/admin/logs/send/"+query, ""), 400, field, message)
	}
	const nameOne = "Set at least one filter, such as state=failed for all failed messages."
	refused("", rest.NonFieldErrors, nameOne)
	refused("?&", rest.NonFieldErrors, nameOne)
	// An empty value doesn't filter a list, and a list uses the last of several values. Here,
	// either would send more than, or other messages than, the caller means.
	for query, field := range map[string]string{
		"?type=": "type", "?type=email&recipient=": "recipient", "?type=email&created__gt=": "created__gt", "?type=email&sent=": "sent", "?type=email&type__in=": "type__in",
		"?type=email&type=": "type", "?state=failed&notification": "notification",
	} {
		refused(query, field, "Give the filter a value, or leave it out.")
	}
	refused("?recipient=failing0@example.com&recipient=failing1@example.com", "recipient", "Give the filter only once.")
	refused("?type__in=email,", "type__in", "Select a valid choice.  is not one of the available choices.")
	refused("?notice=1", "notice", "There is no such filter.")
	refused("?state=sent", "state", "Only failed, cancelled and quarantined messages can be sent again in bulk.")
	refused("?state__in=failed,skipped", "state", "Only failed, cancelled and quarantined messages can be sent again in bulk.")

	count := func(query string) int {
		f.Helper()
		var done resent
		f.data(f.call(f.admin.Token, "POST", "/api/admin/logs/send/?"+query, ""), &done)
		f.Expect(done.More).To(gomega.BeFalse())
		return done.Count
	}
	// Invalid values, which lists ignore, must not widen what is sent.
	refused("?created__gt=yesterday", "created__gt", "Enter a number of milliseconds since the epoch.")
	refused("?state=failed&sent=maybe", "sent", "Must be a valid boolean.")
	f.Expect(count("state=failed&recipient=+")).To(gomega.Equal(0))
	f.Expect(count("notification=1")).To(gomega.Equal(0))
	f.Expect(count("sent=true")).To(gomega.Equal(0))
	f.Expect(count("recipient=failing0@example.com")).To(gomega.Equal(1))
	f.Expect(count("notification__name=Debit+receipt&type=email")).To(gomega.Equal(4))
	f.Expect(count("state=failed")).To(gomega.Equal(5))
	f.Expect(count("state=failed")).To(gomega.Equal(0))
	f.Expect(f.finishDeliveries()).To(gomega.Equal(10))
	f.Expect(count("type__in=push,sms&created__gt=0")).To(gomega.Equal(5))
	theirs, err := f.store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: stranger})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(theirs[0].State).To(gomega.Equal(ledger.DeliveryFailed))
}

// TestAPICallsAreBounded checks that API calls leave connections for others.
func TestAPICallsAreBounded(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) { o.Limits.APICalls = 1 })
	slot, ok := f.server.apiSlots.TryAcquire("another", 1)
	f.Expect(ok).To(gomega.BeTrue())
	f.expectError(f.call(f.admin.Token, "GET", "/api/user/logs/", ""), 503, "", "Too many calls are in progress. Try again later.")
	slot.Release()
	f.Expect(f.call(f.admin.Token, "GET", "/api/user/logs/", "").status).To(gomega.Equal(200))
	f.Expect(f.server.apiSlots.Used()).To(gomega.BeZero())
}

// TestSlowLogSearchIsCancelled checks that a search beyond its time is cancelled with an
// explanation.
func TestSlowLogSearchIsCancelled(t *testing.T) {
	t.Parallel() // it waits
	slow := new(slowMessages)
	f := newActiveFixture(t, func(o *Options) {
		slow.Ledger = o.Ledger
		o.Ledger = slow
		o.Limits.APIBudget = 5 * time.Second
	})
	slow.slow.Store(true)
	r := f.call(f.admin.Token, "GET", "/api/admin/logs/", "")
	f.expectError(r, 503, "", "The log could not be searched in time. Narrow the search, by created__gt for instance, or try again later.")
	f.Expect(r.header.Get("Retry-After")).To(gomega.Equal("10"))
}

func TestUserLogs(t *testing.T) {
	f := newActiveFixture(t)
	user, other := f.addUser(f.company, "user"), f.addUser(f.company, "user")
	rule := f.rule("welcome", "Welcome", nil)
	f.decided(f.company,
		message(fullName(rule), "system", user.ID, user.ID),
		message(fullName(rule), "email", "joe@example.com", user.ID),
		message(fullName(rule), "system", other.ID, other.ID))
	f.finishDeliveries()
	f.decided(f.company, message("deleted", "system", user.ID, user.ID))
	f.finishDeliveries()

	type userLogs struct {
		Count   int       `json:"count"`
		Next    *string   `json:"next"`
		Results []userLog `json:"results"`
	}
	list := func(query string) (all userLogs) {
		f.Helper()
		f.data(f.call(user.Token, "GET", "/api/user/logs/?"+query, ""), &all)
		return all
	}
	all := list("")
	f.Expect(all.Count).To(gomega.Equal(2), "neither other users' messages nor other channels'")
	f.Expect(all.Results[0].Notification).To(gomega.BeNil())
	first := all.Results[1]
	f.Expect(*first.Notification).To(gomega.Equal("Welcome"))
	f.Expect(*first.TextMessage).To(gomega.Equal("A <b>text</b>"))
	f.Expect(first.Received).To(gomega.BeFalse())
	_, err := time.Parse(time.RFC3339, first.Updated)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	page := list("page_size=1")
	f.Expect(page.Results).To(gomega.HaveLen(1))
	f.Expect(*page.Next).To(gomega.Equal(f.url + "/api/user/logs/?page=2&page_size=1"))
	f.Expect(list("page_size=1&page=2").Results[0].ID).To(gomega.Equal(first.ID))
	f.Expect(list("page_size=1&page=last").Results[0].ID).To(gomega.Equal(first.ID))
	f.Expect(list("page_size=1&page=last").Next).To(gomega.BeNil())
	f.expectError(f.call(user.Token, "GET", "/api/user/logs/?page=3", ""), 404, "", "Invalid page.")
	f.Expect(list("created__gt=x").Count).To(gomega.Equal(0))

	path := fmt.Sprintf("/api/user/logs/%d/", first.ID)
	f.expectError(f.call(user.Token, "PUT", path, "{}"), 400, "received", "This field is required.")
	f.expectError(f.call(user.Token, "PUT", path, ""), 400, "received", "This field is required.")
	f.expectError(f.call(user.Token, "PATCH", path, `{"received":null}`), 400, "received", "This field may not be null.")
	f.expectError(f.call(user.Token, "PATCH", path, `{"received":"perhaps"}`), 400, "received", "Must be a valid boolean.")
	var got userLog
	f.data(f.call(user.Token, "PATCH", path, ""), &got)
	f.Expect(got.Received).To(gomega.BeFalse())
	f.data(f.call(user.Token, "PATCH", path, `{"received":true}`), &got)
	f.Expect(got.Received).To(gomega.BeTrue())
	f.Expect(list("received=true").Count).To(gomega.Equal(1))
	f.Expect(f.adminLogs("received=true").Results[0].ID).To(gomega.Equal(first.ID))
	f.data(f.call(user.Token, "PUT", path, `{"received":false}`), &got)
	f.Expect(got.Received).To(gomega.BeFalse())

	f.expectError(f.call(other.Token, "GET", path, ""), 404, "", "Not found.")
	f.expectError(f.call(other.Token, "PATCH", path, `{"received":true}`), 404, "", "Not found.")
	f.expectError(f.call(user.Token, "GET", "/api/user/logs/x/", ""), 404, "", "Not found.")
}

func TestUserNotifications(t *testing.T) {
	f := newActiveFixture(t)
	user, other := f.addUser(f.company, "user"), f.addUser(f.company, "user")
	optional := func(s *v1alpha1.NotificationRuleSpec) { s.PreferenceEnabled = true }
	receipt := f.rule("receipt", "Debit receipt", func(s *v1alpha1.NotificationRuleSpec) {
		optional(s)
		s.Description, s.Event = "What you paid", "transaction.execute"
	})
	news := f.rule("news", "News", optional)
	f.rule("code", "One-time code", nil)
	f.rule("off", "Switched off", func(s *v1alpha1.NotificationRuleSpec) {
		optional(s)
		s.Enabled = new(bool)
	})

	type list struct {
		Count   int                `json:"count"`
		Next    *string            `json:"next"`
		Results []userNotification `json:"results"`
	}
	get := func(token, query string) (all list) {
		f.Helper()
		f.data(f.call(token, "GET", "/api/user/notifications/?"+query, ""), &all)
		return all
	}
	description := "What you paid"
	wanted := userNotification{ID: notifications.Number(f.company, fullName(receipt)), Name: "Debit receipt", Description: &description, Event: "transaction.execute", Type: "sms", Enabled: true}
	other2 := userNotification{ID: notifications.Number(f.company, fullName(news)), Name: "News", Event: "user.create", Type: "sms", Enabled: true}
	f.Expect(get(user.Token, "page_size=250").Results).To(gomega.ConsistOf(wanted, other2), "only those that users may opt out of")
	for query, want := range map[string]int{
		"event=transaction.execute": 1, "name=News": 1, "name=news": 0, "type=sms": 2, "type=email": 0, "layout=brand": 0, "event=user.create&name=News": 1,
	} {
		f.Expect(get(user.Token, query).Count).To(gomega.Equal(want), query)
	}
	first := get(user.Token, "page_size=1")
	f.Expect(first.Results).To(gomega.HaveLen(1))
	f.Expect(first.Count).To(gomega.Equal(2))
	f.Expect(*first.Next).To(gomega.ContainSubstring("page=2"))
	second := get(user.Token, "page_size=1&page=2")
	f.Expect(get(user.Token, "page_size=1&page=last").Results).To(gomega.Equal(second.Results))
	f.Expect(second.Next).To(gomega.BeNil())
	f.Expect(second.Results[0]).NotTo(gomega.Equal(first.Results[0]))
	f.expectError(f.call(user.Token, "GET", "/api/user/notifications/?page_size=1&page=3", ""), 404, "", "Invalid page.")

	path := fmt.Sprintf("/api/user/notifications/%d/", wanted.ID)
	set := func(method, body string) (n userNotification) {
		f.Helper()
		f.data(f.call(user.Token, method, path, body), &n)
		return n
	}
	f.Expect(set("PATCH", "")).To(gomega.Equal(wanted))
	refused := wanted
	refused.Enabled = false
	f.Expect(set("PATCH", `{"enabled":false}`)).To(gomega.Equal(refused))
	f.Expect(set("GET", "")).To(gomega.Equal(refused))
	f.Expect(get(user.Token, "name=Debit+receipt").Results).To(gomega.ConsistOf(refused))
	f.Expect(get(other.Token, "name=Debit+receipt").Results).To(gomega.ConsistOf(wanted), "preferences are per user")
	out, err := f.store.OptedOut(t.Context(), f.company, []string{user.ID, other.ID}, []ledger.Rule{{Name: fullName(receipt)}, {Name: fullName(news)}})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(out).To(gomega.Equal(map[string][]string{user.ID: {fullName(receipt)}}))
	f.Expect(set("PUT", `{"enabled":true,"name":"ignored"}`)).To(gomega.Equal(wanted))

	f.expectError(f.call(user.Token, "PUT", path, ""), 400, "enabled", "This field is required.")
	f.expectError(f.call(user.Token, "PATCH", path, `{"enabled":2}`), 400, "enabled", "Must be a valid boolean.")
	for _, rule := range []string{"One-time code", "Switched off"} {
		all, err := notifications.Of(t.Context(), f.client, f.activation())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		for _, n := range all {
			if n.Rule.Spec.DisplayName == rule {
				f.expectError(f.call(user.Token, "PATCH", fmt.Sprintf("/api/user/notifications/%d/", n.ID), `{"enabled":false}`), 404, "", "Not found.")
			}
		}
	}
	stranger := newActiveFixture(t)
	f.Expect(stranger.call(stranger.admin.Token, "GET", path, "").status).To(gomega.Equal(404))
	for _, id := range []string{"0", "x", "1"} {
		f.expectError(f.call(user.Token, "GET", "/api/user/notifications/"+id+"/", ""), 404, "", "Not found.")
	}
}

// TestReplacedRuleKeepsItsID checks that a rule that is replaced or restored, with a new
// UID, stays the same notification for users and the log.
func TestReplacedRuleKeepsItsID(t *testing.T) {
	f := newActiveFixture(t)
	user := f.addUser(f.company, "user")
	optional := func(s *v1alpha1.NotificationRuleSpec) { s.PreferenceEnabled = true }
	promo := f.rule("promo", "Promotion", optional)
	f.decided(f.company, message(fullName(promo), "email", "joe@example.com", user.ID))
	list := func() (all struct{ Results []userNotification }) {
		f.Helper()
		f.data(f.call(user.Token, "GET", "/api/user/notifications/", ""), &all)
		return all
	}
	before := list().Results
	f.Expect(before).To(gomega.HaveLen(1))
	f.call(user.Token, "PATCH", fmt.Sprintf("/api/user/notifications/%d/", before[0].ID), `{"enabled":false}`)

	f.Expect(f.client.Delete(f.Context(), promo)).To(gomega.Succeed())
	f.Eventually(func() []userNotification { return list().Results }).Should(gomega.BeEmpty())
	again := f.rule("promo", "Promotion", optional)
	f.Expect(again.UID).NotTo(gomega.Equal(promo.UID))
	want := before[0]
	want.Enabled = false
	f.Expect(list().Results).To(gomega.ConsistOf(want))
	out, err := f.store.OptedOut(f.Context(), f.company, []string{user.ID}, []ledger.Rule{{Name: fullName(again), UID: string(again.UID)}})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(out).To(gomega.HaveKey(user.ID))
	log := f.adminLogs(fmt.Sprintf("?notification=%d", want.ID))
	f.Expect(log.Results).To(gomega.HaveLen(1))
	f.Expect(log.Results[0].Notification).To(gomega.HaveValue(gomega.Equal("Promotion")))
}

// slowMessages is a MessageStore whose searches of the log, while slow is set, last until
// their context ends.
type slowMessages struct {
	Ledger
	slow atomic.Bool
}

func (m *slowMessages) Log(ctx context.Context, f ledger.LogFilter, offset, limit int) (ledger.LogPage, error) {
	if m.slow.Load() {
		<-ctx.Done()
		return ledger.LogPage{}, fmt.Errorf("%w: %w", ledger.ErrUnavailable, ctx.Err())
	}
	return m.Ledger.Log(ctx, f, offset, limit)
}

func TestQuarantine(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	quarantine := func(company, id string) {
		f.Helper()
		_, err := f.store.AcceptEvent(f.Context(), ledger.Event{Company: company, ID: id, Name: "user.create", Data: []byte("{}")})
		f.Expect(err).NotTo(gomega.HaveOccurred())
		claimed, err := f.store.ClaimEvents(f.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(claimed).To(gomega.HaveLen(1))
		f.Expect(f.store.QuarantineEvent(f.Context(), claimed[0], "Unfinished", "It killed the operator.")).To(gomega.Succeed())
	}
	for _, id := range []string{"one", "two", "three"} {
		quarantine(f.company, id)
	}
	quarantine("somebody-else", "foreign")
	type list struct {
		Count   int                `json:"count"`
		Next    *string            `json:"next"`
		Results []quarantinedEvent `json:"results"`
	}
	get := func(query string) (page list) {
		f.Helper()
		f.data(f.call(f.admin.Token, "GET", "/api/admin/quarantine/?"+query, ""), &page)
		return page
	}
	page := get("page_size=2")
	f.Expect(page.Count).To(gomega.Equal(3))
	f.Expect(page.Next).NotTo(gomega.BeNil())
	f.Expect(page.Results).To(gomega.HaveLen(2))
	first := page.Results[0]
	f.Expect(first.EventID + " " + first.Event + " " + first.Reason + " " + first.ErrorMessage).To(gomega.Equal("one user.create Unfinished It killed the operator."))
	f.Expect(first.Attempts).To(gomega.Equal(1))
	page = get("page_size=2&page=2")
	f.Expect(page.Results).To(gomega.HaveLen(1))
	f.Expect(page.Next).To(gomega.BeNil())
	f.expectError(f.call(f.admin.Token, "GET", "/api/admin/quarantine/?page=3&page_size=2", ""), 404, "", "Invalid page.")

	// The log has them too.
	var log struct {
		Results []adminLog `json:"results"`
	}
	logged := func() []adminLog {
		f.Helper()
		log.Results = nil
		f.data(f.call(f.admin.Token, "GET", "/api/admin/logs/?state=quarantined", ""), &log)
		return log.Results
	}
	f.Expect(logged()).To(gomega.HaveLen(3))
	entry := logged()[2]
	f.Expect(entry.EventID + " " + entry.Event + " " + entry.State + " " + *entry.Reason + " " + entry.Type).To(gomega.Equal("one user.create quarantined Unfinished system"))
	f.Expect(*entry.ErrorMessage).To(gomega.Equal("The event is quarantined and was not evaluated: It killed the operator. See /api/admin/quarantine/ to release it."))
	f.Expect(entry.Notification).To(gomega.BeNil())
	f.expectError(f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/logs/%d/send/", entry.ID), ""), 400, "non_field_errors", "There is no message to send: see error_message.")

	release := func(id int64) response {
		return f.call(f.admin.Token, "POST", fmt.Sprintf("/api/admin/quarantine/%d/release/", id), "")
	}
	foreign, err := f.store.QuarantinedEvents(f.Context(), "somebody-else", 0, 10)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.expectError(release(foreign[0].Key), 404, "", "Not found.")
	f.expectSuccess(release(first.ID))
	f.expectError(release(first.ID), 404, "", "Not found.")
	f.Expect(get("").Count).To(gomega.Equal(2))
	f.Expect(logged()).To(gomega.HaveLen(2))
	f.Expect(f.claim()).To(gomega.HaveKey("one"))
	f.expectError(f.call("", "GET", "/api/admin/quarantine/", ""), 401, "", "Authentication credentials were not provided.")
}
