// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 has the kinds of the API group extensions.rehive.com. Platform teams
// write them as YAML, and the admin API reads and writes the same objects for people who
// do not use Kubernetes.
//
// The package imports only the Kubernetes API machinery, so that other programs can
// depend on it.
//
// +kubebuilder:object:generate=true
// +groupName=extensions.rehive.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the group and version of the kinds in this package.
	GroupVersion = schema.GroupVersion{Group: "extensions.rehive.com", Version: "v1alpha1"}

	// SchemeBuilder collects the functions that add the kinds to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&CompanyActivation{}, &CompanyActivationList{},
		&DeliveryProvider{}, &DeliveryProviderList{},
		&NotificationLayout{}, &NotificationLayoutList{},
		&NotificationRule{}, &NotificationRuleList{},
		&NotificationTemplate{}, &NotificationTemplateList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
