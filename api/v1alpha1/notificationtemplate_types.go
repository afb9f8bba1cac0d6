// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NotificationTemplateSpec defines the initial values of rules created from a template.
type NotificationTemplateSpec struct {
	// default says whether each company receives a rule created from the template when it
	// activates the extension. It receives the rule once: a rule that an admin deletes is
	// not created again.
	// +optional
	Default bool `json:"default,omitempty"`

	// deletable says whether admins may delete rules created from the template.
	// +optional
	// +kubebuilder:default=true
	Deletable *bool `json:"deletable,omitempty"`

	NotificationSpec `json:",inline"`
}

// NotificationTemplate is a preset that NotificationRules are created from. Those in the
// operator's namespace are offered to every company.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:resource:shortName=ntemplate,categories=rehive
// +kubebuilder:printcolumn:name="Event",type=string,JSONPath=`.spec.event`
// +kubebuilder:printcolumn:name="Default",type=boolean,JSONPath=`.spec.default`
// +kubebuilder:printcolumn:name="Display Name",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NotificationTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec defines the initial values of rules created from the template.
	// +required
	Spec NotificationTemplateSpec `json:"spec"`
}

// IsDeletable reports whether admins may delete rules created from the template.
func (t *NotificationTemplate) IsDeletable() bool {
	return t.Spec.Deletable == nil || *t.Spec.Deletable
}

// RuleSpec returns the spec of a rule created from the template for a company, given the
// name of its CompanyActivation.
func (t *NotificationTemplate) RuleSpec(activation string) NotificationRuleSpec {
	spec := NotificationRuleSpec{
		CompanyRef:       CompanyActivationReference{Name: activation},
		TemplateRef:      &NotificationTemplateReference{Name: t.Name},
		NotificationSpec: *t.Spec.NotificationSpec.DeepCopy(),
	}
	spec.Tests = nil // they are the template's
	return spec
}

// NotificationTemplateList is a list of NotificationTemplates.
//
// +kubebuilder:object:root=true
type NotificationTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []NotificationTemplate `json:"items"`
}
