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
	config = rest.CopyConfig(config)
	config.QPS = -1 // a dozen calls for each namespace, one after the other
	reviews, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return namespaces.Set{}, fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	if watched.IsAll() {
		if denied := deniedIn(ctx, reviews, metav1.NamespaceAll); denied != "" {
			return namespaces.Set{}, fmt.Errorf("--watch-namespaces is %s, but the service account may not %s in all namespaces: install config/cluster-wide of this version, or name the namespaces", namespaces.AllNamespaces, denied)
		}
		return watched, nil
	}
	var permitted []string
	for _, namespace := range watched.Names() {
		switch denied := deniedIn(ctx, reviews, namespace); {
		case denied == "":
			permitted = append(permitted, namespace)
		case namespace == s.namespace:
			return namespaces.Set{}, fmt.Errorf("the service account may not %s in its own namespace %s: apply config/rbac of this version, or correct --namespace", denied, namespace)
		default:
			ctrl.Log.WithName("manager").Error(nil, "Ignoring a namespace of --watch-namespaces: the service account lacks permissions there. Apply config/components/watched-namespace of this version to it and restart the manager",
				"namespace", namespace, "denied", denied)
		}
	}
	return namespaces.Of(s.namespace, permitted...), nil
}

// deniedIn returns the first permission that the caches need and the operator lacks in a namespace,
// such as "watch secrets"; empty if it has all. They need no permission that the API server doesn't
// answer for: the caches retry until it does.
func deniedIn(ctx context.Context, reviews authorizationclient.SelfSubjectAccessReviewsGetter, namespace string) string {
	ctx, cancel := context.WithTimeout(ctx, rightsTimeout)
	defer cancel()
	resources := []authorizationv1.ResourceAttributes{{Resource: "secrets"}}
	for _, kind := range kinds {
		resources = append(resources, authorizationv1.ResourceAttributes{Group: v1alpha1.GroupVersion.Group, Resource: kind})
	}
	for _, resource := range resources {
		for _, verb := range []string{"list", "watch"} {
			resource.Namespace, resource.Verb = namespace, verb
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &resource}}
			answer, err := reviews.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err == nil && !answer.Status.Allowed {
				return verb + " " + resource.Resource
			}
		}
	}
	return ""
}
