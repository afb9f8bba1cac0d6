// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProviderSecretLabel must be on a Secret, with any value, for a DeliveryProvider
// to use it.
const ProviderSecretLabel = "extensions.rehive.com/provider"

// AllowedHostsAnnotation on a Secret with the ProviderSecretLabel names the hosts that
// its credentials may be sent to, separated by commas: smtp.example.com, or
// smtp.example.com:587 for one port, or *.example.com for all names below a domain.
// Without it, a Secret for SendGrid, Twilio or Expo may be sent to the vendor's own
// hosts only, and one for a mail server nowhere.
const AllowedHostsAnnotation = "extensions.rehive.com/allowed-hosts"

// Keys of the Secret that a DeliveryProvider's spec.secretRef names.
const (
	// SecretKeyUsername and SecretKeyPassword log in to an SMTP server.
	SecretKeyUsername = "username"
	SecretKeyPassword = "password"
	// SecretKeyCA holds the PEM certificates that an SMTP server is trusted by,
	// instead of the system's.
	SecretKeyCA = "ca.crt"
	// SecretKeyAPIKey is SendGrid's API key.
	SecretKeyAPIKey = "apiKey"
	// SecretKeyAccountSID is that of the Twilio account. SecretKeyAuthToken is the
	// account's token; in its place, SecretKeyAPIKeySID and SecretKeyAPIKeySecret
	// are of an API key.
	SecretKeyAccountSID   = "accountSid"
	SecretKeyAuthToken    = "authToken"
	SecretKeyAPIKeySID    = "apiKeySid"
	SecretKeyAPIKeySecret = "apiKeySecret"
	// SecretKeyAccessToken is that of an Expo project with enhanced security.
	SecretKeyAccessToken = "accessToken"
)

// Channel is the way a message takes to its recipient.
type Channel string

// The channels.
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
	ChannelPush  Channel = "push"
	// ChannelSystem is the user's inbox in the app. It needs no DeliveryProvider.
	ChannelSystem Channel = "system"
)

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// name is the metadata.name of the Secret, which must have the label
	// extensions.rehive.com/provider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name"`
}

// SMTPTLS says how the connection to an SMTP server is encrypted.
// +kubebuilder:validation:Enum=StartTLS;StartTLSOptional;TLS;None
type SMTPTLS string

// The ways to encrypt.
const (
	// SMTPStartTLS refuses a server that offers no STARTTLS.
	SMTPStartTLS SMTPTLS = "StartTLS"
	// SMTPStartTLSOptional uses STARTTLS where it is offered.
	SMTPStartTLSOptional SMTPTLS = "StartTLSOptional"
	// SMTPImplicitTLS speaks TLS from the first byte, as on port 465.
	SMTPImplicitTLS SMTPTLS = "TLS"
	// SMTPNoTLS never encrypts. Nothing logs in over such a connection.
	SMTPNoTLS SMTPTLS = "None"
)

// SMTPProvider sends email through a mail server.
type SMTPProvider struct {
	// host is the mail server's name or address.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9.:_-]+$`
	Host string `json:"host"`

	// port is 587 by default, and 465 with tls: TLS.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// tls is StartTLS, StartTLSOptional, TLS or None.
	// +optional
	// +kubebuilder:default=StartTLS
	TLS SMTPTLS `json:"tls,omitempty"`
}

// SendGridProvider sends email through SendGrid's v3 API.
type SendGridProvider struct {
	// baseURL is where the API is: https://api.sendgrid.com by default,
	// https://api.eu.sendgrid.com for accounts in the EU.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://`
	BaseURL string `json:"baseURL,omitempty"`
}

// TwilioProvider sends SMS through Twilio's API.
type TwilioProvider struct {
	// baseURL is where the API is: https://api.twilio.com by default, or a
	// region's, such as https://api.dublin.ie1.twilio.com.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://`
	BaseURL string `json:"baseURL,omitempty"`
}

// ExpoProvider sends push messages through Expo's push service.
type ExpoProvider struct {
	// baseURL is where the API is: https://exp.host by default.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://`
	BaseURL string `json:"baseURL,omitempty"`

	// androidChannel is the notification channel on Android; the app's default
	// by default.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	AndroidChannel string `json:"androidChannel,omitempty"`
}

