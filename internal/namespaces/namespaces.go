// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package namespaces determines which namespaces the operator watches. The operator neither
// reads nor writes anything in other namespaces, and needs no permissions there.
package namespaces

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// AllNamespaces stands for every namespace of the cluster in the list that Parse takes.
const AllNamespaces = "*"

// Set is a set of namespaces: some by name, or all of the cluster. It is immutable and
// safe for concurrent use.
type Set struct {
	all   bool
	names []string // sorted and unique
}

// All is the set of every namespace.
func All() Set { return Set{all: true} }

// Of is the set of the named namespaces, at least one.
func Of(namespace string, others ...string) Set {
	names := append([]string{namespace}, others...)
	slices.Sort(names)
	return Set{names: slices.Compact(names)}
}

// Parse returns the set of the operator's own namespace and those in a comma-separated
// list, which may be empty. The list AllNamespaces gives All.
func Parse(own, list string) (Set, error) {
	var others []string
	all := false
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		switch {
		case part == "":
		case part == AllNamespaces:
			all = true
		case len(validation.IsDNS1123Label(part)) > 0:
			return Set{}, fmt.Errorf("%q is not a valid namespace name", part)
		default:
			others = append(others, part)
		}
	}
	if all && len(others) > 0 {
		return Set{}, fmt.Errorf("%q already includes every namespace: name no others beside it", AllNamespaces)
	}
	if all {
		return All(), nil
	}
	return Of(own, others...), nil
}

// IsAll reports whether the set is every namespace.
func (s Set) IsAll() bool { return s.all }

// Has reports whether the namespace is in the set.
func (s Set) Has(namespace string) bool {
	if s.IsAll() {
		return true
	}
	_, found := slices.BinarySearch(s.names, namespace)
	return found
}

// Names returns the namespaces in alphabetical order, nil for All.
func (s Set) Names() []string { return slices.Clone(s.names) }

// String returns the set as a list that Parse takes.
func (s Set) String() string {
	if s.IsAll() {
		return AllNamespaces
	}
	return strings.Join(s.names, ",")
}

// CacheNamespaces is the value of cache.Options.DefaultNamespaces that restricts a
// cache to the set.
func (s Set) CacheNamespaces() map[string]cache.Config {
	if s.IsAll() {
		return nil
	}
	configs := make(map[string]cache.Config, len(s.names))
	for _, namespace := range s.names {
		configs[namespace] = cache.Config{}
	}
	return configs
}

// Reader returns a reader that lists across the set where r would list across the cluster,
// which a service account with permissions in some namespaces may not do. Such a list is
// one call for each namespace, so it is not a snapshot of one moment, and it supports
// neither a limit nor paging.
func (s Set) Reader(r client.Reader) client.Reader {
	if s.IsAll() {
		return r
	}
	return reader{r, s}
}

type reader struct {
	client.Reader
	set Set
}

func (r reader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var options client.ListOptions
	options.ApplyOptions(opts)
	if options.Namespace != metav1.NamespaceAll {
		return r.Reader.List(ctx, list, opts...)
	}
	var items []runtime.Object
	for _, namespace := range r.set.names {
		part := list.DeepCopyObject().(client.ObjectList)
		if err := r.Reader.List(ctx, part, append(slices.Clip(opts), client.InNamespace(namespace))...); err != nil {
			return fmt.Errorf("listing in namespace %s: %w", namespace, err)
		}
		found, err := meta.ExtractList(part)
		if err != nil {
			return fmt.Errorf("listing in namespace %s: %w", namespace, err)
		}
		items = append(items, found...)
	}
	if err := meta.SetList(list, items); err != nil {
		return fmt.Errorf("joining the lists of %d namespaces: %w", len(r.set.names), err)
	}
	return nil
}
