// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

var (
	fuzzTime = flag.Duration("fuzz-api", 0, "how long TestHostileRequests runs, from a random seed; 0 makes a fixed number of requests")
	fuzzSeed = flag.Uint64("fuzz-seed", 0, "seed of a single request for TestHostileRequests to repeat; 0 makes all")
)

// fuzzRequests is how many requests TestHostileRequests makes by default.
const fuzzRequests = 750

// TestHostileRequests makes malformed requests, derived from the OpenAPI document. None may
// get a 5xx, and every answer must be in the envelope and match the document. Each request
// depends only on its seed, so that a failing one can be repeated: go test ./webhookserver
// -run TestHostileRequests -fuzz-seed=N.
func TestHostileRequests(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.StreamTime = 50 * time.Millisecond })
	f.expectSuccess(f.activate(f.admin.Token))
	f.addPresets()
	z := newFuzzer(f)
	if *fuzzSeed != 0 {
		t.Log(z.try(*fuzzSeed))
		return
	}
	const mostFailures = 10
	z.reachAll()
	seed, last := uint64(1), uint64(fuzzRequests)
	if *fuzzTime > 0 {
		seed, last = rand.Uint64()>>1, 1<<63
	}
	statuses := map[int]int{}
	for end := time.Now().Add(*fuzzTime); seed <= last && (*fuzzTime == 0 || time.Now().Before(end)); seed++ {
		statuses[z.try(seed).status]++
		if z.failures == mostFailures {
			t.Fatal("too many failures")
		}
		if seed%50 == 0 {
			z.drain()
			z.stock(z.tenant)
		}
	}
	t.Log("answers by status:", statuses)
	if *fuzzTime == 0 {
		// Some requests must pass validation, or else the handlers aren't tested.
		f.Expect(statuses[200] + statuses[201]).To(gomega.BeNumerically(">", fuzzRequests/8))
		for _, status := range []int{201, 400, 401, 403, 404, 405, 413, 415} {
			f.Expect(statuses).To(gomega.HaveKey(status))
		}
	}
}

// fuzzer makes requests and checks answers.
type fuzzer struct {
	*fixture
	operations []operation
	tenant     tenant
	lifecycle  tenant // activated, rotated and deactivated by requests
	secret     string // of the tenant's webhooks
	succeeded  map[string]int
	errors     *openapi3.Schema
	failures   int
}

func newFuzzer(f *fixture) *fuzzer {
	f.Helper()
	// Requests deactivate, activate and purge one tenant; the other stays active.
	z := &fuzzer{fixture: f, tenant: f.addTenant("fuzzed"), lifecycle: f.addTenant("switched"), succeeded: map[string]int{}}
	var doc *openapi3.T
	doc, z.operations = f.served()
	strict(doc)
	z.errors = doc.Components.Schemas["ErrorResponse"].Value
	var company struct{ Secret string }
	f.data(f.call(z.tenant.admin.Token, "GET", "/api/admin/company/", ""), &company)
	z.secret = company.Secret
	return z
}

