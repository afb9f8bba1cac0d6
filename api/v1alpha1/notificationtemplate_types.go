// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NotificationTemplateSpec is what notifications made from a template begin with.
//
// +kubebuilder:validation:XValidation:rule="[has(self.email), has(self.sms), has(self.push), has(self.system)].exists_one(isSet, isSet)",message="exactly one channel must be set: email, sms, push or system"
type NotificationTemplateSpec struct {
	// displayName is the name that admins see, and that rules made from the template
	// get.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	// +kubebuilder:validation:Pattern=`\S`
	DisplayName string `json:"displayName"`

	// description says what the template is for.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// default gives each company a rule made from the template when it activates the
	// extension, once: a rule that an admin deletes stays deleted.
	// +optional
	Default bool `json:"default,omitempty"`

	// deletable says whether admins may delete rules made from the template.
	// +optional
	// +kubebuilder:default=true
	Deletable *bool `json:"deletable,omitempty"`

	// preferenceEnabled is that of rules made from the template.
	// +optional
	PreferenceEnabled bool `json:"preferenceEnabled,omitempty"`

	// systemEnabled is that of rules made from the template.
	// +optional
	SystemEnabled bool `json:"systemEnabled,omitempty"`

	// event is the platform event of rules made from the template.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^([a-z][a-z0-9_]*(\.[a-z0-9_]+)*)?$`
	Event string `json:"event,omitempty"`

	// expression decides whether a message is sent, as that of a NotificationRule.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Expression string `json:"expression,omitempty"`

	// email sends the message as an email. Set exactly one of email, sms, push and
	// system.
	// +optional
	Email *EmailMessage `json:"email,omitempty"`

	// sms sends the message as an SMS.
	// +optional
	SMS *SMSMessage `json:"sms,omitempty"`

	// push sends the message to the devices of a user.
	// +optional
	Push *PushMessage `json:"push,omitempty"`

	// system stores the message for the inbox of a user.
	// +optional
	System *SystemMessage `json:"system,omitempty"`
}

// NotificationTemplate is a preset that NotificationRules are made from. Templates
// in the operator's namespace are offered to every company.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=ntemplate,categories=rehive
// +kubebuilder:printcolumn:name="Event",type=string,JSONPath=`.spec.event`
// +kubebuilder:printcolumn:name="Default",type=boolean,JSONPath=`.spec.default`
// +kubebuilder:printcolumn:name="Display Name",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NotificationTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what rules made from the template begin with.
	// +required
	Spec NotificationTemplateSpec `json:"spec"`
}

// IsDeletable says whether admins may delete rules made from the template.
func (t *NotificationTemplate) IsDeletable() bool {
	return t.Spec.Deletable == nil || *t.Spec.Deletable
}

// RuleSpec returns the spec of a rule made from the template for a company, given
// the name of its CompanyActivation.
func (t *NotificationTemplate) RuleSpec(activation string) NotificationRuleSpec {
	s := t.Spec.DeepCopy()
	return NotificationRuleSpec{
		CompanyRef:        CompanyActivationReference{Name: activation},
		TemplateRef:       &NotificationTemplateReference{Name: t.Name},
		DisplayName:       s.DisplayName,
		Description:       s.Description,
		PreferenceEnabled: s.PreferenceEnabled,
		SystemEnabled:     s.SystemEnabled,
		Event:             s.Event,
		Expression:        s.Expression,
		Email:             s.Email,
		SMS:               s.SMS,
		Push:              s.Push,
		System:            s.System,
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
