// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package leadership

import (
	"context"
	"errors"
	"testing"

	"github.com/go-logr/logr"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// TestNextTerm ends a term by a part that fails. Everything else of the term stops, and
// a new term begins with parts of its own.
func TestNextTerm(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	terms, stopped := 0, 0
	campaign := New(Options{Log: logr.Discard(), Setup: func(term *Term) error {
		terms++
		failing := terms == 1
		return errors.Join(
			term.Add(manager.RunnableFunc(func(ctx context.Context) error {
				if failing {
					return errors.New("the cache did not fill")
				}
				cancel()
				<-ctx.Done()
				return nil
			})),
			term.Add(manager.RunnableFunc(func(ctx context.Context) error {
				<-ctx.Done()
				stopped++
				return nil
			})),
		)
	}})
	campaign.pause = 1
	if err := campaign.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if terms != 2 || stopped != 2 {
		t.Errorf("%d terms began and %d ended, want 2 of each", terms, stopped)
	}
}

func TestSetupFails(t *testing.T) {
	wrong := errors.New("no such kind")
	campaign := New(Options{Log: logr.Discard(), Setup: func(*Term) error { return wrong }})
	if err := campaign.Start(t.Context()); !errors.Is(err, wrong) {
		t.Errorf("Start returned %v", err)
	}
}

// TestHandlersEnd adds event handlers to an informer that outlives the term, during the
// term and, as a slow source may, after it.
func TestHandlersEnd(t *testing.T) {
	informer := &countingInformer{handlers: make(map[*registration]bool)}
	term := new(Term)
	view := termInformer{informer, term}
	for range 2 {
		if _, err := view.AddEventHandler(toolscache.ResourceEventHandlerFuncs{}); err != nil {
			t.Fatal(err)
		}
		if _, err := view.AddEventHandlerWithOptions(toolscache.ResourceEventHandlerFuncs{}, toolscache.HandlerOptions{}); err != nil {
			t.Fatal(err)
		}
		term.end()
		if len(informer.handlers) > 0 {
			t.Errorf("%d handlers are left", len(informer.handlers))
		}
	}
}

type registration struct {
	toolscache.ResourceEventHandlerRegistration
}

type countingInformer struct {
	cache.Informer
	handlers map[*registration]bool
}

func (i *countingInformer) add() (toolscache.ResourceEventHandlerRegistration, error) {
	r := new(registration)
	i.handlers[r] = true
	return r, nil
}

func (i *countingInformer) AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.add()
}

func (i *countingInformer) AddEventHandlerWithOptions(toolscache.ResourceEventHandler, toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.add()
}

func (i *countingInformer) RemoveEventHandler(r toolscache.ResourceEventHandlerRegistration) error {
	delete(i.handlers, r.(*registration))
	return nil
}
