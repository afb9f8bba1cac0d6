// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expo

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

const (
	// deadFor is how long a token counts as dead, so that one wrong answer doesn't
	// silence anybody forever.
	deadFor = 30 * 24 * time.Hour
	// maxDeadUsers bounds the users of a company with dead tokens, and maxDeadCompanies
	// the companies: about 30 MB in the worst case.
	maxDeadUsers     = 2_000
	maxDeadCompanies = 100
	// maxDeadOfUser bounds the dead tokens of one user.
	maxDeadOfUser = 32
)

// DeadTokens remembers which push tokens Expo reported dead, because Apple and Google
// distrust a sender that uses them again. A token counts as dead until Rehive stops
// listing it for the user, or for 30 days. The memory is bounded and lost when the
// operator stops: each token is then tried once more. It is safe for concurrent use.
type DeadTokens struct {
	mu        sync.Mutex
	companies map[string]map[string][]deadToken // by company and user
}

// deadToken identifies a token by its hash, so that no memory dump shows it.
type deadToken struct {
	hash  [16]byte
	until time.Time
}

// NewDeadTokens returns an empty memory.
func NewDeadTokens() *DeadTokens {
	return &DeadTokens{companies: map[string]map[string][]deadToken{}}
}

func hashToken(token string) [16]byte {
	sum := sha256.Sum256([]byte(token))
	return [16]byte(sum[:16])
}

// add records a dead token. One company's answers concern its own users only.
func (d *DeadTokens) add(now time.Time, company, user, token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	users := d.companies[company]
	if users == nil {
		makeRoom(d.companies, maxDeadCompanies)
		users = map[string][]deadToken{}
		d.companies[company] = users
	}
	if users[user] == nil {
		makeRoom(users, maxDeadUsers)
	}
	hash := hashToken(token)
	tokens := slices.DeleteFunc(users[user], func(t deadToken) bool { return t.hash == hash || now.After(t.until) })
	if len(tokens) >= maxDeadOfUser {
		tokens = slices.Delete(tokens, 0, 1)
	}
	users[user] = append(tokens, deadToken{hash: hash, until: now.Add(deadFor)})
}

// makeRoom drops arbitrary entries until there is room for one more.
func makeRoom[V any](m map[string]V, limit int) {
	for key := range m {
		if len(m) < limit {
			return
		}
		delete(m, key)
	}
}

// alive returns those of a user's listed tokens that aren't dead. It drops dead tokens
// that are no longer listed: if one is listed again, it was registered anew.
func (d *DeadTokens) alive(now time.Time, company, user string, listed []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.companies[company][user]
	if known == nil {
		return listed
	}
	var dead []deadToken
	alive := slices.DeleteFunc(slices.Clone(listed), func(token string) bool {
		hash := hashToken(token)
		for _, t := range known {
			if t.hash == hash && !now.After(t.until) {
				dead = append(dead, t)
				return true
			}
		}
		return false
	})
	if dead == nil {
		delete(d.companies[company], user)
	} else {
		d.companies[company][user] = dead
	}
	return alive
}
