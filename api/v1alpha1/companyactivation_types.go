// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CompanyActivationFinalizer keeps a CompanyActivation that is being purged until its
// ledger rows and, if the platform allows it, its webhooks are removed. Other activations
// have no finalizer, so that they can be deleted while the operator is not running.
const CompanyActivationFinalizer = "extensions.rehive.com/company-activation"

// RequestedAtAnnotation triggers the reconciliation of a CompanyActivation when its value
// changes. The HTTP server sets it at each call of /activate/ and /rotate/, and people can
// set it with kubectl annotate. When the reconciliation is done,
// status.lastHandledRequestedAt has the same value.
const RequestedAtAnnotation = "extensions.rehive.com/requested-at"

// PurgeAnnotation makes the operator, with the value "true", delete a CompanyActivation
// with its rules, its Secret and everything that the ledger stores of its company. The
// operator sets it when the company is removed from Rehive (a deactivation with purge).
const PurgeAnnotation = "extensions.rehive.com/purge"

// PurgeAfterAnnotation is the time, in RFC 3339, at which a company that was removed from
// Rehive is purged, if the operator was started with a grace period (--purge-grace-period).
// Until then the activation is inactive; a new activation removes the annotation. Deleting
// the object manually purges it immediately.
const PurgeAfterAnnotation = "extensions.rehive.com/purge-after"

// TokenNotStoredAnnotation is the time, in RFC 3339, at which the platform sent a token that
// could not be stored because the Secret is immutable. The operator sets it, and removes it
// when it stores a token. Until then the activation is not Ready: the platform may withdraw
// the stored token at any time.
const TokenNotStoredAnnotation = "extensions.rehive.com/token-not-stored"

// APIWritesLabel on a CompanyActivation, with the value APIWritesAllow, lets admins change
// through the API objects that are managed in Kubernetes, such as by Argo CD. Without it,
// those objects are read-only in the API.
const (
	APIWritesLabel = "extensions.rehive.com/api-writes"
	APIWritesAllow = "Allow"
)

// Keys of the Secret named by status.secretName.
const (
	// SecretKeyToken holds the service user's token. It is absent while the
	// company is inactive.
	SecretKeyToken = "token"
	// SecretKeyWebhookSecret holds the secret that the platform sends with each
	// webhook. It is generated once and survives deactivation, so that registered
	// webhooks keep working after a reactivation.
	SecretKeyWebhookSecret = "webhookSecret"
	// SecretKeyServiceUser holds the identifier of the platform user who activated the
	// company and to whom the token belongs. That user and admins may rotate the token, deactivate
	// and purge the company. It survives deactivation.
	SecretKeyServiceUser = "serviceUser"
)

// ActivationState says whether a company uses the extension.
// +kubebuilder:validation:Enum=Active;Inactive
type ActivationState string

const (
	// ActivationActive means that the company's events are accepted.
	ActivationActive ActivationState = "Active"
	// ActivationInactive means that the company was deactivated on the platform:
	// its events are refused; its rules and its webhook secret are kept.
	ActivationInactive ActivationState = "Inactive"
)

// CompanyActivationSpec is the desired state of a company's activation.
type CompanyActivationSpec struct {
	// company is the identifier of the company on Rehive, such as my_shop. It is
	// immutable. At most 100 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')",message="must be the identifier of a company on Rehive: letters, digits, '_', '.' and '-', beginning with a letter or a digit, such as my_shop"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="company can't be changed: delete this object and create another"
	Company string `json:"company"`

	// state says whether the company uses the extension: Active or Inactive. Rehive sets
	// it when an admin switches the extension on or off.
	// +optional
	// +kubebuilder:default=Active
	State ActivationState `json:"state,omitempty"`

	// providers names the DeliveryProviders, in the same namespace, that send the
	// company's messages. A channel without one uses the operator's default.
	// +optional
	Providers CompanyProviders `json:"providers,omitzero"`

	// senderDomains are the domains, including their subdomains, from which the company may
	// send email through the operator's own providers. Only the platform team should be
	// allowed to write it. The company's own DeliveryProvider may use any domain.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?[.])+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",message="must be a domain in lowercase, such as shop.example; write an internationalized one as xn--..."
	SenderDomains []string `json:"senderDomains,omitempty"`

	// quotas limit the company's messages per day, where they are lower than the operator's
	// own limits.
	// +optional
	Quotas CompanyQuotas `json:"quotas,omitzero"`

	// recordOpens says whether the log shows which messages their recipients opened, for
	// providers that report it. If it is false, such a message is shown as delivered.
	// +optional
	RecordOpens bool `json:"recordOpens,omitempty"`

	// pushEnabled says whether the company's users receive push notifications. If it is
	// false, rules of the channel push send nothing, but in-app copies are still stored.
	// +optional
	// +kubebuilder:default=true
	PushEnabled *bool `json:"pushEnabled,omitempty"`

	// companyInfo overrides the platform's data about the company, in templates and in the
	// API. Unset fields have the platform's values.
	// +optional
	CompanyInfo CompanyProfile `json:"companyInfo,omitzero"`

	// bimiSelector is the value of the header BIMI-Selector in the company's emails, such as
	// "v=BIMI1; s=default", or the selector alone, such as default. Emails don't get the
	// header if it is something else.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="!self.contains('\\n') && !self.contains('\\r')",message="bimiSelector must be one line"
	BIMISelector string `json:"bimiSelector,omitempty"`
}

