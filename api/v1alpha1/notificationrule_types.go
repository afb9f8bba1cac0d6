// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CompanyActivationReference names a CompanyActivation in the same namespace.
type CompanyActivationReference struct {
	// name is the metadata.name of the CompanyActivation.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name"`
}

// NotificationLayoutReference names a NotificationLayout in the same namespace.
type NotificationLayoutReference struct {
	// name is the metadata.name of the NotificationLayout.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name"`
}

// NotificationTemplateReference names a NotificationTemplate in the operator's
// namespace.
type NotificationTemplateReference struct {
	// name is the metadata.name of the NotificationTemplate.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name"`
}

// EmailMessage holds the templates of an email. Each is a Django template over
// the event's data plus context and computed.
type EmailMessage struct {
	// to is the recipient: a template that renders one address or several,
	// parted by commas, each of which becomes a message of its own.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`\S`
	To string `json:"to"`

	// toUser says which user the message is about: a template that renders the
	// identifier of one user on Rehive. That user's preference counts, and that user
	// gets the in-app copy. Unset, it is user.id of the event's data, or what is like
	// it in events of users and of transitions.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	ToUser string `json:"toUser,omitempty"`

	// from overrides the sender, which is the company's system email unless the
	// operator is told otherwise.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	From string `json:"from,omitempty"`

	// subject is the subject line. Line breaks in what it renders become spaces.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`\S`
	Subject string `json:"subject"`

	// html is the HTML part. What it prints is escaped for HTML, as Django does.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	HTML string `json:"html,omitempty"`

	// text is the plain text part. It is demanded, as on Rehive, where an email
	// without text is not sent.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	// +kubebuilder:validation:Pattern=`\S`
	Text string `json:"text"`

	// layoutRef names the NotificationLayout, in the same namespace, that html and
	// text are wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// SMSMessage holds the templates of an SMS. Each is a Django template over the
// event's data plus context and computed.
type SMSMessage struct {
	// to is the recipient: a template that renders one phone number or several,
	// parted by commas, each of which becomes a message of its own. A number is
	// international, such as +27840000000, unless defaultRegion is set.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`\S`
	To string `json:"to"`

	// toUser says which user the message is about: a template that renders the
	// identifier of one user on Rehive. That user's preference counts, and that user
	// gets the in-app copy. Unset, it is user.id of the event's data, or what is like
	// it in events of users and of transitions.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	ToUser string `json:"toUser,omitempty"`

	// defaultRegion is the region of numbers without a country code: an ISO 3166
	// code such as ZA. Without it such numbers are refused.
	// +optional
	// +kubebuilder:validation:Pattern=`^([A-Z]{2})?$`
	// +kubebuilder:validation:MaxLength=2
	DefaultRegion string `json:"defaultRegion,omitempty"`

	// message is the text. What it prints is not escaped.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:Pattern=`\S`
	Message string `json:"message"`

	// layoutRef names the NotificationLayout, in the same namespace and for the same
	// channel, that message is wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// PushMessage holds the templates of a push message. Each is a Django template
// over the event's data plus context and computed.
type PushMessage struct {
	// toUser is the recipient: a template that renders the identifier of one user
	// on Rehive or of several, parted by commas, each of which becomes a message of
	// its own, for all devices of the user.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`\S`
	ToUser string `json:"toUser"`

	// title is the title. Line breaks in what it renders become spaces.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Title string `json:"title,omitempty"`

	// message is the text. What it prints is not escaped.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:Pattern=`\S`
	Message string `json:"message"`

	// layoutRef names the NotificationLayout, in the same namespace and for the same
	// channel, that message is wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// SystemMessage holds the templates of an in-app message. Each is a Django template
// over the event's data plus context and computed.
type SystemMessage struct {
	// toUser is the recipient: a template that renders the identifier of one user
	// on Rehive or of several, parted by commas, each of which becomes a message of
	// its own.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:Pattern=`\S`
	ToUser string `json:"toUser"`

	// title is the title. Line breaks in what it renders become spaces.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Title string `json:"title,omitempty"`

	// message is the text. What it prints is not escaped.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:Pattern=`\S`
	Message string `json:"message"`

	// layoutRef names the NotificationLayout, in the same namespace and for the same
	// channel, that message is wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// NotificationRuleSpec says on which event, under which condition, to whom and
// with which words a message is sent.
//
// +kubebuilder:validation:XValidation:rule="[has(self.email), has(self.sms), has(self.push), has(self.system)].exists_one(isSet, isSet)",message="exactly one channel must be set: email, sms, push or system"
// +kubebuilder:validation:XValidation:rule="!(has(self.system) && has(self.systemEnabled) && self.systemEnabled)",message="systemEnabled can't be set together with system: the message is an in-app message already"
type NotificationRuleSpec struct {
	// companyRef names the CompanyActivation of the company whose events the
	// rule is for. It can't be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="companyRef can't be changed: create another rule for the other company"
	CompanyRef CompanyActivationReference `json:"companyRef"`

	// templateRef names the NotificationTemplate, in the operator's namespace, that the
	// rule was made from. Later changes of the template don't change the rule.
	// +optional
	TemplateRef *NotificationTemplateReference `json:"templateRef,omitempty"`

	// displayName is the name that admins and users see. It need not be unique.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	// +kubebuilder:validation:Pattern=`\S`
	DisplayName string `json:"displayName"`

	// description says what the rule is for.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// enabled says whether the rule sends anything. An event that only disabled rules
	// name has no webhook on the platform.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// preferenceEnabled says whether users may choose not to get the rule's messages.
	// While it is false, what they chose before doesn't count.
	// +optional
	PreferenceEnabled bool `json:"preferenceEnabled,omitempty"`

	// systemEnabled says whether each message is also stored for the inbox of the user
	// that it is about, beside what is sent on the rule's own channel.
	// +optional
	SystemEnabled bool `json:"systemEnabled,omitempty"`

	// event is the platform event the rule is for, such as transaction.execute.
	// A rule without one is sent by hand only.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^([a-z][a-z0-9_]*(\.[a-z0-9_]+)*)?$`
	Event string `json:"event,omitempty"`

	// expression decides whether the message is sent: a Django template that
	// renders a Python expression. An empty one is true; one that fails is false.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Expression string `json:"expression,omitempty"`

	// email sends the message as an email.
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

// Channel returns the channel that is set; empty when none is.
func (s *NotificationRuleSpec) Channel() Channel {
	switch {
	case s.Email != nil:
		return ChannelEmail
	case s.SMS != nil:
		return ChannelSMS
	case s.Push != nil:
		return ChannelPush
	case s.System != nil:
		return ChannelSystem
	}
	return ""
}

// Layout returns the name of the layout that the message is wrapped in, empty if there
// is none.
func (s *NotificationRuleSpec) Layout() string {
	var reference *NotificationLayoutReference
	switch {
	case s.Email != nil:
		reference = s.Email.LayoutRef
	case s.SMS != nil:
		reference = s.SMS.LayoutRef
	case s.Push != nil:
		reference = s.Push.LayoutRef
	case s.System != nil:
		reference = s.System.LayoutRef
	}
	if reference == nil {
		return ""
	}
	return reference.Name
}

// NotificationRuleStatus is what was observed of a rule.
type NotificationRuleStatus struct {
	// observedGeneration is the metadata.generation that was last acted on.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, TemplatesParsed, ExpressionParsed and, for a mistake
	// that retrying can't mend, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// variables are the variables that the rule's templates and expression read.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	Variables []string `json:"variables,omitempty"`
}

// NotificationRule sends one message on one channel when an event of its
// company matches.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=nrule,categories=rehive
// +kubebuilder:selectablefield:JSONPath=".spec.companyRef.name"
// +kubebuilder:selectablefield:JSONPath=".spec.event"
// +kubebuilder:printcolumn:name="Company",type=string,JSONPath=`.spec.companyRef.name`
// +kubebuilder:printcolumn:name="Event",type=string,JSONPath=`.spec.event`
// +kubebuilder:printcolumn:name="Enabled",type=boolean,JSONPath=`.spec.enabled`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NotificationRule struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the wanted state.
	// +required
	Spec NotificationRuleSpec `json:"spec"`

	// status is the observed state.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status NotificationRuleStatus `json:"status,omitzero"`
}

// IsEnabled says whether the rule's event is to be matched: an unset
// spec.enabled is true.
func (r *NotificationRule) IsEnabled() bool {
	return (r.Spec.Enabled == nil || *r.Spec.Enabled) && r.DeletionTimestamp.IsZero()
}

// GetConditions returns the conditions of the status.
func (r *NotificationRule) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (r *NotificationRule) SetConditions(conditions []metav1.Condition) {
	r.Status.Conditions = conditions
}

// NotificationRuleList is a list of NotificationRule.
//
// +kubebuilder:object:root=true
type NotificationRuleList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []NotificationRule `json:"items"`
}
