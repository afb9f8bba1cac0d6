// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"crypto/sha256"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// tokenTTL is how long a token's user is cached. A revoked token keeps working for as
	// long.
	tokenTTL = 30 * time.Second
	// companyTTL is how long a token's company is cached, so that verifying the token again
	// doesn't wait behind strangers.
	companyTTL = time.Hour
	// refusalTTL is how long a refusal is cached.
	refusalTTL = 3 * time.Second
	// maxTokens is how many valid tokens are cached at once, maxRefusals how many refusals.
	maxTokens, maxRefusals = 8192, 4096
)

type tokenKey [sha256.Size]byte

// tokenVerdict is the platform's answer about a token.
type tokenVerdict struct {
	caller  caller
	refusal *rest.Error // nil if it was not refused
	until   time.Time   // when the platform must be asked again
	forget  time.Time   // when the company expires too
}

// answer returns the caller, a copy, or the refusal.
func (v tokenVerdict) answer() (*caller, error) {
	if v.refusal != nil {
		return nil, v.refusal
	}
	return &v.caller, nil
}

// tokenCache caches the platform's answers. Refusals are kept separately, so that no number
// of made-up tokens evicts valid ones.
type tokenCache struct {
	refused *lru.Cache[tokenKey, tokenVerdict]

	mu     sync.Mutex
	good   map[tokenKey]tokenVerdict
	tokens map[string]int // number of valid tokens by company
}

func newTokenCache() *tokenCache {
	refused, err := lru.New[tokenKey, tokenVerdict](maxRefusals)
	if err != nil {
		panic(err) // only a size below 1 is an error
	}
	return &tokenCache{refused: refused, good: make(map[tokenKey]tokenVerdict), tokens: make(map[string]int)}
}

// get returns the cached answer about a token. If a valid token must be verified again, ok
// is false and company is the one that it belonged to.
func (m *tokenCache) get(key tokenKey, now time.Time) (v tokenVerdict, company string, ok bool) {
	if v, ok := m.refused.Peek(key); ok && now.Before(v.until) {
		return v, "", true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.good[key]; ok && now.Before(v.forget) {
		return v, v.caller.company, now.Before(v.until)
	}
	return tokenVerdict{}, "", false
}

// put caches a verdict that the platform gave now.
func (m *tokenCache) put(key tokenKey, v tokenVerdict, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetGood(key)
	if v.refusal != nil {
		v.until = now.Add(refusalTTL)
		m.refused.Add(key, v)
		return
	}
	m.refused.Remove(key)
	v.until, v.forget = now.Add(tokenTTL), now.Add(companyTTL)
	if len(m.good) >= maxTokens {
		m.makeRoom(now)
	}
	m.good[key] = v
	m.tokens[v.caller.company]++
}

func (m *tokenCache) forgetGood(key tokenKey) {
	v, ok := m.good[key]
	if !ok {
		return
	}
	delete(m.good, key)
	if m.tokens[v.caller.company]--; m.tokens[v.caller.company] == 0 {
		delete(m.tokens, v.caller.company)
	}
}

// makeRoom removes expired tokens or, if there are none, the oldest token of the company
// with the most, so that one company can't evict the others.
func (m *tokenCache) makeRoom(now time.Time) {
	most := ""
	for company, n := range m.tokens {
		if n > m.tokens[most] {
			most = company
		}
	}
	var oldest tokenKey
	var until time.Time
	for key, v := range m.good {
		if !now.Before(v.forget) {
			m.forgetGood(key)
		} else if v.caller.company == most && (until.IsZero() || v.until.Before(until)) {
			oldest, until = key, v.until
		}
	}
	if len(m.good) >= maxTokens {
		m.forgetGood(oldest)
	}
}