// CompanyProfile is how a company presents itself.
type CompanyProfile struct {
	// name is the company's display name.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name,omitempty"`

	// website is the URL of the company's website.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Website string `json:"website,omitempty"`

	// systemEmail is the sender of the company's messages. The operator decides whether the
	// company may use its domain; see senderDomains.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	SystemEmail string `json:"systemEmail,omitempty"`

	// supportEmail is the address at which customers get help.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	SupportEmail string `json:"supportEmail,omitempty"`

	// contactEmail is the address for other enquiries.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	ContactEmail string `json:"contactEmail,omitempty"`

	// logo is the URL of the company's logo.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Logo string `json:"logo,omitempty"`

	// icon is the URL of the company's icon.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Icon string `json:"icon,omitempty"`
}

// CompanyQuotas limit a company's messages by channel. Days are in UTC. A quota that is
// unset or higher than the operator's limit (--quotas) has the operator's limit.
type CompanyQuotas struct {
	// email limits emails.
	// +optional
	Email *ChannelQuota `json:"email,omitempty"`

	// sms limits SMS.
	// +optional
	SMS *SMSQuota `json:"sms,omitempty"`

	// push limits push messages.
	// +optional
	Push *ChannelQuota `json:"push,omitempty"`
}

// ChannelQuota limits the messages on a channel.
type ChannelQuota struct {
	// perDay is the maximum number of messages that the company may send per day.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	PerDay *int64 `json:"perDay,omitempty"`

	// perRecipient is the maximum number of messages per day to one recipient.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	PerRecipient *int64 `json:"perRecipient,omitempty"`
}

// SMSQuota limits SMS.
type SMSQuota struct {
	ChannelQuota `json:",inline"`

	// perCountry is the maximum number of SMS per day to one country.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	PerCountry *int64 `json:"perCountry,omitempty"`

	// countries are the ISO 3166 codes, such as ZA, of the countries to which SMS may be
	// sent. It defaults to all countries that the operator allows.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=250
	// +kubebuilder:validation:items:MaxLength=2
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Z]{2}$')",message="must be an ISO 3166 country code of two capitals, such as ZA"
	Countries []string `json:"countries,omitempty"`
}

// DeliveryProviderReference names a DeliveryProvider in the same namespace.
type DeliveryProviderReference struct {
	// name is the metadata.name of the DeliveryProvider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Name string `json:"name"`

	// fallbacks name further DeliveryProviders, in the same namespace and for the same
	// channel, in order of preference. A message is sent by the first one that can send it:
	// one that keeps failing, has reached its rate or is misconfigured is passed over.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Fallbacks []string `json:"fallbacks,omitempty"`
}

// CompanyProviders are the DeliveryProviders of a company, by channel.
type CompanyProviders struct {
	// email names the DeliveryProvider that sends the company's emails.
	// +optional
	Email *DeliveryProviderReference `json:"email,omitempty"`

	// sms names the DeliveryProvider that sends the company's SMS.
	// +optional
	SMS *DeliveryProviderReference `json:"sms,omitempty"`

	// push names the DeliveryProvider that sends the company's push notifications.
	// +optional
	Push *DeliveryProviderReference `json:"push,omitempty"`
}

// For returns the name of a channel's DeliveryProvider, empty if there is none.
func (p *CompanyProviders) For(channel Channel) string {
	if reference := p.reference(channel); reference != nil {
		return reference.Name
	}
	return ""
}

// All returns the names of a channel's DeliveryProviders in order of preference.
func (p *CompanyProviders) All(channel Channel) []string {
	reference := p.reference(channel)
	switch {
	case reference == nil:
		return nil
	case len(reference.Fallbacks) == 0:
		return []string{reference.Name}
	}
	return append([]string{reference.Name}, reference.Fallbacks...)
}

// Several reports whether a channel has more than one DeliveryProvider.
func (p *CompanyProviders) Several(channel Channel) bool {
	reference := p.reference(channel)
	return reference != nil && len(reference.Fallbacks) > 0
}

