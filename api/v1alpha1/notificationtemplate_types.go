// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NotificationTemplateSpec defines the initial values of rules created from a template.
//
// +kubebuilder:validation:XValidation:rule="[has(self.email), has(self.sms), has(self.push), has(self.system)].exists_one(isSet, isSet)",message="exactly one channel must be set: email, sms, push or system"
// +kubebuilder:validation:XValidation:rule="!(has(self.sensitive) && self.sensitive && (has(self.system) || has(self.systemEnabled) && self.systemEnabled))",message="sensitive can't be set together with system or systemEnabled: an inbox keeps what it shows"
type NotificationTemplateSpec struct {
	// displayName is the name that admins see. Rules created from the template have the same name.
	// At most 250 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	DisplayName string `json:"displayName"`

	// description says what the template is for. At most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// default says whether each company receives a rule created from the template when it
	// activates the extension. It receives the rule once: a rule that an admin deletes is
	// not created again.
	// +optional
	Default bool `json:"default,omitempty"`

	// deletable says whether admins may delete rules created from the template.
	// +optional
	// +kubebuilder:default=true
	Deletable *bool `json:"deletable,omitempty"`

	// preferenceEnabled says whether users may opt out of the messages of rules created
	// from the template.
	// +optional
	PreferenceEnabled bool `json:"preferenceEnabled,omitempty"`

	// systemEnabled says whether rules created from the template also store a copy of each
	// message in the in-app inbox of the user whom it is about.
	// +optional
	SystemEnabled bool `json:"systemEnabled,omitempty"`

	// expiresAfter is how long after the event a message of rules created from the template
	// may still be sent, such as 10m or 24h. 0 means that messages never expire. It is 0, or
	// from 1m to 720h; the default is 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || self == '0'",message="must be a duration in hours, minutes and seconds, such as 10m or 24h, or 0"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || duration(self) == duration('0s') || (duration(self) >= duration('1m') && duration(self) <= duration('720h'))",message="must be 0, or from 1m to 720h"
	ExpiresAfter string `json:"expiresAfter,omitempty"`

	// sensitive says that messages of rules created from the template contain something
	// that must not be kept, such as a one-time code or a link to sign in.
	// +optional
	Sensitive bool `json:"sensitive,omitempty"`

	// event is the name of the platform event that triggers rules created from the
	// template, such as transaction.execute. At most 100 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z][a-z0-9_]*([.][a-z0-9_]+)*)?$')",message="must be the name of a platform event, such as transaction.execute"
	Event string `json:"event,omitempty"`

	// expression is a Django template that renders a Python expression, such as
	// '{{ status }}' == 'Complete'. A message is sent if it is true. At most 8192
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Expression string `json:"expression,omitempty"`

	// email sends the message as an email. Exactly one of email, sms, push and system
	// must be set.
	// +optional
	Email *EmailMessage `json:"email,omitempty"`

	// sms sends the message as an SMS. Exactly one of email, sms, push and system must be
	// set.
	// +optional
	SMS *SMSMessage `json:"sms,omitempty"`

	// push sends the message to the devices of a user. Exactly one of email, sms, push
	// and system must be set.
	// +optional
	Push *PushMessage `json:"push,omitempty"`

	// system stores the message in the in-app inbox of a user. Exactly one of email, sms,
	// push and system must be set.
	// +optional
	System *SystemMessage `json:"system,omitempty"`

	// translations are the message's texts in other languages, chosen by the language of
	// the user whom the message is about. At most 32.
	// +optional
	// +listType=map
	// +listMapKey=language
	// +kubebuilder:validation:MaxItems=32
	Translations []RuleTranslation `json:"translations,omitempty"`

	// tests are example events with the messages that rules created from the template must
	// send for them. Rules do not receive them. A template with a test that fails is
	// refused when it is applied. At most 20.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Tests []RuleTest `json:"tests,omitempty"`
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
	s := t.Spec.DeepCopy()
	return NotificationRuleSpec{
		CompanyRef:        CompanyActivationReference{Name: activation},
		TemplateRef:       &NotificationTemplateReference{Name: t.Name},
		DisplayName:       s.DisplayName,
		Description:       s.Description,
		PreferenceEnabled: s.PreferenceEnabled,
		SystemEnabled:     s.SystemEnabled,
		ExpiresAfter:      s.ExpiresAfter,
		Sensitive:         s.Sensitive,
		Event:             s.Event,
		Expression:        s.Expression,
		Email:             s.Email,
		SMS:               s.SMS,
		Push:              s.Push,
		System:            s.System,
		Translations:      s.Translations,
	}
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