// RateLimit bounds how fast messages are handed to a provider.
type RateLimit struct {
	// perSecond is how many messages are sent a second.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	PerSecond int32 `json:"perSecond"`

	// burst is how many may be sent at once after a pause; perSecond by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Burst int32 `json:"burst,omitempty"`
}

// DeliveryProviderSpec says through whom messages of one channel are sent.
//
// +kubebuilder:validation:XValidation:rule="[has(self.smtp), has(self.sendgrid), has(self.twilio), has(self.expo)].exists_one(isSet, isSet)",message="exactly one provider must be set: smtp, sendgrid, twilio or expo"
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) || !(has(self.sendgrid) || has(self.twilio))",message="secretRef is required for sendgrid and twilio"
// +kubebuilder:validation:XValidation:rule="!(has(self.sender) && has(self.expo))",message="sender must not be set for expo: push messages have none"
type DeliveryProviderSpec struct {
	// smtp sends email through a mail server.
	// +optional
	SMTP *SMTPProvider `json:"smtp,omitempty"`

	// sendgrid sends email through SendGrid.
	// +optional
	SendGrid *SendGridProvider `json:"sendgrid,omitempty"`

	// twilio sends SMS through Twilio.
	// +optional
	Twilio *TwilioProvider `json:"twilio,omitempty"`

	// expo sends push messages through Expo, to the devices that the platform
	// knows of a user.
	// +optional
	Expo *ExpoProvider `json:"expo,omitempty"`

	// secretRef names the Secret with the credentials, in the same namespace and
	// with the label extensions.rehive.com/provider. Its annotation
	// extensions.rehive.com/allowed-hosts names the hosts that the credentials may be
	// sent to; it is required for smtp. Its keys are, for smtp,
	// username, password and ca.crt (each optional); for sendgrid, apiKey; for
	// twilio, accountSid and authToken, or accountSid, apiKeySid and
	// apiKeySecret; for expo, accessToken.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// sender is who messages come from that name nobody: for email an address,
	// with or without a name; for SMS a number, a short code, an alphanumeric
	// sender or the SID of a messaging service.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Sender string `json:"sender,omitempty"`

	// rateLimit bounds how fast each replica of the operator sends; unlimited by
	// default.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// concurrency is how many messages each replica of the operator has with the
	// provider at once.
	// +optional
	// +kubebuilder:default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Concurrency int32 `json:"concurrency,omitempty"`

	// timeoutSeconds bounds one call of the provider: for smtp one command, for
	// the others a whole request.
	// +optional
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=25
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// DeliveryProviderStatus is what was observed of a provider.
type DeliveryProviderStatus struct {
	// observedGeneration is the metadata.generation that was last acted on.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// channel is the channel that the provider serves: email, sms or push.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Channel Channel `json:"channel,omitempty"`

	// type is the field of the spec that is set: smtp, sendgrid, twilio or expo.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Type string `json:"type,omitempty"`

	// conditions are Ready and, for a mistake that retrying can't mend, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DeliveryProvider is somebody who takes messages of one channel to their
// recipients. Companies of the same namespace name it in spec.providers; one in the
// operator's namespace can be the default of a channel for all companies.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dprov,categories=rehive
// +kubebuilder:printcolumn:name="Channel",type=string,JSONPath=`.status.channel`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DeliveryProvider struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the wanted state.
	// +required
	Spec DeliveryProviderSpec `json:"spec"`

	// status is the observed state.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status DeliveryProviderStatus `json:"status,omitzero"`
}

// Type returns the field of the spec that is set and the channel it serves; both
// are empty when none is.
func (s *DeliveryProviderSpec) Type() (string, Channel) {
	switch {
	case s.SMTP != nil:
		return "smtp", ChannelEmail
	case s.SendGrid != nil:
		return "sendgrid", ChannelEmail
	case s.Twilio != nil:
		return "twilio", ChannelSMS
	case s.Expo != nil:
		return "expo", ChannelPush
	}
	return "", ""
}

// GetConditions returns the conditions of the status.
func (p *DeliveryProvider) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (p *DeliveryProvider) SetConditions(conditions []metav1.Condition) {
	p.Status.Conditions = conditions
}

// DeliveryProviderList is a list of DeliveryProvider.
//
// +kubebuilder:object:root=true
type DeliveryProviderList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []DeliveryProvider `json:"items"`
}