func (p *CompanyProviders) reference(channel Channel) *DeliveryProviderReference {
	switch channel {
	case ChannelEmail:
		return p.Email
	case ChannelSMS:
		return p.SMS
	case ChannelPush:
		return p.Push
	}
	return nil
}

// CompanyInfo is the company's data on Rehive.
type CompanyInfo struct {
	CompanyProfile `json:",inline"`

	// mode is "test" or "production".
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Mode string `json:"mode,omitempty"`
}

// RegisteredWebhook is a webhook that is registered on the platform for this company.
type RegisteredWebhook struct {
	// event is the platform event that the webhook sends.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	Event string `json:"event"`

	// id is the webhook's number on the platform.
	// +required
	ID int64 `json:"id"`
}

// CompanyActivationStatus is what was observed of a company's activation.
type CompanyActivationStatus struct {
	// conditions are:
	//
	// Ready: the company is active, its token is valid and its webhooks are registered.
	// TokenValid: Rehive accepted the token at the last check.
	// WebhooksRegistered: Rehive has a webhook for each event that an enabled rule names.
	// ProvidersResolved: each DeliveryProvider in spec.providers exists and serves its channel.
	// SenderDomainReady: the domain of the company's system email has SPF and DMARC records, and
	// the DKIM keys of its email providers as far as their selectors are known.
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

	// companyInfo is the company's data as Rehive last returned it.
	// +optional
	CompanyInfo CompanyInfo `json:"companyInfo,omitzero"`

	// serviceUser is the identifier of the platform user whose token is stored.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ServiceUser string `json:"serviceUser,omitempty"`

	// secretName is the Secret, owned by this object, that holds the service
	// token and the webhook secret.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// token says since when the stored token is in use and when Rehive is expected to replace
	// it. It never contains the token.
	// +optional
	Token TokenStatus `json:"token,omitzero"`

	// webhooks are the enabled webhooks of this extension on the platform, one for each
	// event, including those that no rule needs and the platform refuses to delete.
	// +optional
	// +listType=map
	// +listMapKey=event
	// +kubebuilder:validation:MaxItems=256
	Webhooks []RegisteredWebhook `json:"webhooks,omitempty"`

	// unknownEvents are the events that enabled rules name and Rehive does not know.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=100
	UnknownEvents []string `json:"unknownEvents,omitempty"`

	// defaultRules are the names of the default rules that the company has received.
	// Each is created once: one that an admin deletes is not created again.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	DefaultRules []string `json:"defaultRules,omitempty"`

	// lastHandledRequestedAt is the value of the annotation
	// extensions.rehive.com/requested-at that the operator last acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LastHandledRequestedAt string `json:"lastHandledRequestedAt,omitempty"`

	// activity is the outcome of the company's messages. It is updated about once a minute,
	// and later if very many companies are active.
	// +optional
	Activity CompanyActivity `json:"activity,omitzero"`
}

// TokenRotationPeriod is how often Rehive replaces the tokens of extensions that are
// configured for rotation (Rehive's documentation of extensions, "Requirements").
const TokenRotationPeriod = 8 * 24 * time.Hour

// TokenStatus is what is known about a service user's token. Rehive alone decides when it
// replaces a token.
type TokenStatus struct {
	// receivedTime is when Rehive sent the token that is in use. It is unset if the token
	// was entered manually or stored by a version that did not record the time.
	// +optional
	ReceivedTime *metav1.Time `json:"receivedTime,omitempty"`

	// lastRotationTime is when Rehive last replaced the token through /api/rotate/. It is
	// unset if Rehive has never done so for this company.
	// +optional
	LastRotationTime *metav1.Time `json:"lastRotationTime,omitempty"`

	// nextRotationTime is when Rehive is expected to replace the token: eight days after it
	// sent the current one. It is unset until Rehive has rotated the company's token once,
	// because only Rehive knows whether the extension is configured for rotation.
	// +optional
	NextRotationTime *metav1.Time `json:"nextRotationTime,omitempty"`
}

