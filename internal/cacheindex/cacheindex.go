// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cacheindex looks up objects of the manager's cache by key, for code that does
// so for each event and each message. A List with a field selector costs about ten times
// as much: it determines the kind by reflection and copies every object into the list.
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

// Index maps keys to the objects of one kind in a cache, each of which has one key. It
// follows the cache with a short delay and is safe for concurrent use.
type Index[T client.Object] struct {
	key    func(T) string
	synced <-chan struct{}

	mu     sync.RWMutex
	byKey  map[string][]T // the slices are never modified
	known  map[types.NamespacedName]T
	forget func(T)
}

// New indexes the objects of the kind of object by key. The cache need not be started yet.
// Objects that are being deleted stay indexed until they are removed; forget, if not nil,
// is then called.
func New[T client.Object](ctx context.Context, c cache.Cache, object T, key func(T) string, forget func(T)) (*Index[T], error) {
	x := &Index[T]{key: key, byKey: make(map[string][]T), known: make(map[types.NamespacedName]T), forget: forget}
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

// Get returns the objects with a key, in no particular order. The objects and the slice
// are owned by the index and must not be modified. Get waits until the cache has filled,
// and returns an error only if ctx ends earlier.
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

// put indexes an object, replacing that of the same name. It may be a different object:
// if one was deleted and created again while the watch was interrupted, the cache reports
// an update.
func (x *Index[T]) put(object T) {
	name, key := client.ObjectKeyFromObject(object), x.key(object)
	x.mu.Lock()
	before, replaced := x.drop(name)
	x.known[name] = object
	x.byKey[key] = append(slices.Clip(x.byKey[key]), object)
	x.mu.Unlock()
	if replaced && before.GetUID() != object.GetUID() && x.forget != nil {
		x.forget(before)
	}
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
	x.drop(client.ObjectKeyFromObject(object))
	x.mu.Unlock()
	if x.forget != nil {
		x.forget(object)
	}
}

// drop removes the object of a name and returns it.
func (x *Index[T]) drop(name types.NamespacedName) (before T, found bool) {
	before, found = x.known[name]
	if !found {
		return before, false
	}
	delete(x.known, name)
	key := x.key(before)
	others := make([]T, 0, len(x.byKey[key]))
	for _, other := range x.byKey[key] {
		if client.ObjectKeyFromObject(other) != name {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		delete(x.byKey, key)
	} else {
		x.byKey[key] = others
	}
	return before, true
}
