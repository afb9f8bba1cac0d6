// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leadership runs what only one replica may run, the reconcilers above all,
// while that replica holds the leader election lease. Unlike the manager's own leader
// election, losing the lease ends those parts and not the process: a replica that can't
// reach the API server continues to accept and deliver from its caches, and competes for
// the lease again when the API server is back.
package leadership

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// The durations of the lease are those that controller-runtime defaults to.
const (
	leaseDuration = 15 * time.Second
	retryPeriod   = 2 * time.Second

	// RenewDeadline is how long a leader that can't renew its lease remains leader. The
	// lock's requests must time out earlier.
	RenewDeadline = 10 * time.Second
)

// Options configure a Campaign.
type Options struct {
	// Manager lends its client, caches and recorders to every term.
	Manager manager.Manager
	// Lock is the lease to hold. Without one, this replica always leads.
	Lock resourcelock.Interface
	// Name is the name of the lease in metrics.
	Name string
	// Setup adds to a term what runs during it. It is called for each term, and an
	// error ends the process.
	Setup func(*Term) error
	// Log receives the beginning and the end of each term.
	Log logr.Logger
}

// Campaign is a Runnable of the manager. It leads one term after the other.
type Campaign struct {
	o     Options
	pause time.Duration // between two terms
}

// New returns a Campaign.
func New(o Options) *Campaign { return &Campaign{o: o, pause: retryPeriod} }

// Start leads terms until ctx is done and the last one has ended.
func (c *Campaign) Start(ctx context.Context) error {
	for {
		err := c.campaign(ctx)
		if ctx.Err() != nil || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait.Jitter(c.pause, 0.2)):
		}
	}
}

// campaign waits for the lease and leads one term.
func (c *Campaign) campaign(ctx context.Context) error {
	if c.o.Lock == nil {
		return c.lead(ctx)
	}
	// The lease outlives ctx: it is released when the term has ended, not before.
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var (
		mu      sync.Mutex
		leading bool
		term    sync.WaitGroup
		failure error
	)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            c.o.Lock,
		Name:            c.o.Name,
		LeaseDuration:   leaseDuration,
		RenewDeadline:   RenewDeadline,
		RetryPeriod:     retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				mu.Lock()
				if held.Err() != nil {
					mu.Unlock()
					return // the lease is lost already, and nobody waits for this term
				}
				leading = true
				term.Add(1)
				mu.Unlock()
				defer term.Done()
				defer release()
				held, cancel := context.WithCancel(held)
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				failure = c.lead(held)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the leader election: %w", err)
	}
	defer context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !leading {
			release()
		}
	})()
	elector.Run(holding)
	mu.Lock()
	defer mu.Unlock()
	term.Wait()
	return failure
}

// lead runs one term until ctx is done or a part of it fails.
func (c *Campaign) lead(ctx context.Context) error {
	term := &Term{Manager: c.o.Manager}
	defer term.end()
	if err := c.o.Setup(term); err != nil {
		return err
	}
	if c.o.Lock != nil {
		c.o.Log.Info("Holding the lease: the reconcilers run here")
	}
	parts, running := errgroup.WithContext(ctx)
	for _, part := range term.parts {
		parts.Go(func() error { return part.Start(running) })
	}
	// A cache that can't be filled in time, for example: the next term tries again.
	if err := parts.Wait(); err != nil && ctx.Err() == nil {
		c.o.Log.Error(err, "The reconcilers stopped and are started again", "after", c.pause)
		return nil
	}
	if c.o.Lock != nil {
		c.o.Log.Info("Gave up the lease: the reconcilers have stopped, everything else continues")
	}
	return nil
}
