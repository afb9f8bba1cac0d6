// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LayoutContentVariable is the variable by which a layout's templates print the message.
const LayoutContentVariable = "content"

// NotificationLayoutSpec defines how messages are wrapped, for example with a header and a
// footer.
//
// +kubebuilder:validation:XValidation:rule="has(self.html) || has(self.text)",message="at least one of html and text must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.html) || self.channel == 'email'",message="html must not be set unless channel is email"
type NotificationLayoutSpec struct {
	// companyRef names the CompanyActivation, in the same namespace, whose rules may use
	// the layout. Without it, the rules of every company in the namespace may. It is
	// immutable.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="companyRef can't be changed: create another layout for the other company"
	CompanyRef *CompanyActivationReference `json:"companyRef,omitempty"`

	// displayName is the name that admins see. It defaults to the object's name. At most
	// 250 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=250
	DisplayName string `json:"displayName,omitempty"`

	// channel is the channel of the rules that may use the layout: email, sms, push or
	// system.
	// +optional
	// +kubebuilder:default=email
	// +kubebuilder:validation:Enum=email;sms;push;system
	Channel Channel `json:"channel,omitempty"`

	// description says what the layout is for. At most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// html is a Django template that wraps the HTML part of an email, which it prints with
	// {{ content }}. Without it, the HTML part is sent unchanged. An email without an HTML
	// part does not get one. At most 262144 characters. At least one of html and text must
	// be set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	HTML string `json:"html,omitempty"`

	// text is a Django template that wraps the text of a message, which it prints with {{
	// content }}; for an email, that is the plain text part. Without it, the text is sent
	// unchanged. At most 262144 characters. At least one of html and text must be set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Text string `json:"text,omitempty"`

	// inlineCSS copies the rules of the message's style sheets into the style attributes of
	// its elements, for email clients that ignore style sheets. It applies to rules whose
	// selectors consist of elements, classes and identifiers; style sheets stay in place for
	// the others, such as those of @media. Messages of more than 262144 bytes and those with
	// very many rules are sent unchanged.
	// +optional
	InlineCSS bool `json:"inlineCSS,omitempty"`

	// translations are the templates in other languages. A message is wrapped in those of
	// its own language. At most 32.
	// +optional
	// +listType=map
	// +listMapKey=language
	// +kubebuilder:validation:MaxItems=32
	Translations []LayoutTranslation `json:"translations,omitempty"`
}

// NotificationLayoutStatus is what was observed of a layout.
type NotificationLayoutStatus struct {
	// conditions are:
	//
	// Ready: the layout parses and can be used.
	// Stalled: present, and True, if a person must act; retrying won't help.
	//
	// The reason and the message of Ready say what is wrong and what to do.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that the operator last acted on.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// NotificationLayout wraps the messages of the rules that name it, for example in a
// header and a footer.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=nlayout,categories=rehive
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NotificationLayout struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state.
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
