// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LayoutContentVariable is what a layout's templates print the message by.
const LayoutContentVariable = "content"

// NotificationLayoutSpec is what messages are wrapped in.
//
// +kubebuilder:validation:XValidation:rule="has(self.html) || has(self.text)",message="html or text must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.html) || self.channel == 'email'",message="html is for layouts of the channel email"
type NotificationLayoutSpec struct {
	// companyRef names the CompanyActivation, in the same namespace, whose rules may use
	// the layout. Without it, the rules of all companies in the namespace may.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="companyRef can't be changed: create another layout for the other company"
	CompanyRef *CompanyActivationReference `json:"companyRef,omitempty"`

	// displayName is the name that admins see; the object's name if unset.
	// +optional
	// +kubebuilder:validation:MaxLength=250
	DisplayName string `json:"displayName,omitempty"`

	// channel is that of the rules that may use the layout.
	// +optional
	// +kubebuilder:default=email
	Channel Channel `json:"channel,omitempty"`

	// description says what the layout is for.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// html wraps the HTML part of an email: a Django template that prints the
	// message by {{ content }}. An HTML part is sent as it is where this is missing,
	// and none is made where the email has none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	HTML string `json:"html,omitempty"`

	// text wraps the text of a message, which for an email is its text part: a Django
	// template that prints the message by {{ content }}. The text is sent as it is where
	// this is missing.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Text string `json:"text,omitempty"`
}

// NotificationLayoutStatus is what was observed of a layout.
type NotificationLayoutStatus struct {
	// observedGeneration is the metadata.generation that was last acted on.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready and, for a mistake that retrying can't mend, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NotificationLayout is the frame, such as a header and a footer, of the emails of
// rules that name it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=nlayout,categories=rehive
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NotificationLayout struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the wanted state.
	// +required
	Spec NotificationLayoutSpec `json:"spec"`

	// status is the observed state.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status NotificationLayoutStatus `json:"status,omitzero"`
}

// GetConditions returns the conditions of the status.
func (l *NotificationLayout) GetConditions() []metav1.Condition { return l.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (l *NotificationLayout) SetConditions(conditions []metav1.Condition) {
	l.Status.Conditions = conditions
}

// NotificationLayoutList is a list of NotificationLayout.
//
// +kubebuilder:object:root=true
type NotificationLayoutList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []NotificationLayout `json:"items"`
}

// LayoutTemplateLabel marks, with the value "true", a NotificationLayout in the
// operator's namespace that the API offers to every company as a preset.
const LayoutTemplateLabel = "extensions.rehive.com/layout-template"

// ForChannel returns the channel of the rules that may use the layout.
func (s *NotificationLayoutSpec) ForChannel() Channel {
	if s.Channel == "" {
		return ChannelEmail
	}
	return s.Channel
}
