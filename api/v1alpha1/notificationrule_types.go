// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CompanyActivationReference names a CompanyActivation in the same namespace.
type CompanyActivationReference struct {
	// name is the metadata.name of the CompanyActivation.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Name string `json:"name"`
}

// NotificationLayoutReference names a NotificationLayout in the same namespace.
type NotificationLayoutReference struct {
	// name is the metadata.name of the NotificationLayout.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Name string `json:"name"`
}

// NotificationTemplateReference names a NotificationTemplate in the operator's
// namespace.
type NotificationTemplateReference struct {
	// name is the metadata.name of the NotificationTemplate.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Name string `json:"name"`
}

// EmailMessage is an email. Its strings are Django templates. They read the event's
// data, and the variables context and computed.
type EmailMessage struct {
	// to is a Django template that renders the recipients: one or more email addresses
	// separated by commas. Each recipient receives a separate message. At most 4096
	// characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	To string `json:"to"`

	// toUser is a Django template that renders the Rehive identifier of the user whom the
	// message is about: the user whose preferences apply and who receives the in-app
	// copy. It defaults to the user of the event, such as {{ user.id }}. At most 4096
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	ToUser string `json:"toUser,omitempty"`

	// from is a Django template that renders the sender: one email address, with or
	// without a display name. It defaults to the company's system email. At most 4096
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	From string `json:"from,omitempty"`

	// subject is a Django template that renders the subject. Line breaks become spaces.
	// At most 4096 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	Subject string `json:"subject"`

	// html is a Django template that renders the HTML part. Variables are escaped for
	// HTML, as in Django. At most 262144 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	HTML string `json:"html,omitempty"`

	// text is a Django template that renders the plain text part, which every email must
	// have. Variables are not escaped. At most 262144 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	Text string `json:"text"`

	// layoutRef names the NotificationLayout, in the same namespace and for the channel
	// email, that html and text are wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// WhatsAppTemplate is a content template of the company's Twilio account, which Twilio
// sends through WhatsApp instead of an SMS.
type WhatsAppTemplate struct {
	// contentSid is the SID of the content template at Twilio: HX and 32 hexadecimal
	// digits. WhatsApp must have approved the template.
	// +required
	// +kubebuilder:validation:MinLength=34
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self.matches('^HX[0-9a-fA-F]{32}$')",message="must be the SID of a Twilio content template: HX and 32 hexadecimal digits"
	ContentSID string `json:"contentSid"`

	// contentVariables are the values of the template's placeholders, by the name or number
	// of the placeholder, such as "1" for {{1}}. Each value is a Django template that reads
	// the event's data, and the variables context and computed. Variables are not escaped.
	// At most 32 placeholders, each with a value of at most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[A-Za-z0-9_]{1,32}$'))",message="names of placeholders must be 1 to 32 letters, digits and underscores"
	// +kubebuilder:validation:XValidation:rule="self.all(name, self[name].size() <= 1024)",message="values must not be longer than 1024 characters"
	ContentVariables map[string]string `json:"contentVariables,omitempty"`
}

// SMSMessage is an SMS. Its strings other than defaultRegion are Django templates. They
// read the event's data, and the variables context and computed.
// +kubebuilder:validation:XValidation:rule="!(has(self.whatsApp) && has(self.useTwilioVerify) && self.useTwilioVerify)",message="whatsApp and useTwilioVerify can't be combined"
type SMSMessage struct {
	// to is a Django template that renders the recipients: one or more phone numbers
	// separated by commas. Each recipient receives a separate message. Numbers must be
	// international, such as +27840000000, unless defaultRegion is set. At most 4096
	// characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	To string `json:"to"`

	// toUser is a Django template that renders the Rehive identifier of the user whom the
	// message is about: the user whose preferences apply and who receives the in-app
	// copy. It defaults to the user of the event, such as {{ user.id }}. At most 4096
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	ToUser string `json:"toUser,omitempty"`

	// defaultRegion is the country of phone numbers without a country code: an ISO 3166
	// code of two capitals, such as ZA. Without it, such numbers are refused.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Z]{2})?$')",message="must be an ISO 3166 country code of two capitals, such as ZA"
	// +kubebuilder:validation:MaxLength=2
	DefaultRegion string `json:"defaultRegion,omitempty"`

	// message is a Django template that renders the text. Variables are not escaped. With
	// whatsApp, the text is that of the log and the in-app copy. At most 16384 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	Message string `json:"message"`

	// layoutRef names the NotificationLayout, in the same namespace and for the same
	// channel, that the message is wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`

	// whatsApp sends a content template through WhatsApp instead of the text. The
	// company's DeliveryProvider for SMS must be of the type twilio, and its sender a
	// number that is enabled for WhatsApp or a messaging service that has one.
	// +optional
	WhatsApp *WhatsAppTemplate `json:"whatsApp,omitempty"`

	// useTwilioVerify sends the one-time code in the message through Twilio Verify, which
	// generates the text itself. The message must render exactly one number of 4 to 10
	// digits, and the company's DeliveryProvider for SMS must set twilio.verifyServiceSid.
	// It defaults to false.
	// +optional
	UseTwilioVerify bool `json:"useTwilioVerify,omitempty"`
}

// PushMessage is a push notification. Its strings are Django templates. They read the
// event's data, and the variables context and computed.
type PushMessage struct {
	// toUser is a Django template that renders the recipients: one or more Rehive
	// identifiers of users, separated by commas. Each user receives a separate message, on
	// all of their devices. At most 4096 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	ToUser string `json:"toUser"`

	// title is a Django template that renders the title. Line breaks become spaces. At
	// most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Title string `json:"title,omitempty"`

	// message is a Django template that renders the text. Variables are not escaped. At
	// most 16384 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	Message string `json:"message"`

	// layoutRef names the NotificationLayout, in the same namespace and for the same
	// channel, that the message is wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// SystemMessage is an in-app message. Its strings are Django templates. They read the
// event's data, and the variables context and computed.
type SystemMessage struct {
	// toUser is a Django template that renders the recipients: one or more Rehive
	// identifiers of users, separated by commas. Each user receives a separate message. At
	// most 4096 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	ToUser string `json:"toUser"`

	// title is a Django template that renders the title. Line breaks become spaces. At
	// most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Title string `json:"title,omitempty"`

	// message is a Django template that renders the text. Variables are not escaped. At
	// most 16384 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	Message string `json:"message"`

	// layoutRef names the NotificationLayout, in the same namespace and for the same
	// channel, that the message is wrapped in.
	// +optional
	LayoutRef *NotificationLayoutReference `json:"layoutRef,omitempty"`
}

// MaxDigestPeriod is the longest period of a throttle with a digest. The digest needs the data of
// the collected events, which the ledger keeps for at least a day longer than that.
const MaxDigestPeriod = 144 * time.Hour

// Throttle limits how many of a rule's messages one recipient receives in a period, which
// begins with the first of them. Further messages are not sent, or are collected in a digest.
//
// +kubebuilder:validation:XValidation:rule="!has(self.digest) || !self.per.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || duration(self.per) <= duration('144h')",message="per must be at most 144h with a digest: the ledger may have deleted the data of older events",fieldPath=".per"
type Throttle struct {
	// messages is how many messages a recipient receives in a period, from 1 to 1000.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Messages int32 `json:"messages"`

	// per is the length of the period, from 1m to 720h.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$')",message="must be a duration in hours, minutes and seconds, such as 10m or 24h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || (duration(self) >= duration('1m') && duration(self) <= duration('720h'))",message="must be from 1m to 720h"
	Per string `json:"per"`

	// digest collects the messages beyond the limit. At the end of the period, the recipient
	// receives one message about all of them. Without it, they are not sent.
	// +optional
	Digest *Digest `json:"digest,omitempty"`
}

// Digest is the message about everything that a throttle collected for a recipient. It has the
// channel, sender, layout and validity of the rule. Its strings are Django templates. Like the
// rule's own templates, they read the data of an event, the last one listed, and the variables
// context and computed. They also read the variable digest: digest.items is a list of the data of
// the first 100 collected events, or of fewer if they are large, digest.count is how many messages
// were collected, and digest.omitted is how many of those are not in the list.
type Digest struct {
	DigestTexts `json:",inline"`

	// translations are the texts in other languages, chosen by the language of the user whom
	// the message is about. At most 32.
	// +optional
	// +listType=map
	// +listMapKey=language
	// +kubebuilder:validation:MaxItems=32
	Translations []DigestTranslation `json:"translations,omitempty"`
}

// DigestTexts are the texts of a digest.
type DigestTexts struct {
	// subject is a Django template that renders the subject of an email, or the title of a
	// push or in-app message. It is required for emails, and can't be set for SMS. At most
	// 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Subject string `json:"subject,omitempty"`

	// text is a Django template that renders the plain text. Variables are not escaped. At
	// most 65536 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	Text string `json:"text"`

	// html is a Django template that renders the HTML part of an email. Variables are escaped
	// for HTML, as in Django. At most 65536 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	HTML string `json:"html,omitempty"`
}

// DigestTranslation holds the texts of a digest in one language. A text that it leaves out is
// the digest's own.
type DigestTranslation struct {
	// language is the language of the texts: a BCP 47 language tag, such as fr or pt-BR.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$')",message="must be a language tag, such as fr or pt-BR"
	Language string `json:"language"`

	// subject translates the subject or title. At most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Subject string `json:"subject,omitempty"`

	// text translates the plain text. At most 65536 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Text string `json:"text,omitempty"`

	// html translates the HTML part of an email. At most 65536 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	HTML string `json:"html,omitempty"`
}

// Period returns the length of the period; 0 if it doesn't parse, which the schema excludes.
func (t *Throttle) Period() time.Duration {
	period, err := time.ParseDuration(t.Per)
	if err != nil {
		return 0
	}
	return period
}

// NotificationSpec defines when a message is sent, to whom, and its content. Rules and the
// templates that they are created from have it in common.
//
// +kubebuilder:validation:XValidation:rule="[has(self.email), has(self.sms), has(self.push), has(self.system)].exists_one(isSet, isSet)",message="exactly one channel must be set: email, sms, push or system"
// +kubebuilder:validation:XValidation:rule="!(has(self.system) && has(self.systemEnabled) && self.systemEnabled)",message="systemEnabled can't be set together with system: the message is an in-app message already"
// +kubebuilder:validation:XValidation:rule="!(has(self.sensitive) && self.sensitive && (has(self.system) || has(self.systemEnabled) && self.systemEnabled))",message="sensitive can't be set together with system or systemEnabled: an inbox keeps what it shows"
type NotificationSpec struct {
	// displayName is the name that admins and users see. It need not be unique and is not
	// a template. At most 250 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'\S')`,message="must not be blank"
	DisplayName string `json:"displayName"`

	// description says what the rule is for. It is not a template. At most 4096
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// preferenceEnabled says whether users may opt out of the rule's messages. While it
	// is false, earlier opt-outs have no effect.
	// +optional
	PreferenceEnabled bool `json:"preferenceEnabled,omitempty"`

	// systemEnabled says whether a copy of each message is also stored in the in-app inbox
	// of the user whom it is about. It must not be set together with system.
	// +optional
	SystemEnabled bool `json:"systemEnabled,omitempty"`

	// expiresAfter is how long after the event a message may still be sent, such as 10m or
	// 24h. A message that its provider has not accepted by then is no longer sent. The time
	// counts from when the event was received. 0 means that messages never expire. It is 0,
	// or from 1m to 720h; the default is 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || self == '0'",message="must be a duration in hours, minutes and seconds, such as 10m or 24h, or 0"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || duration(self) == duration('0s') || (duration(self) >= duration('1m') && duration(self) <= duration('720h'))",message="must be 0, or from 1m to 720h"
	ExpiresAfter string `json:"expiresAfter,omitempty"`

	// sensitive says that messages contain something that must not be kept, such as a
	// one-time code or a link to sign in. Once such a message is sent, failed or expired,
	// the ledger masks its texts, and the data of its event; it can't be sent again. It
	// can't be set together with system or systemEnabled, because an inbox keeps what it
	// shows.
	// +optional
	Sensitive bool `json:"sensitive,omitempty"`

	// ignoreSuppressions says that messages are also sent to recipients who reported a
	// message as spam, asked for no more messages or were suppressed by an admin. It is for
	// messages that somebody's security depends on. Addresses that don't exist get no
	// messages in any case.
	// +optional
	IgnoreSuppressions bool `json:"ignoreSuppressions,omitempty"`

	// onUnknownOutcome says what happens to a message that the provider may or may not have
	// accepted, because the connection ended before it answered. Retry sends it once more
	// after some time, so that it may arrive twice; Stop doesn't, so that it may not arrive
	// at all. In both cases a provider that can be asked about the message is asked first.
	// The default is Retry.
	// +optional
	OnUnknownOutcome UnknownOutcomePolicy `json:"onUnknownOutcome,omitempty"`

	// event is the name of the platform event that triggers the rule, such as
	// transaction.execute. A rule without an event can only be triggered manually. At most
	// 100 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z][a-z0-9_]*([.][a-z0-9_]+)*)?$')",message="must be the name of a platform event, such as transaction.execute"
	Event string `json:"event,omitempty"`

	// expression is a Django template that renders a Python expression, such as
	// '{{ status }}' == 'Complete'. The message is sent if it is true. An empty expression
	// is true, and one that fails is false. At most 8192 characters.
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

	// tests are example events with the messages that the rule must send for them. A rule or
	// template with a test that fails is refused when it is applied. The condition TestsPassed
	// of a rule reports tests that fail later. Rules do not receive the tests of the template
	// that they are created from. At most 20.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Tests []RuleTest `json:"tests,omitempty"`
}

// NotificationRuleSpec defines a company's rule.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.sensitive) && self.sensitive && has(self.throttle) && has(self.throttle.digest))",message="throttle.digest can't be set for a sensitive rule: the data of its events is not kept until the end of the period",fieldPath=".throttle.digest"
type NotificationRuleSpec struct {
	// companyRef names the CompanyActivation, in the same namespace, of the company whose
	// events the rule handles. It is immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="companyRef can't be changed: create another rule for the other company"
	CompanyRef CompanyActivationReference `json:"companyRef"`

	// templateRef names the NotificationTemplate, in the operator's namespace, that the
	// rule was created from. Later changes to the template do not change the rule.
	// +optional
	TemplateRef *NotificationTemplateReference `json:"templateRef,omitempty"`

	// enabled says whether the rule sends messages. The operator registers a webhook on
	// Rehive for an event only while an enabled rule handles it.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// throttle limits how many of the rule's messages one recipient receives in a period. The
	// others are not sent, or are collected in a digest. Without it, there is no limit.
	// +optional
	Throttle *Throttle `json:"throttle,omitempty"`

	// mutedUntil is the time until which the rule sends nothing, such as
	// 2026-12-01T08:00:00Z. Messages are then sent again without another change. Events that
	// are evaluated while the rule is muted are not sent later.
	// +optional
	MutedUntil *metav1.Time `json:"mutedUntil,omitempty"`

	// mutedBy says who muted the rule. The admin API sets it to the caller's identifier. At
	// most 250 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=250
	MutedBy string `json:"mutedBy,omitempty"`

	// muteReason says why the rule is muted. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	MuteReason string `json:"muteReason,omitempty"`

	// fallback names another rule that stands in for this one: its message is sent to the same
	// user if the message of this rule fails, is suppressed or expires. At most three rules
	// follow one another.
	// +optional
	Fallback *RuleFallback `json:"fallback,omitempty"`

	NotificationSpec `json:",inline"`
}

// MaxFallbacks is how many rules stand in for one, one after the other.
const MaxFallbacks = 3

// RuleFallback names the rule that stands in for another one.
type RuleFallback struct {
	// name is the metadata.name of a NotificationRule of the same company, in the same
	// namespace. It should not handle the same event itself.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"
	Name string `json:"name"`

	// ifUnreadAfter sends the message of the other rule also if the user has not read the
	// in-app message of this rule so long after it was sent, such as 5m. It is for in-app
	// messages, and for push messages with systemEnabled. From 10s to 24h.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$')",message="must be a duration in hours, minutes and seconds, such as 5m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(s|m|h))+$') || (duration(self) >= duration('10s') && duration(self) <= duration('24h'))",message="must be from 10s to 24h"
	IfUnreadAfter string `json:"ifUnreadAfter,omitempty"`
}

// UnreadTime is how long a message may stay unread; 0 if it need not be read.
func (f *RuleFallback) UnreadTime() time.Duration {
	after, err := time.ParseDuration(f.IfUnreadAfter)
	if err != nil { // it is empty: the schema admits nothing else that doesn't parse
		return 0
	}
	return after
}

// DefaultValidity is the validity of messages whose rule does not set one.
const DefaultValidity = 24 * time.Hour

// Validity is how long after its event a message may be sent; 0 if it never expires.
func (s *NotificationSpec) Validity() time.Duration {
	after, err := time.ParseDuration(s.ExpiresAfter)
	if err != nil { // it is empty: the schema admits nothing else that doesn't parse
		return DefaultValidity
	}
	return after
}

// Muted describes until when, by whom and why the rule is muted, in a sentence without a full
// stop; empty if it never was. It does not consider the current time.
func (s *NotificationRuleSpec) Muted() string {
	if s.MutedUntil.IsZero() {
		return ""
	}
	text := "spec.mutedUntil is " + s.MutedUntil.UTC().Format(time.RFC3339)
	if s.MutedBy != "" {
		text += ", set by " + s.MutedBy
	}
	if s.MuteReason != "" {
		text += ": " + s.MuteReason
	}
	return text
}

// Channel returns the channel that is set, empty if none is.
func (s *NotificationSpec) Channel() Channel {
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
func (s *NotificationSpec) Layout() string {
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
	// conditions are:
	//
	// Ready: the rule parses, and events of its company can trigger it.
	// TemplatesParsed: every template of the rule parses.
	// ExpressionParsed: the expression parses, as far as that can be checked without an event.
	// TestsPassed: present if the rule has tests; False if one of them fails.
	// Warnings: present, and True, if something works but is probably a mistake.
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

	// variables are the variables that the rule's templates and expression read, such as
	// user.email.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	Variables []string `json:"variables,omitempty"`

	// activity is the outcome of the rule's messages. It is updated about once a minute, and
	// later if very many rules are active.
	// +optional
	Activity RuleActivity `json:"activity,omitzero"`
}

// RuleActivity is the outcome of the messages of a rule.
type RuleActivity struct {
	// sentLastDay is how many messages were sent in the last 24 hours, by whole hours.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SentLastDay int64 `json:"sentLastDay,omitempty"`

	// failedLastDay is how many messages failed or were quarantined in the last 24 hours.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailedLastDay int64 `json:"failedLastDay,omitempty"`

	// lastSentTime is when a message was last sent.
	// +optional
	LastSentTime *metav1.Time `json:"lastSentTime,omitempty"`

	// lastFailureTime is when a message last failed.
	// +optional
	LastFailureTime *metav1.Time `json:"lastFailureTime,omitempty"`

	// lastFailureReason is why, in one CamelCase word. kubectl rehive logs shows the message.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	LastFailureReason string `json:"lastFailureReason,omitempty"`

	// observedTime is when the operator last wrote these fields.
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`
}

// NotificationRule sends a message on one channel when an event of its company matches.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=nrule,categories=rehive
// +kubebuilder:selectablefield:JSONPath=".spec.companyRef.name"
// +kubebuilder:selectablefield:JSONPath=".spec.event"
// +kubebuilder:printcolumn:name="Company",type=string,JSONPath=`.spec.companyRef.name`
// +kubebuilder:printcolumn:name="Event",type=string,JSONPath=`.spec.event`
// +kubebuilder:printcolumn:name="Enabled",type=boolean,JSONPath=`.spec.enabled`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Sent",type=integer,priority=1,JSONPath=`.status.activity.sentLastDay`
// +kubebuilder:printcolumn:name="Failed",type=integer,priority=1,JSONPath=`.status.activity.failedLastDay`
// +kubebuilder:printcolumn:name="Last Sent",type=date,priority=1,JSONPath=`.status.activity.lastSentTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NotificationRule struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state.
	// +required
	Spec NotificationRuleSpec `json:"spec"`

	// status is the observed state.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status NotificationRuleStatus `json:"status,omitzero"`
}

// IsEnabled reports whether the rule is enabled and not being deleted. An unset
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

// UnknownOutcomePolicy says what happens to a message whose outcome is unknown.
//
// +kubebuilder:validation:Enum=Retry;Stop
type UnknownOutcomePolicy string

const (
	// RetryUnknownOutcome sends the message once more.
	RetryUnknownOutcome UnknownOutcomePolicy = "Retry"
	// StopUnknownOutcome doesn't.
	StopUnknownOutcome UnknownOutcomePolicy = "Stop"
)
