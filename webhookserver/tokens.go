// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// tokenTime is how long it is remembered whose a token is: as long a token that
	// was revoked may still be used here.
	tokenTime = 30 * time.Second
	// goodTime is how long it is remembered that a token was good, so that asking again
	// doesn't wait behind strangers.
	goodTime = time.Hour
	// refusalTime is how long it is remembered that a token was refused.
	refusalTime = 3 * time.Second
	// maxTokens is how many tokens are remembered at once, maxRefusals how many refusals.
	maxTokens, maxRefusals = 8192, 4096
)

type tokenKey [sha256.Size]byte

// tokenVerdict is what the platform said of a token.
type tokenVerdict struct {
	caller  caller
	refusal *rest.Error // nil if it was not refused
	until   time.Time   // when the platform must be asked again
	forget  time.Time   // when even the company is forgotten
}

// answer returns the caller, a copy, or the refusal.
func (v tokenVerdict) answer() (*caller, error) {
	if v.refusal != nil {
		return nil, v.refusal
	}
	return &v.caller, nil
}

// tokenMemory remembers what the platform said, refusals apart from the rest: however
// many tokens somebody makes up, the good ones are remembered. Its zero value is ready.
type tokenMemory struct {
	mu     sync.Mutex
	good   map[tokenKey]tokenVerdict
	wrong  map[tokenKey]tokenVerdict
	tokens map[string]int // good ones by company
}

// get returns what is known of a token. If it was good but must be asked about again,
// ok is false, and company is whose it was.
func (m *tokenMemory) get(key tokenKey, now time.Time) (v tokenVerdict, company string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.wrong[key]; ok && now.Before(v.until) {
		return v, "", true
	}
	if v, ok := m.good[key]; ok && now.Before(v.forget) {
		return v, v.caller.company, now.Before(v.until)
	}
	return tokenVerdict{}, "", false
}

// put remembers a verdict that was given now.
func (m *tokenMemory) put(key tokenKey, v tokenVerdict, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.good == nil {
		m.good, m.wrong, m.tokens = make(map[tokenKey]tokenVerdict), make(map[tokenKey]tokenVerdict), make(map[string]int)
	}
	m.forgetGood(key)
	delete(m.wrong, key)
	if v.refusal != nil {
		v.until = now.Add(refusalTime)
		if len(m.wrong) >= maxRefusals {
			forgetOne(m.wrong, now)
		}
		m.wrong[key] = v
		return
	}
	v.until, v.forget = now.Add(tokenTime), now.Add(goodTime)
	if len(m.good) >= maxTokens {
		m.makeRoom(now)
	}
	m.good[key] = v
	m.tokens[v.caller.company]++
}

func (m *tokenMemory) forgetGood(key tokenKey) {
	v, ok := m.good[key]
	if !ok {
		return
	}
	delete(m.good, key)
	if m.tokens[v.caller.company]--; m.tokens[v.caller.company] == 0 {
		delete(m.tokens, v.caller.company)
	}
}

// makeRoom forgets what is over, and otherwise the oldest of the company with the most
// tokens, so that one company can't push out the others'.
func (m *tokenMemory) makeRoom(now time.Time) {
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

// forgetOne makes room in refusals: what is over goes, and otherwise any.
func forgetOne(m map[tokenKey]tokenVerdict, now time.Time) {
	for key, v := range m {
		if !now.Before(v.until) {
			delete(m, key)
		}
	}
	for key := range m {
		if len(m) < maxRefusals {
			return
		}
		delete(m, key)
	}
}
