// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/cacheindex"
)

// Index finds the CompanyActivation in force for a company in the manager's cache. It
// is asked several times for each event and is safe for concurrent use.
type Index struct {
	companies *cacheindex.Index[*v1alpha1.CompanyActivation]
}

// NewIndex begins to follow a cache, which need not be started yet.
func NewIndex(ctx context.Context, c cache.Cache) (*Index, error) {
	companies, err := cacheindex.New(ctx, c, &v1alpha1.CompanyActivation{}, func(a *v1alpha1.CompanyActivation) string { return a.Spec.Company }, nil)
	return &Index{companies}, err
}

// Find is the function Find, but what it returns is the cache's own and must not be
// changed. It waits until the cache has filled; there is no other error than that ctx
// ended before.
func (x *Index) Find(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error) {
	candidates, err := x.companies.Get(ctx, company)
	return inForce(candidates), err
}
