// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/rehive"
)

func TestCallerAddress(t *testing.T) {
	proxies := trustedProxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, test := range map[string]struct {
		remote    string
		forwarded []string
		trusted   trustedProxies
		caller    string
		chain     string // of the end user, "" for none
	}{
		"no proxy is trusted":            {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9"}, caller: "10.0.0.1"},
		"the sender is not trusted":      {remote: "198.51.100.7:4000", forwarded: []string{"203.0.113.9"}, trusted: proxies, caller: "198.51.100.7"},
		"one proxy":                      {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9"}, trusted: proxies, caller: "203.0.113.9", chain: "203.0.113.9"},
		"two proxies":                    {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9, 10.1.1.1"}, trusted: proxies, caller: "203.0.113.9", chain: "203.0.113.9"},
		"the caller adds addresses":      {remote: "10.0.0.1:4000", forwarded: []string{"1.2.3.4, 203.0.113.9, 10.1.1.1"}, trusted: proxies, caller: "203.0.113.9", chain: "1.2.3.4 203.0.113.9"},
		"the caller poses as a proxy":    {remote: "10.0.0.1:4000", forwarded: []string{"1.2.3.4, 10.9.9.9, 203.0.113.9"}, trusted: proxies, caller: "203.0.113.9", chain: "1.2.3.4 10.9.9.9 203.0.113.9"},
		"several headers":                {remote: "10.0.0.1:4000", forwarded: []string{"1.2.3.4", "203.0.113.9", "10.1.1.1"}, trusted: proxies, caller: "203.0.113.9", chain: "1.2.3.4 203.0.113.9"},
		"no header":                      {remote: "10.0.0.1:4000", trusted: proxies, caller: "10.0.0.1", chain: "10.0.0.1"},
		"only proxies":                   {remote: "10.0.0.1:4000", forwarded: []string{"10.3.3.3, 10.2.2.2"}, trusted: proxies, caller: "10.3.3.3", chain: "10.3.3.3"},
		"garbage on the left":            {remote: "10.0.0.1:4000", forwarded: []string{"evil\x00, unknown, 203.0.113.9"}, trusted: proxies, caller: "203.0.113.9", chain: "203.0.113.9"},
		"garbage on the right":           {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9, unknown"}, trusted: proxies, caller: "10.0.0.1", chain: "10.0.0.1"},
		"garbage behind a trusted proxy": {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9, _hidden, 10.2.2.2"}, trusted: proxies, caller: "10.2.2.2", chain: "10.2.2.2"},
		"empty elements":                 {remote: "10.0.0.1:4000", forwarded: []string{" , 203.0.113.9,, ", ""}, trusted: proxies, caller: "203.0.113.9", chain: "203.0.113.9"},
		"ports":                          {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9:80, [fd00::1]:443"}, trusted: proxies, caller: "203.0.113.9", chain: "203.0.113.9"},
		"a zone":                         {remote: "[fd00::1%eth0]:4000", forwarded: []string{"fe80::1%eth0"}, trusted: proxies, caller: "fe80::1", chain: "fe80::1"},
		"IPv4 in IPv6 notation":          {remote: "[::ffff:10.0.0.1]:4000", forwarded: []string{"::ffff:203.0.113.9"}, trusted: proxies, caller: "203.0.113.9", chain: "203.0.113.9"},
		"brackets without a port":        {remote: "[fd00::1]:4000", forwarded: []string{"[2001:db8::1]"}, trusted: proxies, caller: "2001:db8::1", chain: "2001:db8::1"},
		"more hops than are read":        {remote: "10.0.0.1:4000", forwarded: []string{strings.Repeat("1.2.3.4, ", 5000) + "203.0.113.9"}, trusted: proxies, caller: "203.0.113.9", chain: strings.Repeat("1.2.3.4 ", maxHops-1) + "203.0.113.9"},
		"more proxies than are read":     {remote: "10.0.0.1:4000", forwarded: []string{"203.0.113.9" + strings.Repeat(", 10.1.1.1", maxHops)}, trusted: proxies, caller: "10.1.1.1", chain: "10.1.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			if caller := test.trusted.caller(r); caller.String() != test.caller {
				t.Errorf("the caller is %s, want %s", caller, test.caller)
			}
			if chain := strings.Trim(fmt.Sprint(test.trusted.userChain(r)), "[]"); chain != test.chain {
				t.Errorf("the chain is %q, want %q", chain, test.chain)
			}
		})
	}
}

func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.9":             "203.0.113.9",
		"::ffff:203.0.113.9":      "203.0.113.9",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::",
		"[2001:db8:1:2::9]:443":   "2001:db8:1:2::",
		"2001:db8:1:2:ffff::1%e0": "2001:db8:1:2::",
	} {
		if got := flow.NetworkOf(parseAddress(address)); got.String() != want {
			t.Errorf("the network of %s is %s, want %s", address, got, want)
		}
	}
	if got := flow.NetworkOf(parseAddress("@")); got.IsValid() {
		t.Errorf("garbage became %s", got)
	}
}

// headerRecorder records the X-Forwarded-For headers of calls to the platform, by path.
type headerRecorder struct {
	mu   sync.Mutex
	seen map[string][]string
}

// before starts a proxy that records the calls to a platform.
func (h *headerRecorder) before(t *testing.T, platform string) (proxy string) {
	t.Helper()
	target, err := url.Parse(platform)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.seen[r.URL.Path] = append(h.seen[r.URL.Path], r.Header.Get("X-Forwarded-For"))
		h.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + target.Path
}

// take returns the headers recorded for a path and clears all records.
func (h *headerRecorder) take(path string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen[path]
	h.seen = make(map[string][]string)
	return seen
}

// TestUserChainReachesThePlatform checks that the chain is forwarded for API calls, and
// only from trusted proxies.
func TestUserChainReachesThePlatform(t *testing.T) {
	for name, test := range map[string]struct {
		proxies   []netip.Prefix
		forwarded string
	}{
		"off by default":         {nil, ""},
		"behind another network": {[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ""},
		"behind the proxy":       {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "198.51.100.7, 203.0.113.9"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := &headerRecorder{seen: make(map[string][]string)}
			f := newFixture(t, func(o *Options) {
				o.TrustedProxies = test.proxies
				platform, err := rehive.New(recorder.before(t, o.Platform.BaseURL()))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(platform.CloseIdleConnections)
				o.Platform = platform
			})
			header := http.Header{"X-Forwarded-For": {"198.51.100.7, 203.0.113.9, 127.0.0.9"}, "Content-Type": {"application/json"}}
			f.expectSuccess(f.send("POST", "/api/activate/", strings.NewReader(`{"token":"`+f.admin.Token+`"}`), header))
			f.Expect(recorder.take("/3/auth/")).To(gomega.Equal([]string{""}), "lifecycle calls come from the platform itself")

			header = http.Header{"X-Forwarded-For": header["X-Forwarded-For"], "Authorization": {"Token " + f.admin.Token}}
			for range 2 {
				f.Expect(f.send("GET", "/api/admin/logs/", nil, header).status).To(gomega.Equal(200))
			}
			f.Expect(recorder.take("/3/auth/")).To(gomega.Equal([]string{test.forwarded}))
			header.Set("X-Forwarded-For", "203.0.113.10, 127.0.0.9")
			f.Expect(f.send("GET", "/api/admin/logs/", nil, header).status).To(gomega.Equal(200))
			if test.forwarded == "" {
				f.Expect(recorder.take("/3/auth/")).To(gomega.BeEmpty())
			} else {
				f.Expect(recorder.take("/3/auth/")).To(gomega.Equal([]string{"203.0.113.10"}), "a cached verdict applies to one address only")
			}
		})
	}
}

func FuzzCallerAddress(f *testing.F) {
	f.Add("10.0.0.1:80", "203.0.113.9, 10.0.0.2")
	f.Add("[::ffff:10.0.0.1]:80", ",,[fd00::1%0]:1,")
	proxies := trustedProxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		caller, chain := proxies.caller(r), proxies.userChain(r)
		if !proxies.contain(parseAddress(remote)) && (chain != nil || caller != parseAddress(remote)) {
			t.Errorf("%q without a proxy is %s by %v", remote, caller, chain)
		}
		if chain != nil && (len(chain) > maxHops || chain[len(chain)-1] != caller) {
			t.Errorf("%q gives %s and %v", forwarded, caller, chain)
		}
	})
}
