// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/namespaces"
)

// rightsTimeout limits the check of whether the operator may work in a namespace.
const rightsTimeout = 10 * time.Second

// permittedNamespaces returns the namespaces of --watch-namespaces in which the operator
// has its role. A cache that may not list one of its namespaces never fills, so one
// namespace with a missing or deleted RoleBinding would keep the operator from starting
// for all others. Such a namespace is left out, with an error in the log. Without
// permissions in its own namespace, the operator cannot work at all.
func permittedNamespaces(ctx context.Context, config *rest.Config, s *settings) (namespaces.Set, error) {
	watched, err := s.watched()
	if err != nil {
		return namespaces.Set{}, err
	}
	reviews, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return namespaces.Set{}, fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	if watched.IsAll() {
		if !mayWork(ctx, reviews, metav1.NamespaceAll) {
			return namespaces.Set{}, fmt.Errorf("--watch-namespaces is %s, but the service account may not list Secrets and CompanyActivations in all namespaces: install config/cluster-wide, or name the namespaces", namespaces.AllNamespaces)
		}
		return watched, nil
	}
	var permitted []string
	for _, namespace := range watched.Names() {
		switch {
		case mayWork(ctx, reviews, namespace):
			permitted = append(permitted, namespace)
		case namespace == s.namespace:
			return namespaces.Set{}, fmt.Errorf("the service account may not list Secrets and CompanyActivations in its own namespace %s: apply config/rbac, or correct --namespace", namespace)
		default:
			ctrl.Log.WithName("manager").Error(nil, "Ignoring a namespace of --watch-namespaces: the service account may not list Secrets and CompanyActivations there. Apply config/components/watched-namespace to it and restart the manager", "namespace", namespace)
		}
	}
	return namespaces.Of(s.namespace, permitted...), nil
}

// mayWork reports whether the operator may list its resources in a namespace. It returns
// true if the API server does not answer: the caches retry until it does.
func mayWork(ctx context.Context, reviews authorizationclient.SelfSubjectAccessReviewsGetter, namespace string) bool {
	ctx, cancel := context.WithTimeout(ctx, rightsTimeout)
	defer cancel()
	for _, resource := range []authorizationv1.ResourceAttributes{
		{Namespace: namespace, Verb: "list", Resource: "secrets"},
		{Namespace: namespace, Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "companyactivations"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &resource}}
		answer, err := reviews.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && !answer.Status.Allowed {
			return false
		}
	}
	return true
}
