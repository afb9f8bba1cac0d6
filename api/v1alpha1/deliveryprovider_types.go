// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProviderSecretLabel must be on a Secret, with any value, for a DeliveryProvider
// to use it.
const ProviderSecretLabel = "extensions.rehive.com/provider"

// AllowedHostsAnnotation on a Secret with the ProviderSecretLabel names the hosts that
// its credentials may be sent to, separated by commas: smtp.example.com, or
// smtp.example.com:587 for one port, or *.example.com for all names below a domain.
// Without it, a Secret for SendGrid, Twilio or Expo may be sent to the vendor's own
// hosts only, and one for a mail server cannot be used.
const AllowedHostsAnnotation = "extensions.rehive.com/allowed-hosts"

// Keys of the Secret that a DeliveryProvider's spec.secretRef names.
const (
	// SecretKeyUsername and SecretKeyPassword log in to an SMTP server.
	SecretKeyUsername = "username"
	SecretKeyPassword = "password"
	// SecretKeyCA holds the PEM certificates of the authorities to trust for an SMTP server,
	// instead of the system's.
	SecretKeyCA = "ca.crt"
	// SecretKeyAPIKey is SendGrid's API key.
	SecretKeyAPIKey = "apiKey"
	// SecretKeyAccountSID is the SID of the Twilio account. SecretKeyAuthToken is the
	// account's token; SecretKeyAPIKeySID and SecretKeyAPIKeySecret identify an API key
	// to use instead of it.
	SecretKeyAccountSID = "accountSid"
	SecretKeyAuthToken  = "authToken"
	// SecretKeyEventWebhookKey is the verification key of SendGrid's signed event webhook.
	SecretKeyEventWebhookKey = "eventWebhookKey"
	SecretKeyAPIKeySID       = "apiKeySid"
	SecretKeyAPIKeySecret    = "apiKeySecret"
	// SecretKeyAccessToken is the access token of an Expo project with enhanced security.
	SecretKeyAccessToken = "accessToken"
)

// Channel is a way to deliver messages.
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
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Name string `json:"name"`
}

// SMTPTLS is how the connection to a mail server is encrypted.
// +kubebuilder:validation:Enum=StartTLS;StartTLSOptional;TLS;None
type SMTPTLS string

// The values of SMTPTLS.
const (
	// SMTPStartTLS requires STARTTLS.
	SMTPStartTLS SMTPTLS = "StartTLS"
	// SMTPStartTLSOptional uses STARTTLS if the server offers it.
	SMTPStartTLSOptional SMTPTLS = "StartTLSOptional"
	// SMTPImplicitTLS uses TLS from the first byte, as on port 465.
	SMTPImplicitTLS SMTPTLS = "TLS"
	// SMTPNoTLS never encrypts, and logs in only by mechanisms that don't show the password.
	SMTPNoTLS SMTPTLS = "None"
)

// SMTPProvider sends email through a mail server.
type SMTPProvider struct {
	// host is the host name or IP address of the mail server, without a port, such as
	// smtp.example.com.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[^:]*:[0-9]*$') && !self.matches('^[[].*[]]:[0-9]*$')",message="must not contain a port: use the field port, such as host: smtp.example.com with port: 587"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+(:[0-9]*)?$') || self.matches('^[0-9A-Fa-f.:]+$') || self.matches('^[[].*[]]:[0-9]*$')",message="must be a host name or an IP address, such as smtp.example.com or 192.0.2.25"
	Host string `json:"host"`

	// port is the port of the mail server. It defaults to 465 if tls is TLS, and to 587
	// otherwise.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// tls says how the connection is encrypted.
	// StartTLS upgrades it with STARTTLS and refuses a server that does not offer it.
	// StartTLSOptional does so if the server offers it, and otherwise sends in the clear.
	// TLS encrypts from the first byte, as on port 465.
	// None never encrypts, and logs in only by mechanisms that don't show the password.
	// +optional
	// +kubebuilder:default=StartTLS
	TLS SMTPTLS `json:"tls,omitempty"`
}

