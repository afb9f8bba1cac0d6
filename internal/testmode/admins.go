// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testmode

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// AdminsTTL is how long a company's admins are used before the platform is asked again.
	AdminsTTL = 10 * time.Minute
	// noAdminsTTL is the same for a company without any.
	noAdminsTTL = time.Minute
	// failureTTL is how long the platform isn't asked for a company's admins after a failure.
	failureTTL = 10 * time.Second
	// lookupTimeout is how long a lookup may take, waiting for its turn included.
	lookupTimeout = 5 * time.Second
	// maxCompanies is how many companies' admins are kept, about 25 kB each at most.
	maxCompanies = 1024
)

// Admins knows the admins of companies on Rehive. It reads those of a company when they are
// needed, with the company's token and within its share of calls. It is safe for concurrent use.
type Admins struct {
	platform *rehive.Client
	token    func(context.Context, *v1alpha1.CompanyActivation) (string, error)
	clock    clock.PassiveClock
	known    *lru.Cache[string, knownAdmins]
	lookups  singleflight.Group
}

// knownAdmins are the addresses of a company's admins, or why they could not be read.
type knownAdmins struct {
	addresses map[fingerprint]bool
	err       error
	until     time.Time
}

// fingerprint identifies a recipient of a channel: no memory dump shows addresses, and all of
// them take the same memory.
type fingerprint [16]byte

func fingerprintOf(channel v1alpha1.Channel, recipient string) fingerprint {
	sum := sha256.Sum256([]byte(string(channel) + " " + key(channel, recipient)))
	return fingerprint(sum[:16])
}

// NewAdmins returns Admins that read with the company's token, as token returns it. The clock is
// the real one if nil.
func NewAdmins(platform *rehive.Client, token func(context.Context, *v1alpha1.CompanyActivation) (string, error), c clock.PassiveClock) *Admins {
	if c == nil {
		c = clock.RealClock{}
	}
	known, _ := lru.New[string, knownAdmins](maxCompanies) // it fails for sizes below 1
	return &Admins{platform: platform, token: token, clock: c, known: known}
}

// include reports whether a recipient is the email address, the mobile number or the identifier
// of one of a company's admins.
func (a *Admins) include(ctx context.Context, company *v1alpha1.CompanyActivation, channel v1alpha1.Channel, recipient string) (bool, error) {
	known, ok := a.cached(company)
	if !ok {
		// Concurrent calls share one lookup, which none of them can cancel.
		result := a.lookups.DoChan(company.Spec.Company, func() (any, error) {
			return a.lookUp(context.WithoutCancel(ctx), company), nil
		})
		select {
		case found := <-result:
			known, _ = found.Val.(knownAdmins)
		case <-ctx.Done():
			return false, fmt.Errorf("reading the company's admins: %w", ctx.Err())
		}
	}
	if known.err != nil {
		return false, fmt.Errorf("reading the company's admins: %w", known.err)
	}
	return known.addresses[fingerprintOf(channel, recipient)], nil
}

// cached returns the result of a lookup that can still be used.
func (a *Admins) cached(company *v1alpha1.CompanyActivation) (knownAdmins, bool) {
	known, ok := a.known.Get(company.Spec.Company)
	return known, ok && a.clock.Now().Before(known.until)
}

// lookUp reads a company's admins and caches the result. A call that was held back is not
// cached: it cost nothing.
func (a *Admins) lookUp(ctx context.Context, company *v1alpha1.CompanyActivation) (known knownAdmins) {
	defer func() {
		// It has a goroutine of its own, where a panic would end the process.
		if p := recover(); p != nil {
			known = knownAdmins{err: fmt.Errorf("a bug: panic of type %T", p)}
		}
	}()
	if known, ok := a.cached(company); ok {
		return known // by the previous lookup
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	known.addresses, known.err = a.read(ctx, company)
	ttl := AdminsTTL
	switch {
	case rehive.IsHeldBack(known.err):
		return known
	case known.err != nil:
		ttl = failureTTL
	case len(known.addresses) == 0:
		ttl = noAdminsTTL
	}
	known.until = a.clock.Now().Add(ttl)
	a.known.Add(company.Spec.Company, known)
	return known
}

// read reads the addresses of a company's admins from the platform.
func (a *Admins) read(ctx context.Context, company *v1alpha1.CompanyActivation) (map[fingerprint]bool, error) {
	token, err := a.token(ctx, company)
	if err != nil {
		return nil, fmt.Errorf("reading the company's token: %w", err)
	}
	addresses := make(map[fingerprint]bool)
	for user, err := range a.platform.WithToken(token).Paced().Admins(ctx) {
		if err != nil {
			return nil, err
		}
		if user.Company != "" && user.Company != company.Spec.Company {
			continue // the token belongs to another company
		}
		for channel, address := range map[v1alpha1.Channel]string{
			v1alpha1.ChannelEmail: user.Email, v1alpha1.ChannelSMS: user.Mobile, v1alpha1.ChannelPush: user.ID,
		} {
			if kind, recipient := parse(address); kind == channel {
				addresses[fingerprintOf(channel, recipient)] = true
			}
		}
	}
	return addresses, nil
}
