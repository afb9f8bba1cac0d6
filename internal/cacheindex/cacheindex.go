// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cacheindex looks objects of the manager's cache up by a key, for who asks
// for each event and each message. A List of the cache with a field selector gives the
// same objects for some ten times the price: it finds out the kind by reflection and
// copies every object into the list.
package cacheindex

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Index is a cache's objects of one kind by a key that each has. It follows the cache
// within moments and is safe for concurrent use.
type Index[T client.Object] struct {
	key    func(T) string
	synced <-chan struct{}

	mu     sync.RWMutex
	byKey  map[string][]T // the slices are never changed
	keys   map[types.UID]string
	forget func(T)
}

// New begins to index the objects of the kind of object, which need not be started
// yet, by key. Objects that are being deleted are indexed until they are gone; forget,
// if not nil, is told then.
func New[T client.Object](ctx context.Context, c cache.Cache, object T, key func(T) string, forget func(T)) (*Index[T], error) {
	x := &Index[T]{key: key, byKey: make(map[string][]T), keys: make(map[types.UID]string), forget: forget}
	informer, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching %T: %w", object, err)
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(added any) { x.put(added.(T)) },
		UpdateFunc: func(_, updated any) { x.put(updated.(T)) },
		DeleteFunc: x.remove,
	})
	if err != nil {
		return nil, fmt.Errorf("watching %T: %w", object, err)
	}
	x.synced = registration.HasSyncedChecker().Done()
	return x, nil
}

// Get returns the objects with a key, in no particular order. They are the cache's
// own: neither they nor the slice may be changed. It waits until the cache has filled,
// and returns an error only if ctx ends before.
func (x *Index[T]) Get(ctx context.Context, key string) ([]T, error) {
	select {
	case <-x.synced:
	default:
		select {
		case <-x.synced:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the cache to fill: %w", ctx.Err())
		}
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byKey[key], nil
}

func (x *Index[T]) put(object T) {
	uid, key := object.GetUID(), x.key(object)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(uid)
	x.keys[uid] = key
	x.byKey[key] = append(slices.Clip(x.byKey[key]), object)
}

func (x *Index[T]) remove(deleted any) {
	if tombstone, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
		deleted = tombstone.Obj
	}
	object, ok := deleted.(T)
	if !ok {
		return
	}
	x.mu.Lock()
	x.drop(object.GetUID())
	x.mu.Unlock()
	if x.forget != nil {
		x.forget(object)
	}
}

// drop forgets an object under the key that it had last.
func (x *Index[T]) drop(uid types.UID) {
	key, known := x.keys[uid]
	if !known {
		return
	}
	delete(x.keys, uid)
	others := make([]T, 0, len(x.byKey[key]))
	for _, other := range x.byKey[key] {
		if other.GetUID() != uid {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		delete(x.byKey, key)
		return
	}
	x.byKey[key] = others
}
