// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package senderdomain looks up whether a domain has the DNS records that mailbox providers
// expect of a sender: SPF, DKIM and DMARC.
package senderdomain

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
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
	// maxDomains is how many domains are remembered, about 500 bytes each, and how many wait.
	maxDomains = 20_000
	// maxWaiting is how many are notified of one lookup.
	maxWaiting = 1000
	// maxRecords is how many TXT records of a name are read.
	maxRecords = 100
	// maxParents is how many parent domains may have the DMARC record.
	maxParents = 4
	// minRSABits is the shortest RSA key that verifiers must accept (RFC 8301, section 3.2).
	minRSABits = 1024
)

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
	found    *lru.Cache[question, entry]

	mu sync.Mutex
	// asked are the questions that are not answered yet, with what is called then. Those of
	// queue have not begun, and running is how many have.
	asked   map[question][]func()
	queue   []question
	running int
}

// question is what is looked up: a domain, and the DKIM selectors, separated by spaces.
type question struct{ domain, selectors string }

type entry struct {
	result Result
	until  time.Time
}

// New returns a checker; with the system's resolver if resolver is nil.
func New(resolver Resolver) *Checker {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found, _ := lru.New[question, entry](maxDomains) // it fails for sizes below 1
	return &Checker{resolver: resolver, now: time.Now, found: found, asked: make(map[question][]func())}
}

// Result returns what is known about a domain without waiting. If nothing is known, or it is
// too old, the domain is looked up in the background; ok is false while there is nothing at
// all. The domain is in lower case, without a dot at its end. selectors are those of the DKIM
// keys that the domain must have; none if they aren't known. done is called after a lookup,
// from another goroutine, and must not block.
func (c *Checker) Result(domain string, selectors []string, done func()) (result Result, ok bool) {
	asked := question{domain, strings.Join(selectors, " ")}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.found.Get(asked)
	if !ok || !c.now().Before(e.until) {
		c.ask(asked, done)
	}
	return e.result, ok
}

// ask has a question answered, once for all who wait for it. It is called with mu held.
func (c *Checker) ask(asked question, done func()) {
	waiting, isAsked := c.asked[asked]
	if len(waiting) < maxWaiting {
		waiting = append(waiting, done)
	}
	if isAsked {
		c.asked[asked] = waiting
		return
	}
	if len(c.queue) >= maxDomains {
		return // it is asked again the next time
	}
	c.asked[asked], c.queue = waiting, append(c.queue, asked)
	if c.running < concurrent {
		c.running++
		go c.answer()
	}
}

// answer answers questions until none are left.
func (c *Checker) answer() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.running--
			c.mu.Unlock()
			return
		}
		asked := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()

		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		result := Check(ctx, c.resolver, asked.domain, strings.Fields(asked.selectors))
		cancel()
		keep := knownFor
		if !result.Known {
			keep = unknownFor
		}
		c.mu.Lock()
		// With mu held, or else a question could be asked again between its answer and its end.
		c.found.Add(asked, entry{result, c.now().Add(keep)})
		waiting := c.asked[asked]
		delete(c.asked, asked)
		c.mu.Unlock()
		for _, done := range waiting {
			done()
		}
	}
}

// Check looks up the records of a domain. DMARC may also be that of a parent domain.
func Check(ctx context.Context, resolver Resolver, domain string, selectors []string) Result {
	spf, err := count(ctx, resolver, domain, "v=spf1")
	if err != nil {
		return unknown(domain)
	}
	dmarc, policy := 0, ""
	for at, parents := domain, 0; strings.Contains(at, ".") && dmarc == 0 && parents <= maxParents; parents++ {
		name := "_dmarc." + at
		texts, err := lookup(ctx, resolver, name)
		if err != nil {
			return unknown(name)
		}
		for _, text := range texts {
			if strings.HasPrefix(text, "v=DMARC1") {
				dmarc++
				policy = policyOf(text)
			}
		}
		_, at, _ = strings.Cut(at, ".")
	}
	problems := judge(domain, spf, dmarc)
	for _, selector := range selectors {
		name := selector + "._domainkey." + domain
		texts, err := lookup(ctx, resolver, name)
		if err != nil {
			return unknown(name)
		}
		if problem := judgeKeys(name, texts); problem != "" {
			problems = append(problems, problem)
		}
	}
	message := strings.Join(problems, " ")
	if message == "" {
		message = fmt.Sprintf("%s has SPF and DMARC records (policy %s)", domain, policy)
		if len(selectors) > 0 {
			message += ", and the DKIM keys of the selectors " + strings.Join(selectors, ", ")
		}
		message += "."
	}
	if len(selectors) == 0 {
		message += " DKIM is not checked, because the selectors of its keys are unknown: name them in spec.dkimSelectors of the DeliveryProvider, or with --smtp-dkim-selectors for the operator's own mail server."
	}
	return Result{Known: true, Ready: len(problems) == 0, Message: message}
}

// judge returns what must be changed in the SPF and DMARC records of a domain.
func judge(domain string, spf, dmarc int) (problems []string) {
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
	return problems
}

// judgeKeys returns what must be changed at the name of a DKIM key; empty if nothing. RFC 6376,
// section 3.6.2.2, leaves open what verifiers do with several records.
func judgeKeys(name string, texts []string) string {
	var keys []map[string]string
	for _, text := range texts {
		key := tags(text)
		if _, ok := key["p"]; ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return fmt.Sprintf("Publish the DKIM key: %s must have the TXT or CNAME record that your mail provider shows for it. A CNAME that exists already leads to a name without a key.", name)
	}
	if len(keys) > 1 {
		return fmt.Sprintf("Keep one of the %d DKIM keys at %s.", len(keys), name)
	}
	key := keys[0]
	if version, ok := key["v"]; ok && version != "DKIM1" {
		return fmt.Sprintf("Correct the DKIM key at %s: its record must begin with v=DKIM1.", name)
	}
	public := strings.Join(strings.Fields(key["p"]), "")
	if public == "" {
		return fmt.Sprintf("Publish a new DKIM key at %s: the one there is revoked (p= is empty).", name)
	}
	der, err := base64.StdEncoding.DecodeString(public)
	usable := err == nil
	if usable && key["k"] != "ed25519" { // the default is rsa
		parsed, err := x509.ParsePKIXPublicKey(der)
		public, isRSA := parsed.(*rsa.PublicKey)
		if usable = err == nil && isRSA; usable && public.N.BitLen() < minRSABits {
			return fmt.Sprintf("Publish a longer DKIM key at %s: it has %d bits, and mailbox providers ignore those with less than %d. Use 2048.", name, public.N.BitLen(), minRSABits)
		}
	} else if usable {
		usable = len(der) == ed25519.PublicKeySize
	}
	if !usable {
		return fmt.Sprintf("Publish the DKIM key at %s again: its p= is not a public key, perhaps because a part of it is missing.", name)
	}
	return ""
}

// tags returns the tags of a DKIM or DMARC record, without surrounding space.
func tags(record string) map[string]string {
	found := make(map[string]string)
	for tag := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(tag, "=")
		found[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return found
}

func unknown(name string) Result {
	return Result{Message: fmt.Sprintf("The DNS records of %s could not be looked up. The lookup is repeated.", name)}
}

// policyOf returns the policy of a DMARC record, of the three that there are.
func policyOf(record string) string {
	switch policy := strings.ToLower(tags(record)["p"]); policy {
	case "none", "quarantine", "reject":
		return policy
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
