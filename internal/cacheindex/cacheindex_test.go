// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cacheindex

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
)

// This test reports updates in the way of a cache; the tests of package activation use a
// real one.
func TestObjectsAreReplacedByName(t *testing.T) {
	g := NewWithT(t)
	var forgotten []types.UID
	synced := make(chan struct{})
	close(synced)
	x := &Index[*corev1.Secret]{
		key: func(s *corev1.Secret) string { return s.Labels["key"] }, synced: synced,
		byKey: map[string][]*corev1.Secret{}, known: map[types.NamespacedName]*corev1.Secret{},
		forget: func(s *corev1.Secret) { forgotten = append(forgotten, s.UID) },
	}
	secret := func(name, uid, key string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(uid), Labels: map[string]string{"key": key}}}
	}
	first, other := secret("a", "1", "x"), secret("b", "2", "x")
	x.put(first)
	x.put(other)
	before, err := x.Get(t.Context(), "x")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(before).To(ConsistOf(first, other))

	// Its key changes.
	moved := secret("a", "1", "y")
	x.put(moved)
	g.Expect(x.Get(t.Context(), "x")).To(ConsistOf(other))
	g.Expect(x.Get(t.Context(), "y")).To(ConsistOf(moved))
	g.Expect(before).To(ConsistOf(first, other), "what was returned does not change")
	g.Expect(forgotten).To(BeEmpty())

	// It was deleted and created again while the watch was interrupted.
	anew := secret("a", "3", "y")
	x.put(anew)
	g.Expect(x.Get(t.Context(), "y")).To(ConsistOf(anew))
	g.Expect(forgotten).To(ConsistOf(types.UID("1")))

	x.remove(toolscache.DeletedFinalStateUnknown{Key: "n/a", Obj: anew})
	g.Expect(x.Get(t.Context(), "y")).To(BeEmpty())
	g.Expect(forgotten).To(ConsistOf(types.UID("1"), types.UID("3")))
	g.Expect(x.byKey).To(HaveLen(1))
}
