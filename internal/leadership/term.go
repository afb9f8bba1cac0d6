// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package leadership

import (
	"context"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Term is the manager with which the controllers of one term are set up. Runnables that are
// added to it run during the term only, as do event handlers that are added to its caches.
type Term struct {
	manager.Manager
	parts []manager.Runnable

	mu       sync.Mutex
	handlers []func() // each removes one
	ended    bool
}

// Add implements manager.Manager.
func (t *Term) Add(part manager.Runnable) error {
	t.parts = append(t.parts, part)
	return nil
}

// GetCache implements manager.Manager.
func (t *Term) GetCache() cache.Cache { return t.Cache(t.Manager.GetCache()) }

// GetControllerOptions implements manager.Manager. Each term has controllers of the
// same names.
func (t *Term) GetControllerOptions() config.Controller {
	options := t.Manager.GetControllerOptions()
	options.SkipNameValidation = ptr.To(true)
	return options
}

// Cache returns a view of a cache that outlives the term: handlers that are added to its
// informers are removed when the term ends.
func (t *Term) Cache(c cache.Cache) cache.Cache { return termCache{c, t} }

// end removes the event handlers.
func (t *Term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for _, remove := range t.handlers {
		remove()
	}
	t.handlers = nil
}

type termCache struct {
	cache.Cache
	term *Term
}

// GetInformer implements cache.Informers.
func (c termCache) GetInformer(ctx context.Context, o client.Object, options ...cache.InformerGetOption) (cache.Informer, error) {
	informer, err := c.Cache.GetInformer(ctx, o, options...)
	if err != nil {
		return nil, err
	}
	return termInformer{informer, c.term}, nil
}

type termInformer struct {
	cache.Informer
	term *Term
}

// AddEventHandler implements cache.Informer.
func (i termInformer) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.keep(i.Informer.AddEventHandler(handler))
}

// AddEventHandlerWithResyncPeriod implements cache.Informer.
func (i termInformer) AddEventHandlerWithResyncPeriod(handler toolscache.ResourceEventHandler, period time.Duration) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.keep(i.Informer.AddEventHandlerWithResyncPeriod(handler, period))
}

// AddEventHandlerWithOptions implements cache.Informer.
func (i termInformer) AddEventHandlerWithOptions(handler toolscache.ResourceEventHandler, o toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.keep(i.Informer.AddEventHandlerWithOptions(handler, o))
}

func (i termInformer) keep(registration toolscache.ResourceEventHandlerRegistration, err error) (toolscache.ResourceEventHandlerRegistration, error) {
	if err != nil {
		return nil, err
	}
	remove := func() { _ = i.RemoveEventHandler(registration) } // fails for a stopped informer only
	i.term.mu.Lock()
	defer i.term.mu.Unlock()
	if i.term.ended {
		remove()
		return registration, nil
	}
	i.term.handlers = append(i.term.handlers, remove)
	return registration, nil
}
