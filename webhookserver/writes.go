// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// writeBytes is how many bytes per second one company may write to the API server, and
	// writeBurst how many at once after a pause. etcd keeps overwritten revisions for
	// minutes, and stops the whole cluster when it is full.
	writeBytes, writeBurst = 128 << 10, 8 << 20
	// writeCost is added to each call that writes, for its round trips.
	writeCost = 16 << 10
	// keptWriters is how many companies are tracked before those that have not written for
	// a while are dropped.
	keptWriters = 256
)

// writes limits what companies write to the API server. The zero value is ready to use.
type writes struct {
	mu        sync.Mutex
	companies map[string]*rate.Limiter
}

// admit counts bytes that a company is about to write. It returns a 429 if they exceed the
// limit for now.
func (w *writes) admit(company string, bytes int) error {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	limiter := w.companies[company]
	if limiter == nil {
		if len(w.companies) >= keptWriters {
			for other, l := range w.companies {
				if l.TokensAt(now) >= writeBurst {
					delete(w.companies, other)
				}
			}
		}
		if w.companies == nil {
			w.companies = make(map[string]*rate.Limiter)
		}
		limiter = rate.NewLimiter(writeBytes, writeBurst)
		w.companies[company] = limiter
	}
	bytes = min(bytes, writeBurst)
	if limiter.AllowN(now, bytes) {
		return nil
	}
	missing := float64(bytes) - limiter.TokensAt(now)
	return &rest.Error{
		Status: http.StatusTooManyRequests, Message: "Request was throttled.",
		RetryAfter: time.Duration(math.Ceil(missing/writeBytes)) * time.Second,
	}
}