// strict makes the schemas of answers require every described member and forbid others.
func strict(doc *openapi3.T) {
	no := false
	for name, ref := range doc.Components.Schemas {
		s := ref.Value
		if strings.HasSuffix(name, "Request") || s.Type == nil || !s.Type.Is("object") {
			continue
		}
		if s.AdditionalProperties.Schema == nil {
			s.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
		if !strings.HasSuffix(name, "Response") {
			s.Required = slices.Sorted(maps.Keys(s.Properties))
		}
	}
}

// reachAll makes a valid request to each operation, so that the state exists for later
// requests to act on.
func (z *fuzzer) reachAll() {
	z.Helper()
	// In reverse order, so that deletions come last.
	for _, o := range slices.Backward(z.operations) {
		ids := []string{"1"}
		if c := o.collection(); c != "" {
			ids = z.ids(z.tenant.token(o), c)
		}
		// The operation may not apply to every item of a list.
		var got response
		for _, id := range ids {
			if got = z.reach(o, id); got.status < 300 {
				break
			}
		}
		z.Expect(got.status).To(gomega.BeElementOf(200, 201), "%s: %s", o, got)
	}
}

// reach makes a valid request.
func (z *fuzzer) reach(o operation, id string) response {
	z.Helper()
	target, body := o.at(id), z.valid(o)
	if o.path == "/api/admin/logs/send/" {
		target += "?type=email"
	}
	header := http.Header{"Authorization": {"Token " + z.tenant.token(o)}, "Content-Type": {"application/json"}}
	if !o.isSecured() {
		header.Set("Authorization", "Secret "+z.secret)
	}
	got := z.sendRaw(o.method, target, header, []byte(body))
	z.check(o.method, target, got, fmt.Sprintf("%s %s: %s", o, body, got))
	return got
}

// drain processes the stored events, so that requests don't run into the ledger's limits
// for one company.
func (z *fuzzer) drain() {
	z.Helper()
	z.forgetWrites()
	for {
		claimed, err := z.store.ClaimEvents(z.Context(), ledger.Claim{Limit: 100, Lease: time.Minute})
		z.Expect(err).NotTo(gomega.HaveOccurred())
		if len(claimed) == 0 {
			break
		}
		for _, event := range claimed {
			z.Expect(z.store.CompleteEvent(z.Context(), event, nil)).To(gomega.Succeed())
		}
	}
	claimed, err := z.store.ClaimDeliveries(z.Context(), ledger.Claim{Limit: 1000, Lease: time.Minute})
	z.Expect(err).NotTo(gomega.HaveOccurred())
	for _, d := range claimed {
		z.Expect(z.store.MarkSent(z.Context(), d, "id")).To(gomega.Succeed())
	}
}

// try makes the request for a seed and checks the answer.
func (z *fuzzer) try(seed uint64) response {
	z.Helper()
	r := hostile{rand.New(rand.NewPCG(seed, 0))}
	o := z.operations[r.IntN(len(z.operations))]
	method, target := o.method, z.target(r, o)
	if r.oneIn(20) {
		method = pick(r, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "get", "PROPFIND", strings.Repeat("M", 200)})
	}
	header := z.header(r, o)
	var body []byte
	if o.RequestBody != nil && !r.oneIn(15) || r.oneIn(20) {
		body = z.body(r, o)
		if !header.hasContentType() && !r.oneIn(15) {
			header["Content-Type"] = []string{"application/json"}
		}
	}
	got := z.sendRaw(method, target, http.Header(header), body)
	what := fmt.Sprintf("-fuzz-seed=%d: %s %s %v\n%s\nanswered %.2000s", seed, method, target, http.Header(header), shortened(body), got.String())
	// A wrong answer doesn't end the test, because others may be wrong in different ways.
	defer func() {
		if failed, ok := recover().(failure); ok {
			z.failures++
			z.Error(string(failed))
		}
	}()
	strict := *z
	strict.fixture = z.in(z.T)
	strict.Gomega = gomega.NewGomega(func(message string, _ ...int) { panic(failure(message)) })
	strict.check(method, target, got, what)
	return got
}

// failure describes a wrong answer.
type failure string