// SendGridProvider sends email through SendGrid's v3 API.
type SendGridProvider struct {
	// baseURL is the URL of SendGrid's API. It defaults to https://api.sendgrid.com;
	// accounts in the EU need https://api.eu.sendgrid.com.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self == '' || self.startsWith('https://') || self.startsWith('http://')",message="must be a URL that begins with https://, such as https://api.eu.sendgrid.com"
	BaseURL string `json:"baseURL,omitempty"`
}

// TwilioProvider sends SMS through Twilio's API.
type TwilioProvider struct {
	// baseURL is the URL of Twilio's API. It defaults to https://api.twilio.com; regions
	// have their own, such as https://api.dublin.ie1.twilio.com.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self == '' || self.startsWith('https://') || self.startsWith('http://')",message="must be a URL that begins with https://, such as https://api.dublin.ie1.twilio.com"
	BaseURL string `json:"baseURL,omitempty"`

	// verifyServiceSid is the SID of a Twilio Verify service, through which rules with
	// sms.useTwilioVerify send their codes: VA and 32 hexadecimal digits. Twilio must have
	// enabled custom codes for the service. Without it, such messages wait. Its API is at
	// verify.twilio.com, or next to baseURL where that is a region of Twilio's.
	// +optional
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self.matches('^(VA[0-9a-fA-F]{32})?$')",message="must be the SID of a Twilio Verify service: VA and 32 hexadecimal digits"
	VerifyServiceSID string `json:"verifyServiceSid,omitempty"`
}

// ExpoProvider sends push notifications through Expo's push service.
type ExpoProvider struct {
	// baseURL is the URL of Expo's push service. It defaults to https://exp.host.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self == '' || self.startsWith('https://') || self.startsWith('http://')",message="must be a URL that begins with https://, such as https://exp.host"
	BaseURL string `json:"baseURL,omitempty"`

	// androidChannel is the Android notification channel. It defaults to the app's own
	// default. At most 100 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	AndroidChannel string `json:"androidChannel,omitempty"`
}

// RateLimit limits how fast messages are sent to a provider.
type RateLimit struct {
	// perSecond is the maximum number of messages per second.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	PerSecond int32 `json:"perSecond"`

	// burst is the maximum number of messages sent at once after a pause. It defaults to
	// perSecond.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Burst int32 `json:"burst,omitempty"`
}

