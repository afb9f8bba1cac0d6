// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime"
)

// RuleTest is an example event with the message that a rule must send for it.
type RuleTest struct {
	// name says what the test is about, such as "a pending payment". At most 100
	// characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	Name string `json:"name"`

	// event is the event that the rule is tested with. It defaults to the sample of
	// spec.event.
	// +optional
	Event RuleTestEvent `json:"event,omitzero"`

	// expect is the expected result. Fields that are not set are not compared.
	// +required
	Expect RuleTestExpectation `json:"expect"`
}

// RuleTestEvent is an event that a rule is tested with.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.data) && has(self.changes))",message="data and changes can't be combined: data is the whole event"
type RuleTestEvent struct {
	// sample is the name of the event whose sample is used, such as transaction.execute. It
	// defaults to spec.event. At most 100 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	Sample string `json:"sample,omitempty"`

	// changes are applied to the sample like a JSON merge patch: objects are merged, and
	// other values are replaced. Unlike there, null does not remove a field but sets it to
	// null, as Rehive sends fields without a value.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Changes *runtime.RawExtension `json:"changes,omitempty"`

	// data is the whole data of the event, instead of a sample.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Data *runtime.RawExtension `json:"data,omitempty"`

	// computed are the values that the rule reads as computed. Without them, the fee is 0
	// and the total amount is the amount of the transaction.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Computed *runtime.RawExtension `json:"computed,omitempty"`
}

// RuleTestExpectation is the expected result of an event.
//
// +kubebuilder:validation:XValidation:rule="!has(self.reason) || has(self.sent) && !self.sent",message="reason must not be set unless sent is false"
// +kubebuilder:validation:XValidation:rule="!has(self.sent) || self.sent || !(has(self.recipients) || has(self.subject) || has(self.text) || has(self.html))",message="recipients, subject, text and html must not be set if sent is false"
type RuleTestExpectation struct {
	// sent says whether the rule sends a message on its own channel. It defaults to true.
	// +optional
	// +kubebuilder:default=true
	Sent *bool `json:"sent,omitempty"`

	// reason is why nothing is sent, such as ExpressionFalse or NoRecipient. At most 100
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	Reason string `json:"reason,omitempty"`

	// recipients are the addresses, phone numbers or users that the message goes to, in any
	// order. At most 50.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=320
	Recipients []string `json:"recipients,omitempty"`

	// subject is the subject of an email, or the title of a push or in-app message.
	// +optional
	Subject *TextExpectation `json:"subject,omitempty"`

	// text is the plain text of the message, with its layout.
	// +optional
	Text *TextExpectation `json:"text,omitempty"`

	// html is the HTML part of an email, with its layout.
	// +optional
	HTML *TextExpectation `json:"html,omitempty"`
}

// TextExpectation describes an expected text.
//
// +kubebuilder:validation:XValidation:rule="has(self.equals) || has(self.contains) || has(self.excludes)",message="equals, contains or excludes must be set"
type TextExpectation struct {
	// equals is the whole text. Trailing white space is not compared. At most 16384
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Equals *string `json:"equals,omitempty"`

	// contains are parts of the text. At most 20, of at most 1024 characters each.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Contains []string `json:"contains,omitempty"`

	// excludes must not be parts of the text. At most 20, of at most 1024 characters each.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Excludes []string `json:"excludes,omitempty"`
}