// check fails unless an answer matches the document.
func (z *fuzzer) check(method, target string, got response, what string) {
	z.Helper()
	z.Expect(got.status).To(gomega.BeNumerically("<", 500), "%s", what)
	path, _, _ := strings.Cut(target, "?")
	if contentType := got.header.Get("Content-Type"); contentType != "application/json" {
		z.Expect([]string{method, path, contentType}).To(gomega.Equal([]string{http.MethodGet, eventsPath, "text/event-stream"}), "%s", what)
		z.Expect(got.body).To(gomega.HavePrefix("retry: "), "%s", what)
		z.succeeded[method+" "+path]++
		return
	}
	z.Expect(got.header.Get("Cache-Control")).To(gomega.Equal(cacheControlOf(method, path, got.status)), "%s", what)
	if got.status == http.StatusMethodNotAllowed {
		z.Expect(got.header.Get("Allow")).NotTo(gomega.BeEmpty(), "%s", what)
	}
	if method == http.MethodHead {
		z.Expect(got.body).To(gomega.BeEmpty(), "%s", what)
		return
	}
	var envelope any
	z.Expect(json.Unmarshal([]byte(got.body), &envelope)).To(gomega.Succeed(), "%s", what)
	schema := z.errors
	if got.status < 400 {
		served := slices.IndexFunc(z.operations, func(other operation) bool { return other.method == method && other.matches(path) })
		if served < 0 {
			redirected := got.status == http.StatusMovedPermanently && !strings.HasSuffix(path, "/")
			z.Expect(path == "/" || method == http.MethodOptions || redirected).To(gomega.BeTrue(), "%s", what)
			return
		}
		o := z.operations[served]
		z.succeeded[o.String()]++
		ref := o.Responses.Status(got.status)
		z.Expect(ref).NotTo(gomega.BeNil(), "the document doesn't list this status: %s", what)
		schema = ref.Value.Content["application/json"].Schema.Value
	} else {
		message, _ := envelope.(map[string]any)["message"].(string)
		z.Expect(message).NotTo(gomega.BeEmpty(), "%s", what)
		for _, internal := range []string{"<nil>", "%!", "goroutine", "json:", "strconv.", "runtime error", "Internal error", "kind=", ".go:"} {
			z.Expect(message).NotTo(gomega.ContainSubstring(internal), "%s", what)
		}
	}
	z.Expect(schema.VisitJSON(envelope, openapi3.EnableJSONSchema2020())).To(gomega.Succeed(), "%s", what)
}

// matches reports whether a requested path belongs to the operation. Literal paths take
// precedence over those with a parameter.
func (o operation) matches(path string) bool {
	before, after, ok := strings.Cut(o.path, "{")
	if !ok {
		return path == o.path
	}
	_, after, _ = strings.Cut(after, "}")
	id, isBelow := strings.CutPrefix(path, before)
	id, isItem := strings.CutSuffix(id, after)
	return isBelow && isItem && id != "" && !strings.Contains(id, "/")
}

// sendRaw makes a request whose target is sent unchanged.
func (f *fixture) sendRaw(method, target string, header http.Header, body []byte) response {
	f.Helper()
	u, err := url.Parse(f.url)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	path, query, _ := strings.Cut(target, "?")
	// An opaque URL is sent unchanged, even if it is malformed.
	req := &http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: u.Host, Opaque: path, RawQuery: query}, Host: u.Host,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	if len(body) == 0 {
		req.Body = http.NoBody
	}
	resp, err := http.DefaultClient.Do(req.WithContext(f.Context()))
	if err != nil && len(body) > 2<<20 {
		// The server closed the connection before it read the oversized request, and the
		// answer was lost.
		return f.send("GET", "/api/none/", nil, nil)
	}
	f.Expect(err).NotTo(gomega.HaveOccurred(), "%s %s", method, target)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	f.Expect(err).NotTo(gomega.HaveOccurred(), "%s %s", method, target)
	return response{resp.StatusCode, resp.Header, string(text)}
}

func shortened(body []byte) string { return fmt.Sprintf("%d bytes: %.2000q", len(body), body) }

// hostile generates hostile input.
type hostile struct{ *rand.Rand }

func (r hostile) oneIn(n int) bool { return r.IntN(n) == 0 }

func pick[T any](r hostile, choices []T) T { return choices[r.IntN(len(choices))] }

