// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// DeadFor is how long a token counts as dead, so that one wrong answer doesn't silence
// anybody forever.
const DeadFor = 30 * 24 * time.Hour

// DeadTokens stores which push tokens Expo reported dead, because Apple and Google
// distrust a sender that uses them again. It knows tokens by their hashes, so that nobody
// who reads it can use them. It is safe for concurrent use, and providers share it.
type DeadTokens interface {
	// MarkDead stores that a token of a user is dead, for [DeadFor].
	MarkDead(ctx context.Context, company, user, hash string) error
	// Dead returns the hashes of a user's dead tokens.
	Dead(ctx context.Context, company, user string) (hashes []string, err error)
	// Forget removes dead tokens of a user.
	Forget(ctx context.Context, company, user string, hashes []string) error
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:16])
}

// alive returns the tokens that are listed for a user and aren't dead. Dead tokens that are
// no longer listed are forgotten: if one is listed again, it was registered again.
func (p *Provider) alive(ctx context.Context, company, user string, listed []string) ([]string, error) {
	if p.config.Dead == nil {
		return listed, nil
	}
	dead, err := p.config.Dead.Dead(ctx, company, user)
	if err != nil || len(dead) == 0 {
		return listed, err
	}
	isListed := make(map[string]bool, len(dead))
	for _, hash := range dead {
		isListed[hash] = false
	}
	alive := slices.DeleteFunc(slices.Clone(listed), func(token string) bool {
		hash := hashToken(token)
		_, isDead := isListed[hash]
		if isDead {
			isListed[hash] = true
		}
		return isDead
	})
	if stale := slices.DeleteFunc(slices.Clone(dead), func(hash string) bool { return isListed[hash] }); len(stale) > 0 {
		// If it fails, the next message tries again.
		_ = p.config.Dead.Forget(ctx, company, user, stale)
	}
	return alive, nil
}

// markDead stores that a token is dead. If that fails, Expo reports it again.
func (p *Provider) markDead(ctx context.Context, company, user, token string) {
	if token == "" {
		return
	}
	if p.config.Dead != nil {
		_ = p.config.Dead.MarkDead(context.WithoutCancel(ctx), company, user, hashToken(token))
	}
	if p.config.Feedback != nil {
		p.config.Feedback.DeadToken(ctx, company, user, token)
	}
}