// DeliveryProviderSpec says which service sends the messages of one channel.
//
// +kubebuilder:validation:XValidation:rule="[has(self.smtp), has(self.sendgrid), has(self.twilio), has(self.expo)].exists_one(isSet, isSet)",message="exactly one provider must be set: smtp, sendgrid, twilio or expo"
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) || !(has(self.sendgrid) || has(self.twilio))",message="secretRef is required for sendgrid and twilio"
// +kubebuilder:validation:XValidation:rule="!has(self.dkimSelectors) || has(self.smtp) || has(self.sendgrid)",message="dkimSelectors must be set for smtp and sendgrid only"
// +kubebuilder:validation:XValidation:rule="!(has(self.sender) && has(self.expo))",message="sender must not be set for expo: push notifications have none"
type DeliveryProviderSpec struct {
	// smtp sends email through a mail server. Exactly one of smtp, sendgrid, twilio
	// and expo must be set.
	// +optional
	SMTP *SMTPProvider `json:"smtp,omitempty"`

	// sendgrid sends email through SendGrid. Exactly one of smtp, sendgrid, twilio
	// and expo must be set.
	// +optional
	SendGrid *SendGridProvider `json:"sendgrid,omitempty"`

	// twilio sends SMS through Twilio. Exactly one of smtp, sendgrid, twilio
	// and expo must be set.
	// +optional
	Twilio *TwilioProvider `json:"twilio,omitempty"`

	// expo sends push notifications through Expo, to the devices of a user that Rehive
	// knows. Exactly one of smtp, sendgrid, twilio and expo must be set.
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

	// sender is the sender of messages that do not name one: for email an address, with or
	// without a display name; for SMS a phone number, a short code, an alphanumeric sender
	// or the SID of a messaging service. It must not be set for expo.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Sender string `json:"sender,omitempty"`

	// dkimSelectors are the selectors of the DKIM keys with which the provider signs emails,
	// such as s1. The condition SenderDomainReady of a CompanyActivation says which of their
	// keys the sender's domain lacks. They default to s1 and s2 for sendgrid; for smtp, DKIM is
	// not checked without them. The operator itself doesn't sign.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$')",message="must be a selector: letters, digits, '-', '_' and '.', such as s1"
	DKIMSelectors []string `json:"dkimSelectors,omitempty"`

	// rateLimit limits how fast each replica of the operator sends. Without it, there is
	// no limit.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// concurrency is the maximum number of messages that each replica of the operator
	// sends at once.
	// +optional
	// +kubebuilder:default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Concurrency int32 `json:"concurrency,omitempty"`

	// feedback says whether the operator records what the provider reports about messages
	// after it accepted them: delivered, bounced and so on. For sendgrid, enable the signed
	// event webhook with the URL in status.feedbackURL, and put its verification key into
	// the Secret as eventWebhookKey. For twilio, the Secret must hold authToken, with which
	// Twilio signs its callbacks. For expo, receipts are read. smtp has no reports.
	// +optional
	Feedback bool `json:"feedback,omitempty"`

	// timeoutSeconds is the time limit of one call to the provider. For smtp, it limits
	// connecting, TLS, EHLO and each message of the login; the other steps have the limits
	// of RFC 5321.
	// +optional
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=25
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// DeliveryProviderStatus is what was observed of a provider.
type DeliveryProviderStatus struct {
	// conditions are:
	//
	// Ready: the configuration is complete and, if that can be verified, the provider
	// accepts the credentials.
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

	// channel is the channel that the provider serves: email, sms or push.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Channel Channel `json:"channel,omitempty"`

	// type is the field of the spec that is set: smtp, sendgrid, twilio or expo.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Type string `json:"type,omitempty"`

	// feedbackURL is where the provider reports about messages. It is empty unless
	// spec.feedback is true and the provider is of the type sendgrid or twilio. Reports at
	// this URL also need the provider's signature.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	FeedbackURL string `json:"feedbackURL,omitempty"`
}

// DeliveryProvider is a service that delivers the messages of one channel. A company uses
// those of its own namespace that its CompanyActivation names in spec.providers. One in
// the operator's namespace can be the default of a channel for all companies.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
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
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state.
	// +required
	Spec DeliveryProviderSpec `json:"spec"`

	// status is the observed state.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status DeliveryProviderStatus `json:"status,omitzero"`
}

// Type returns the field of the spec that is set and the channel it serves; both
// are empty if none is.
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

// dkimSelector is the pattern of the marker of DeliveryProviderSpec.DKIMSelectors.
var dkimSelector = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`)

// Limits on the DKIM selectors of a provider: how many, and how many characters each.
const (
	MaxDKIMSelectors      = 4
	maxDKIMSelectorLength = 63
)

// IsDKIMSelector reports whether a DeliveryProvider's spec.dkimSelectors may contain the text.
func IsDKIMSelector(text string) bool {
	return len(text) <= maxDKIMSelectorLength && dkimSelector.MatchString(text)
}

// sendGridSelectors are those of the CNAME records by which SendGrid authenticates a domain.
var sendGridSelectors = []string{"s1", "s2"}

// Selectors returns the selectors of the provider's DKIM keys; none if they aren't known.
func (s *DeliveryProviderSpec) Selectors() []string {
	if len(s.DKIMSelectors) == 0 && s.SendGrid != nil {
		return sendGridSelectors
	}
	return s.DKIMSelectors
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
