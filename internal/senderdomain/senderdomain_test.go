// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package senderdomain

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is a DNS server on loopback that knows TXT and CNAME records; it fails for names below
// failing.example and for the selector broken, and doesn't answer for those below silent.example.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
	aliases map[string]string
	queries atomic.Int64
}

// start returns a resolver that asks only this server.
func (z *zone) start(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := z.answer(buffer[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z *zone) answer(query []byte) []byte {
	z.queries.Add(1)
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	name := strings.TrimSuffix(m.Questions[0].Name.String(), ".")
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	z.mu.Lock()
	alias := z.aliases[name]
	texts := z.records[cmp.Or(alias, name)]
	z.mu.Unlock()
	switch {
	case strings.HasSuffix(name, "silent.example"):
		return nil
	case strings.HasSuffix(name, "failing.example"), strings.HasPrefix(name, "broken."):
		m.RCode = dnsmessage.RCodeServerFailure
	case len(texts) == 0:
		m.RCode = dnsmessage.RCodeNameError
	}
	owner := m.Questions[0].Name
	if alias != "" {
		target := dnsmessage.MustNewName(alias + ".")
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: owner, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET}, Body: &dnsmessage.CNAMEResource{CNAME: target},
		})
		owner = target
	}
	for _, text := range texts {
		var parts []string
		for len(text) > 200 {
			parts, text = append(parts, text[:200]), text[200:]
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: owner, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.TXTResource{TXT: append(parts, text)},
		})
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func TestCheck(t *testing.T) {
	rsaOf := func(bits int) string {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	// The longest one is stored as several strings.
	key, longKey := "v=DKIM1; k=rsa; p="+rsaOf(1024), "k=rsa; p="+rsaOf(2048)
	keys := map[string][]string{
		"s1": {key}, "long": {"unrelated", longKey}, "ed": {"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))},
		"folded":  {strings.Replace(key, "p=", "p = \t", 1)},
		"revoked": {"v=DKIM1; p="}, "revoked2": {"v=DKIM1; p=;"}, "cut": {key[:100]}, "junk": {"v=DKIM1; p=***"}, "short": {"p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKq5bDjzTyB+zsF786UVgDJbxuCf3dU07qRQIdNLEfdLui6QyWhaDATdZCPc7rGYS7h4EX6uycEPewKQV8p+9iUCAwEAAQ=="},
		"two": {key, longKey}, "old": {strings.Replace(key, "DKIM1", "DKIM2", 1)}, "text": {"no key"}, "ed-short": {"k=ed25519; p=AAAA"},
	}
	z := &zone{
		records: map[string][]string{
			"good.example": {"google-site-verification=x", "v=spf1 include:mail.example -all"}, "_dmarc.good.example": {"v=DMARC1; p=Reject"},
			"mail.good.example": {"v=spf1 -all"},
			"twice.example":     {"v=spf1 -all", "v=spf1 a -all"}, "_dmarc.twice.example": {"v=DMARC1; p=none", "v=DMARC1; p=reject"},
			"nodmarc.example": {"v=spf1 -all", "v=spf10"},
			"wild.example":    {"v=spf1 -all"}, "_dmarc.wild.example": {"v=DMARC1; p=\x1b[31m"},
			"keys.provider.example": {key},
		},
		aliases: map[string]string{"cname._domainkey.good.example": "keys.provider.example", "dangling._domainkey.good.example": "gone.provider.example"},
	}
	for selector, texts := range keys {
		z.records[selector+"._domainkey.good.example"] = texts
	}
	resolver := z.start(t)
	for _, test := range []struct {
		domain, selectors string
		known, ready      bool
		contains          []string
	}{
		{"good.example", "", true, true, []string{"policy reject", "DKIM is not checked", "spec.dkimSelectors", "--smtp-dkim-selectors"}},
		{"mail.good.example", "", true, true, []string{"policy reject"}},
		{"twice.example", "", true, false, []string{"Merge the 2 SPF records of twice.example", "Keep one of the 2 DMARC records"}},
		{"nodmarc.example", "", true, false, []string{`a TXT record at _dmarc.nodmarc.example such as "v=DMARC1; p=none`}},
		{"nothing.example", "s1", true, false, []string{"Publish an SPF record: a TXT record at nothing.example", "Publish a DMARC record", "Publish the DKIM key: s1._domainkey.nothing.example must have"}},
		{"failing.example", "", false, false, []string{"could not be looked up"}},
		{"wild.example", "", true, true, []string{"policy unknown"}},

		{"good.example", "s1 long ed folded cname", true, true, []string{"the DKIM keys of the selectors s1, long, ed, folded, cname."}},
		{"good.example", "s1 dangling", true, false, []string{"dangling._domainkey.good.example must have the TXT or CNAME record", "A CNAME that exists already leads to a name without a key"}},
		{"good.example", "s1 broken", false, false, []string{"The DNS records of broken._domainkey.good.example could not be looked up"}},
		{"good.example", "text", true, false, []string{"Publish the DKIM key: text._domainkey.good.example"}},
		{"good.example", "revoked", true, false, []string{"Publish a new DKIM key at revoked._domainkey.good.example: the one there is revoked"}},
		{"good.example", "revoked2", true, false, []string{"is revoked"}},
		{"good.example", "cut", true, false, []string{"cut._domainkey.good.example again: its p= is not a public key"}},
		{"good.example", "junk", true, false, []string{"is not a public key"}},
		{"good.example", "ed-short", true, false, []string{"is not a public key"}},
		{"good.example", "short", true, false, []string{"it has 512 bits"}},
		{"good.example", "two", true, false, []string{"Keep one of the 2 DKIM keys at two._domainkey.good.example."}},
		{"good.example", "old", true, false, []string{"must begin with v=DKIM1"}},
	} {
		result := Check(t.Context(), resolver, test.domain, strings.Fields(test.selectors))
		if result.Known != test.known || result.Ready != test.ready {
			t.Errorf("%s, %s: %+v", test.domain, test.selectors, result)
		}
		for _, text := range test.contains {
			if !strings.Contains(result.Message, text) {
				t.Errorf("%s, %s lacks %q: %s", test.domain, test.selectors, text, result.Message)
			}
		}
		if strings.ContainsRune(result.Message, '\x1b') {
			t.Errorf("%s: the message has control characters of a record", test.domain)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if result := Check(ctx, resolver, "silent.example", nil); result.Known {
		t.Errorf("a server that doesn't answer is %+v", result)
	}
}

// TestChecker asks for one domain by many companies, for a day and longer.
func TestChecker(t *testing.T) {
	z := &zone{records: map[string][]string{"good.example": {"v=spf1 -all"}}}
	c := New(z.start(t))
	var offset atomic.Int64
	c.now = func() time.Time { return time.Unix(1_700_000_000+offset.Load(), 0) }
	// lookup asks until a lookup is done, and returns its result.
	lookup := func(known bool, selectors ...string) Result {
		t.Helper()
		done := make(chan struct{}, 1)
		if _, ok := c.Result("good.example", selectors, func() { done <- struct{}{} }); ok != known {
			t.Errorf("known before the lookup: %t", ok)
		}
		select {
		case <-done:
		case <-time.After(3 * time.Minute):
			t.Fatal("the domain was not looked up")
		}
		result, ok := c.Result("good.example", selectors, func() { t.Error("it is looked up again") })
		if !ok {
			t.Error("the lookup has no result")
		}
		return result
	}
	if lookup(false).Ready {
		t.Error("a domain without DMARC is ready")
	}
	queries := z.queries.Load()
	for range 10_000 {
		c.Result("good.example", nil, func() { t.Error("a known domain is looked up again") })
	}
	if z.queries.Load() != queries {
		t.Error("a known domain is looked up again")
	}
	z.mu.Lock()
	z.records["_dmarc.good.example"] = []string{"v=DMARC1; p=none"}
	z.mu.Unlock()
	offset.Add(int64(knownFor.Seconds()))
	if !lookup(true).Ready {
		t.Error("a new record was not found after a day")
	}
	if lookup(false, "s1").Ready {
		t.Error("other selectors have the answer of none")
	}
}

// TestManyDomains asks for more domains than are looked up at once, each by two companies: all
// learn about it without asking again.
func TestManyDomains(t *testing.T) {
	z := &zone{records: map[string][]string{}}
	c := New(z.start(t))
	var waiting sync.WaitGroup
	for i := range 10 * concurrent {
		for range 2 {
			waiting.Add(1)
			if _, ok := c.Result(fmt.Sprintf("shop%d.example", i), nil, waiting.Done); ok {
				waiting.Done() // the other company's lookup was quick
			}
		}
	}
	all := make(chan struct{})
	go func() { waiting.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(3 * time.Minute):
		t.Fatal("some companies didn't learn about their domain")
	}
	for i := range 10 * concurrent {
		if result, ok := c.Result(fmt.Sprintf("shop%d.example", i), nil, func() {}); !ok || !result.Known {
			t.Errorf("%d is %+v", i, result)
		}
	}
	if n := z.queries.Load(); n != 10*concurrent*2 {
		t.Errorf("%d queries: SPF and DMARC of each domain are needed once", n)
	}
}