// texts are hostile as values, names, ids and templates.
var texts = []string{
	"", " ", "\t\n", "a", "A", "é", "ﷺ", "😀", "\u202e\u0000", "\x00", "\x7f\x1b[31m", "\ufffd", "\ufeffa", "a\u0301", strings.Repeat("̀", 50),
	"0", "-1", "1e3", "01", "+1", "9223372036854775807", "9223372036854775808", "99999999999999999999999999", "NaN", "0x10", "1_000", "١٢٣", "1.5",
	"true", "false", "null", "None", "on", "{}", "[]", "'", "\"", "\\", "';--", "' OR '1'='1", "<script>alert(1)</script>", "../../etc/passwd",
	"..", ".", "/", "%2e%2e%2f", "%", "%s%n%d", "%00", "a\r\nBcc: b@c.example", "a@b.example", "a@b.example,c@d.example", "+27820000001",
	"https://a.example/x", "javascript:alert(1)", "email", "sms", "push", "system", "user.create", "USER.CREATE", "a..b", "kube-system", "sh.helm",
	"{{ email }}", "{{ x", "{% if %}", "{% for a in b %}", "{% include 'x' %}", "{% load x %}", "{{ a|b:'", "{{ a.b.c.d|default:'x'|upper }}",
	"{% for i in 'aaaaaaaaaaaaaaaaaaaa' %}{% for j in 'aaaaaaaaaaaaaaaaaaaa' %}{{ i }}{% endfor %}{% endfor %}", "{{ 'a'|center:'999999999' }}",
	"9**9**9**9", "'{{ a }}' == 'b'", "a !== b", "[[[[[[[[[[1]]]]]]]]]]", "lambda: 1", "__import__('os')", "'" + strings.Repeat("a", 300) + "'",
	"id", "created", "-created", "last", "cursor", "YToxMA", "YjoxMA", "2026-11-29T00:00:00Z",
}

// text returns a hostile text. Long ones have about the maximum length of a field, with one
// to four bytes per character.
func (r hostile) text() string {
	switch {
	case r.oneIn(25):
		return strings.Repeat(pick(r, []string{"a", "é", "😀", "{{ a }}", "{% if a %}b{% endif %}", "\u0000", "\\", "("}), pick(r, []int{100, 251, 256, 4097, 8193, 16385, 65537}))
	case r.oneIn(200):
		return strings.Repeat(pick(r, []string{"a", "é", "😀"}), 262144)
	case r.oneIn(6):
		return pick(r, texts) + pick(r, texts)
	}
	return pick(r, texts)
}

// target returns the path and query of a request.
func (z *fuzzer) target(r hostile, o operation) string {
	id := "1"
	if c := o.collection(); c != "" && o.isSecured() && !r.oneIn(4) {
		if ids := z.ids(z.tenant.token(o), c); len(ids) > 0 {
			id = pick(r, ids)
		}
	} else {
		id = url.PathEscape(r.text())
		// With the query and the header, it stays below net/http's limit.
		id = strings.TrimRight(id[:min(len(id), 2000)], "%0123456789ABCDEF")
		if id == "" || r.oneIn(30) {
			id = pick(r, []string{"%2E%2E", "1", "%00", "a%2Fb"})
		}
	}
	target := o.at(id)
	if r.oneIn(40) {
		target = pick(r, []string{strings.TrimSuffix(target, "/"), target + "/", target + "more/", strings.ToUpper(target), "/" + target[1:] + "./", target + "%2e%2e/"})
	}
	query := z.query(r, o)
	query = query[:min(len(query), 6000)]
	if query != "" {
		target += "?" + query
	}
	return target
}

func (z *fuzzer) query(r hostile, o operation) string {
	if r.oneIn(100) {
		return pick(r, []string{"%zz", "a=%", "&&&", "=", "a;b", "a=1;b=2", "?", "%00=%00"})
	}
	var pairs []string
	add := func(name, value string) { pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value)) }
	for _, parameter := range o.Parameters {
		p := parameter.Value
		if p.In != openapi3.ParameterInQuery || !r.oneIn(6) {
			continue
		}
		schema := p.Schema.Value
		value := r.text()
		switch {
		case r.oneIn(4):
		case len(schema.Enum) > 0:
			value = fmt.Sprint(pick(r, schema.Enum))
		case schema.Type.Is("boolean"):
			value = pick(r, []string{"true", "false", "True", "1"})
		case schema.Type.Is("integer"):
			value = strconv.Itoa(r.IntN(300))
		case p.Name == "page":
			value = pick(r, []string{"1", "2", "last", "0"})
		}
		add(p.Name, value)
		if r.oneIn(10) {
			add(p.Name, r.text())
		}
	}
	if r.oneIn(10) {
		add(pick(r, []string{"unknown", "company", "user", "format", "state__gt", "__class__", r.text()}), r.text())
	}
	return strings.Join(pairs, "&")
}

