// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"
	"crypto/sha256"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/cacheindex"
)

// Index finds the CompanyActivation in force for a company, and its credentials, in the
// manager's cache. It is used several times for each event and is safe for concurrent
// use.
type Index struct {
	companies *cacheindex.Index[*v1alpha1.CompanyActivation]
	secrets   *cacheindex.Index[*corev1.Secret] // by namespace and name
	hashes    *cacheindex.Index[*corev1.Secret] // by the hash of the webhook secret
}

// NewIndex follows a cache, which need not be started yet. Activations in namespaces that
// may not hold their company are ignored.
func NewIndex(ctx context.Context, c cache.Cache, namespaces Namespaces) (*Index, error) {
	companies, err := cacheindex.New(ctx, c, &v1alpha1.CompanyActivation{}, func(a *v1alpha1.CompanyActivation) string {
		if !namespaces.Allows(a.Namespace, a.Spec.Company) {
			return "" // is not a valid company
		}
		return a.Spec.Company
	}, nil)
	if err != nil {
		return nil, err
	}
	secrets, err := cacheindex.New(ctx, c, &corev1.Secret{}, func(s *corev1.Secret) string { return s.Namespace + "/" + s.Name }, nil)
	if err != nil {
		return nil, err
	}
	hashes, err := cacheindex.New(ctx, c, &corev1.Secret{}, func(s *corev1.Secret) string {
		secret := valueIn(s, v1alpha1.SecretKeyWebhookSecret)
		if secret == "" {
			return ""
		}
		return hashOf(secret)
	}, nil)
	return &Index{companies, secrets, hashes}, err
}

// FindSecret returns the name of the activation that a webhook secret belongs to, active or
// not; the zero value if there is none. It is a cheap check to refuse unknown callers. Like
// Find, it waits for the cache.
func (x *Index) FindSecret(ctx context.Context, secret string) (types.NamespacedName, error) {
	if secret == "" {
		return types.NamespacedName{}, nil
	}
	// The time of looking up a hash doesn't reveal parts of the secret.
	found, err := x.hashes.Get(ctx, hashOf(secret))
	if len(found) == 0 {
		return types.NamespacedName{}, err
	}
	return types.NamespacedName{Namespace: found[0].Namespace, Name: found[0].Labels[ActivationLabel]}, nil
}

func hashOf(secret string) string {
	hash := sha256.Sum256([]byte(secret))
	return string(hash[:])
}

// Find returns the same as [Namespaces.Find], but the object is owned by the cache and
// must not be modified. Find waits until the cache has filled and returns an error only
// if ctx ends earlier.
func (x *Index) Find(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error) {
	if company == "" {
		return nil, nil //nolint:nilnil // as documented: there is none
	}
	candidates, err := x.companies.Get(ctx, company)
	return inForce(oldest(candidates)), err
}

// Credentials returns the same as [Get], but waits for the cache like Find. A Secret that
// belongs to something else is ignored: the error is ErrMissing. Save works on a copy.
func (x *Index) Credentials(ctx context.Context, a *v1alpha1.CompanyActivation) (Credentials, error) {
	found, err := x.secrets.Get(ctx, a.Namespace+"/"+SecretName(a))
	if err != nil {
		return Credentials{}, err
	}
	if len(found) == 0 || checkOwner(found[0], a) != nil {
		return Credentials{}, ErrMissing
	}
	return credentialsIn(found[0], a)
}
