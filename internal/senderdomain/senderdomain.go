// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package senderdomain looks up whether a domain has the DNS records that mailbox providers
// expect of a sender: SPF, DKIM and DMARC.
package senderdomain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// knownFor is how long what was found is used, and unknownFor how long a failure is.
	knownFor   = 24 * time.Hour
	unknownFor = 10 * time.Minute
	// timeout bounds the lookups of one domain.
	timeout = 5 * time.Second
	// concurrent is how many domains are looked up at once.
	concurrent = 4
	// maxDomains is how many domains are remembered, about 500 bytes each.
	maxDomains = 20_000
	// maxRecords is how many TXT records of a name are read.
	maxRecords = 100
	// maxParents is how many parent domains may have the DMARC record.
	maxParents = 4
)

// selectors are the DKIM selectors of common providers. A domain may use any other, so that
// their absence proves nothing.
var selectors = []string{"s1", "s2", "default", "selector1", "selector2", "google", "k1", "k2", "mail", "dkim"}

// Resolver is the part of [net.Resolver] that is used.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Result is what is known about a domain.
type Result struct {
	// Known is false if the records could not be looked up. Ready says that a mailbox provider
	// can tell that mail comes from the domain.
	Known, Ready bool
	// Message says in sentences what was found, and what to publish.
	Message string
}

// Checker looks domains up in the background and remembers the results, whichever company
// asks. It is safe for concurrent use.
type Checker struct {
	resolver Resolver
	now      func() time.Time
	found    *lru.Cache[string, entry]
	slots    chan struct{}

	mu      sync.Mutex
	running map[string]bool
}

type entry struct {
	result Result
	until  time.Time
}

// New returns a checker; with the system's resolver if resolver is nil.
func New(resolver Resolver) *Checker {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found, _ := lru.New[string, entry](maxDomains) // it fails for sizes below 1
	return &Checker{resolver: resolver, now: time.Now, found: found, slots: make(chan struct{}, concurrent), running: make(map[string]bool)}
}

// Result returns what is known about a domain without waiting. If nothing is known, or it is
// too old, the domain is looked up in the background; ok is false while there is nothing at
// all. The domain is in lower case, without a dot at its end.
func (c *Checker) Result(domain string) (result Result, ok bool) {
	e, ok := c.found.Get(domain)
	if !ok || !c.now().Before(e.until) {
		c.begin(domain)
	}
	return e.result, ok
}

// begin looks a domain up unless that is happening already, or all slots are occupied.
func (c *Checker) begin(domain string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[domain] {
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		return // it is looked up the next time
	}
	c.running[domain] = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		result := Check(ctx, c.resolver, domain)
		keep := knownFor
		if !result.Known {
			keep = unknownFor
		}
		c.found.Add(domain, entry{result, c.now().Add(keep)})
		c.mu.Lock()
		delete(c.running, domain)
		c.mu.Unlock()
		<-c.slots
	}()
}

// Check looks up the records of a domain. DMARC may also be that of a parent domain.
func Check(ctx context.Context, resolver Resolver, domain string) Result {
	spf, err := count(ctx, resolver, domain, "v=spf1")
	if err != nil {
		return unknown(domain)
	}
	dmarc, policy := 0, ""
	for at, parents := domain, 0; strings.Contains(at, ".") && dmarc == 0 && parents <= maxParents; parents++ {
		texts, err := lookup(ctx, resolver, "_dmarc."+at)
		if err != nil {
			return unknown(domain)
		}
		for _, text := range texts {
			if strings.HasPrefix(text, "v=DMARC1") {
				dmarc++
				policy = policyOf(text)
			}
		}
		_, at, _ = strings.Cut(at, ".")
	}
	dkim := ""
	for _, selector := range selectors {
		texts, err := lookup(ctx, resolver, selector+"._domainkey."+domain)
		if err != nil {
			return unknown(domain)
		}
		for _, text := range texts {
			if strings.Contains(text, "p=") && !strings.HasSuffix(strings.TrimRight(text, "; "), "p=") {
				dkim = selector
			}
		}
		if dkim != "" {
			break
		}
	}
	return judge(domain, spf, dmarc, policy, dkim)
}

// judge says what is missing. A DKIM key of an unknown selector can't be found, so that its
// absence alone is not a problem.
func judge(domain string, spf, dmarc int, policy, dkim string) Result {
	var problems []string
	switch {
	case spf == 0:
		problems = append(problems, fmt.Sprintf("Publish an SPF record: a TXT record at %s such as %q.", domain, "v=spf1 include:<the SPF domain of your mail provider> -all"))
	case spf > 1:
		problems = append(problems, fmt.Sprintf("Merge the %d SPF records of %s into one: with more than one, SPF fails.", spf, domain))
	}
	switch {
	case dmarc == 0:
		problems = append(problems, fmt.Sprintf("Publish a DMARC record: a TXT record at _dmarc.%s such as %q.", domain, "v=DMARC1; p=none; rua=mailto:dmarc@"+domain))
	case dmarc > 1:
		problems = append(problems, fmt.Sprintf("Keep one of the %d DMARC records of %s: more than one count as none.", dmarc, domain))
	}
	message := fmt.Sprintf("%s has SPF and DMARC records (policy %s)", domain, policy)
	if len(problems) > 0 {
		message = strings.Join(problems, " ")
	} else if dkim != "" {
		message += fmt.Sprintf(", and a DKIM key (selector %s).", dkim)
	} else {
		message += "."
	}
	if dkim == "" {
		message += " No DKIM key was found under the selectors of common providers: make sure that your mail provider signs with a key of " + domain + "."
	}
	return Result{Known: true, Ready: len(problems) == 0, Message: message}
}

func unknown(domain string) Result {
	return Result{Message: fmt.Sprintf("The DNS records of %s could not be looked up. The lookup is repeated.", domain)}
}

// policyOf returns the policy of a DMARC record, of the three that there are.
func policyOf(record string) string {
	for tag := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(tag, "=")
		value = strings.ToLower(strings.TrimSpace(value))
		if strings.TrimSpace(name) == "p" && (value == "none" || value == "quarantine" || value == "reject") {
			return value
		}
	}
	return "unknown"
}

// count counts the TXT records with a version.
func count(ctx context.Context, resolver Resolver, name, version string) (n int, err error) {
	texts, err := lookup(ctx, resolver, name)
	for _, text := range texts {
		if text == version || strings.HasPrefix(text, version+" ") {
			n++
		}
	}
	return n, err
}

// lookup returns the TXT records of a name; none if it doesn't exist. The dot at the end of the name
// keeps the resolver from trying the search domains of the cluster.
func lookup(ctx context.Context, resolver Resolver, name string) ([]string, error) {
	texts, err := resolver.LookupTXT(ctx, name+".")
	var failed *net.DNSError
	if errors.As(err, &failed) && failed.IsNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", name, err)
	}
	return texts[:min(len(texts), maxRecords)], nil
}