// fuzzHeader is the header of a request.
type fuzzHeader http.Header

func (h fuzzHeader) hasContentType() bool { return len(h["Content-Type"]) > 0 }

func (z *fuzzer) header(r hostile, o operation) fuzzHeader {
	header := fuzzHeader{}
	switch {
	case !o.isSecured():
		header["Authorization"] = []string{"Secret " + pick(r, []string{z.secret, z.secret, z.secret, "planted"})}
	case r.oneIn(15):
		// Use few different tokens, because lookups at the platform are rate-limited.
		header["Authorization"] = pick(r, [][]string{{"Token planted"}, {"Secret planted"}, {"Token"}, {"Token " + strings.Repeat("planted", 500)}, {"Token planted\xff"}, {""}, {"Token a", "Token b"}, nil})
	case r.oneIn(15):
		header["Authorization"] = []string{"Token " + z.tenant.user.Token}
	default:
		header["Authorization"] = []string{"Token " + z.tenant.token(o)}
	}
	if r.oneIn(20) {
		header["Content-Type"] = []string{pick(r, []string{
			"application/json; charset=latin-1", "text/plain", "", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json;;", "*/*", "a", "application/" + strings.Repeat("j", 5000),
		})}
	}
	if r.oneIn(40) {
		header["Content-Encoding"] = []string{pick(r, []string{"gzip", "identity", "br, gzip", "\xff"})}
	}
	if r.oneIn(10) {
		header["Idempotency-Key"] = []string{strings.Map(func(c rune) rune {
			if c < ' ' || c == 0x7f {
				return -1
			}
			return c
		}, r.text())}
		if len(header["Idempotency-Key"][0]) > 4000 {
			header["Idempotency-Key"][0] = header["Idempotency-Key"][0][:4000]
		}
	}
	if r.oneIn(20) {
		header[pick(r, []string{"Accept", "Accept-Encoding", "Range", "If-Match", "X-Forwarded-For", "X-Http-Method-Override", "Origin"})] = []string{pick(r, []string{"*", "text/html", "bytes=0-1", "127.0.0.1, ::1, x", "DELETE", "https://evil.example"})}
	}
	return header
}

// body returns a body for an operation, which is almost valid or not at all.
func (z *fuzzer) body(r hostile, o operation) []byte {
	if r.oneIn(50) {
		return []byte(`{"name":"` + strings.Repeat("a", 3<<20) + `"}`) // larger than any limit
	}
	if r.oneIn(12) {
		return []byte(pick(r, []string{
			"", "null", "[]", "1", `""`, "{", "}", `{"a"`, `{"a":}`, `{"a":1,}`, `{'a':1}`, "\xef\xbb\xbf{}", "\xff\xfe{\x00}\x00", `{"name":"` + "\xff" + `"}`, `{"a":1}{"b":2}`, "{}\n\n",
			`{"name":1e999}`, `{"name":-0}`, `{"name":"\ud800"}`, `{"name":"a","name":"b"}`, `{"\u006eame":"a"}`, `{"":""}`, "\x1f\x8b\x08", "<xml/>", "name=a&type=email",
			strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500), `{"data":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}",
		}))
	}
	members := map[string]json.RawMessage{}
	if valid := z.valid(o); valid != "" && !r.oneIn(10) {
		if err := json.Unmarshal([]byte(valid), &members); err != nil {
			panic(err)
		}
	}
	if r.oneIn(3) {
		return encoded(members)
	}
	schema := o.bodySchema()
	if schema == nil {
		members["name"] = encoded(r.text())
		return encoded(members)
	}
	names := slices.Sorted(maps.Keys(schema.Properties))
	for range 1 + r.IntN(4) {
		name := pick(r, names)
		switch {
		case r.oneIn(10):
			delete(members, name)
		case r.oneIn(20):
			members[pick(r, []string{"unknown", "id", "company", "__proto__", strings.ToUpper(name), r.text()})] = r.value(0)
		case r.oneIn(4):
			members[name] = r.value(0)
		default:
			members[name] = r.typed(schema.Properties[name].Value)
		}
	}
	return encoded(members)
}

// valid returns a valid body for an operation.
func (z *fuzzer) valid(o operation) string {
	switch path := strings.TrimPrefix(o.path, "/api/"); {
	case o.method == http.MethodPost && path == "admin/credentials/": // the tenant has those of the other type
		return `{"credential_type":"twilio","credentials":{"twilio_sid":"AC0123456789abcdef0123456789abcdef","twilio_token":"planted","twilio_from_number":"+27820000001"}}`
	case strings.HasSuffix(path, "/webhook/"), path == "webhook/":
		return fmt.Sprintf(`{"id":1,"event":"user.create","company":%q,"data":{"id":"1"}}`, z.tenant.id)
	case !o.isSecured():
		return fmt.Sprintf(`{"token":%q}`, z.lifecycle.admin.Token)
	case strings.HasSuffix(path, "/preview/"):
		return strings.Replace(validBody(o), `"event":"user.create"`, `"event":{"name":"user.create","data":{"email":"a@b.example"}}`, 1)
	case strings.HasSuffix(path, "/trigger/"):
		return `{"data":{"a":1},"users":["u"],"groups":["g"]}`
	case strings.HasSuffix(path, "/send/"):
		return `{}`
	case path == "user/inbox/read/":
		return `{"up_to":1}`
	case path == "admin/erasures/" && o.method == http.MethodPost:
		return fmt.Sprintf(`{"user":%q}`, uuid.NewString())
	}
	return validBody(o)
}

func encoded(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// typed returns a value of a schema's type.
func (r hostile) typed(s *openapi3.Schema) json.RawMessage {
	switch {
	case len(s.Enum) > 0 && !r.oneIn(4):
		return encoded(pick(r, s.Enum))
	case s.Type == nil || s.Type.Includes("object"):
		return r.value(0)
	case s.Type.Includes("boolean"):
		return encoded(pick(r, []any{true, false, "yes", 1, 0, "off", 1.0}))
	case s.Type.Includes("array"):
		var items []any
		for range pick(r, []int{0, 1, 2, 2, 51, 1001, 5000}) {
			items = append(items, pick(r, texts))
		}
		return encoded(items)
	}
	return encoded(r.text())
}

// value returns any JSON value.
func (r hostile) value(depth int) json.RawMessage {
	switch n := r.IntN(10); {
	case n < 3:
		return encoded(r.text())
	case n == 3:
		return json.RawMessage(pick(r, []string{"0", "-1", "1.5", "1e5", "1E300", "-0", "123456789012345678901234567890", "0.1000000000000000055511151231257827"}))
	case n == 4:
		return json.RawMessage(pick(r, []string{"true", "false", "null"}))
	case n == 5:
		return json.RawMessage(strings.Repeat("[", 50) + strings.Repeat("]", 50))
	case depth > 3:
		return json.RawMessage("[]")
	case n == 6:
		items := []json.RawMessage{}
		for range r.IntN(5) {
			items = append(items, r.value(depth+1))
		}
		return encoded(items)
	case n == 7 && depth == 0:
		return json.RawMessage("[" + strings.TrimSuffix(strings.Repeat("1,", 1+r.IntN(200_000)), ",") + "]")
	}
	members := map[string]json.RawMessage{}
	for range r.IntN(5) {
		members[pick(r, []string{"name", "data", "id", "twilio_sid", "sendgrid_api_key", "sendgrid_from_email", r.text()})] = r.value(depth + 1)
	}
	return encoded(members)
}
