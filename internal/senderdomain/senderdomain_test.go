// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package senderdomain

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is a DNS server on loopback that knows TXT records; it fails for names below
// failing.example, and doesn't answer for those below silent.example.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
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
	texts := z.records[name]
	z.mu.Unlock()
	switch {
	case strings.HasSuffix(name, "silent.example"):
		return nil
	case strings.HasSuffix(name, "failing.example"):
		m.RCode = dnsmessage.RCodeServerFailure
	case len(texts) == 0:
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, text := range texts {
		var parts []string
		for len(text) > 200 {
			parts, text = append(parts, text[:200]), text[200:]
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET},
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
	key := "v=DKIM1; k=rsa; p=" + strings.Repeat("A", 400)
	z := &zone{records: map[string][]string{
		"good.example": {"google-site-verification=x", "v=spf1 include:mail.example -all"}, "_dmarc.good.example": {"v=DMARC1; p=Reject"}, "s2._domainkey.good.example": {key},
		"nokey.example": {"v=spf1 -all"}, "_dmarc.nokey.example": {"v=DMARC1;p=none"},
		"revoked.example": {"v=spf1 -all"}, "_dmarc.revoked.example": {"v=DMARC1; p=none"}, "s1._domainkey.revoked.example": {"v=DKIM1; p="},
		"mail.good.example": {"v=spf1 -all"},
		"twice.example":     {"v=spf1 -all", "v=spf1 a -all"}, "_dmarc.twice.example": {"v=DMARC1; p=none", "v=DMARC1; p=reject"},
		"nodmarc.example": {"v=spf1 -all", "v=spf10"},
		"wild.example":    {"v=spf1 -all"}, "_dmarc.wild.example": {"v=DMARC1; p=\x1b[31m"},
	}}
	resolver := z.start(t)
	for domain, want := range map[string]struct {
		known, ready bool
		contains     []string
	}{
		"good.example":      {true, true, []string{"policy reject", "selector s2"}},
		"nokey.example":     {true, true, []string{"policy none", "No DKIM key was found"}},
		"revoked.example":   {true, true, []string{"No DKIM key was found"}},
		"mail.good.example": {true, true, []string{"policy reject"}},
		"twice.example":     {true, false, []string{"Merge the 2 SPF records of twice.example", "Keep one of the 2 DMARC records"}},
		"nodmarc.example":   {true, false, []string{`a TXT record at _dmarc.nodmarc.example such as "v=DMARC1; p=none`}},
		"nothing.example":   {true, false, []string{"Publish an SPF record: a TXT record at nothing.example", "Publish a DMARC record", "No DKIM key"}},
		"failing.example":   {false, false, []string{"could not be looked up"}},
		"wild.example":      {true, true, []string{"policy unknown"}},
	} {
		result := Check(t.Context(), resolver, domain)
		if result.Known != want.known || result.Ready != want.ready {
			t.Errorf("%s: %+v", domain, result)
		}
		for _, text := range want.contains {
			if !strings.Contains(result.Message, text) {
				t.Errorf("%s lacks %q: %s", domain, text, result.Message)
			}
		}
		if strings.ContainsRune(result.Message, '\x1b') {
			t.Errorf("%s: the message has control characters of a record", domain)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if result := Check(ctx, resolver, "silent.example"); result.Known {
		t.Errorf("a server that doesn't answer is %+v", result)
	}
}

// TestChecker asks for one domain by many companies, for a day and longer.
func TestChecker(t *testing.T) {
	z := &zone{records: map[string][]string{"good.example": {"v=spf1 -all"}}}
	c := New(z.start(t))
	var offset atomic.Int64
	c.now = func() time.Time { return time.Unix(1_700_000_000+offset.Load(), 0) }
	await := func(ready bool) {
		t.Helper()
		deadline := time.Now().Add(3 * time.Minute)
		for {
			c.mu.Lock()
			idle := len(c.running) == 0
			c.mu.Unlock()
			if result, ok := c.Result("good.example"); ok && idle && result.Ready == ready {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the domain was not looked up")
			}
			time.Sleep(time.Millisecond)
		}
	}
	if _, ok := c.Result("good.example"); ok {
		t.Error("the first question is answered without a lookup")
	}
	await(false)
	queries := z.queries.Load()
	for range 10_000 {
		c.Result("good.example")
	}
	if z.queries.Load() != queries {
		t.Error("a known domain is looked up again")
	}
	z.mu.Lock()
	z.records["_dmarc.good.example"] = []string{"v=DMARC1; p=none"}
	z.mu.Unlock()
	offset.Add(int64(knownFor.Seconds()))
	await(true)
}