// CompanyActivity is the outcome of the messages of a company.
type CompanyActivity struct {
	// pending is how many messages wait to be sent.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Pending int64 `json:"pending,omitempty"`

	// sentLastDay is how many messages were sent in the last 24 hours, by whole hours.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SentLastDay int64 `json:"sentLastDay,omitempty"`

	// failedLastDay is how many messages failed or were quarantined in the last 24 hours.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailedLastDay int64 `json:"failedLastDay,omitempty"`

	// charged are the messages that count towards the company's quotas of today (UTC), by
	// channel. Channels without a quota are not counted.
	// +optional
	// +listType=map
	// +listMapKey=channel
	// +kubebuilder:validation:MaxItems=8
	Charged []ChargedMessages `json:"charged,omitempty"`

	// quotaUse summarizes charged for people, such as "email 120/1000000, sms 30/10000".
	// +optional
	// +kubebuilder:validation:MaxLength=256
	QuotaUse string `json:"quotaUse,omitempty"`

	// observedTime is when the operator last wrote these fields.
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`
}

// ChargedMessages is how many messages count towards a quota.
type ChargedMessages struct {
	// channel is that of the messages.
	// +required
	Channel Channel `json:"channel"`

	// messages is how many there are.
	// +required
	// +kubebuilder:validation:Minimum=0
	Messages int64 `json:"messages"`

	// limit is how many the company may send per day: the lower one of spec.quotas and the
	// operator's limit. It is unset if there is none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Limit *int64 `json:"limit,omitempty"`
}

// CompanyActivation represents a company on Rehive that uses this extension. The operator
// creates one when an admin activates the extension. A platform team can also declare it
// beforehand, in the namespace for the company's rules.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cact,categories=rehive
// +kubebuilder:selectablefield:JSONPath=".spec.company"
// +kubebuilder:printcolumn:name="Company",type=string,JSONPath=`.spec.company`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Pending",type=integer,priority=1,JSONPath=`.status.activity.pending`
// +kubebuilder:printcolumn:name="Sent",type=integer,priority=1,JSONPath=`.status.activity.sentLastDay`
// +kubebuilder:printcolumn:name="Failed",type=integer,priority=1,JSONPath=`.status.activity.failedLastDay`
// +kubebuilder:printcolumn:name="Quotas",type=string,priority=1,JSONPath=`.status.activity.quotaUse`
// +kubebuilder:printcolumn:name="Token Age",type=date,priority=1,JSONPath=`.status.token.receivedTime`
// +kubebuilder:printcolumn:name="Next Rotation",type=string,priority=1,JSONPath=`.status.token.nextRotationTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name must not be longer than 63 characters"
type CompanyActivation struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state.
	// +required
	Spec CompanyActivationSpec `json:"spec"`

	// status is the observed state.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status CompanyActivationStatus `json:"status,omitzero"`
}

// IsActive reports whether the company uses the extension. An empty state, as in an
// object that was never defaulted by the API server, is Active.
func (a *CompanyActivation) IsActive() bool {
	return a.Spec.State != ActivationInactive && a.DeletionTimestamp.IsZero()
}

// IsPushEnabled reports whether the company's users receive push notifications. An unset
// spec.pushEnabled is true.
func (a *CompanyActivation) IsPushEnabled() bool {
	return a.Spec.PushEnabled == nil || *a.Spec.PushEnabled
}

// Profile returns how the company presents itself: the fields of spec.companyInfo, and
// the platform's values for those that are unset. Templates read it as context.company.
// It proves nothing about the ownership of a domain, because admins of the company
// write it.
func (a *CompanyActivation) Profile() CompanyProfile {
	own, platform := &a.Spec.CompanyInfo, &a.Status.CompanyInfo.CompanyProfile
	return CompanyProfile{
		Name:         cmp.Or(own.Name, platform.Name),
		Website:      cmp.Or(own.Website, platform.Website),
		SystemEmail:  cmp.Or(own.SystemEmail, platform.SystemEmail),
		SupportEmail: cmp.Or(own.SupportEmail, platform.SupportEmail),
		ContactEmail: cmp.Or(own.ContactEmail, platform.ContactEmail),
		Logo:         cmp.Or(own.Logo, platform.Logo),
		Icon:         cmp.Or(own.Icon, platform.Icon),
	}
}

var (
	bimiHeader   = regexp.MustCompile(`^v=BIMI1; ?s=([A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?);?$`)
	bimiSelector = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)
)

// BIMIHeader returns the value of the header BIMI-Selector for a spec.bimiSelector: a whole
// value, such as "v=BIMI1; s=default", or a selector alone. It is empty if there is none, and
// ok is false if the text is neither.
func BIMIHeader(text string) (value string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", true
	}
	selector := text
	if match := bimiHeader.FindStringSubmatch(text); match != nil {
		selector = match[1]
	} else if !bimiSelector.MatchString(text) {
		return "", false
	}
	return "v=BIMI1; s=" + selector + ";", true
}

// GetConditions returns the conditions of the status.
func (a *CompanyActivation) GetConditions() []metav1.Condition { return a.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (a *CompanyActivation) SetConditions(conditions []metav1.Condition) {
	a.Status.Conditions = conditions
}

// CompanyActivationList is a list of CompanyActivation.
//
// +kubebuilder:object:root=true
type CompanyActivationList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []CompanyActivation `json:"items"`
}
