// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types that every kind has.
const (
	// ReadyCondition is True when the object does what its spec asks.
	ReadyCondition = "Ready"
	// StalledCondition is True when something is wrong that retrying won't fix:
	// a person must change the object, or what it refers to. It is absent
	// otherwise.
	StalledCondition = "Stalled"
)

// Condition types of a CompanyActivation.
const (
	// TokenValidCondition is True when the platform accepted the service token
	// at the last look.
	TokenValidCondition = "TokenValid"
	// WebhooksRegisteredCondition is True when the platform has one webhook, with
	// the right secret, for each event that an enabled rule names.
	WebhooksRegisteredCondition = "WebhooksRegistered"
	// ProvidersResolvedCondition is True when each DeliveryProvider that
	// spec.providers names is there and serves the channel. Messages of a channel
	// whose provider isn't wait; the company is Ready nevertheless.
	ProvidersResolvedCondition = "ProvidersResolved"
)

// Condition types of a NotificationRule.
const (
	// TemplatesParsedCondition is True when every template of the rule parses.
	TemplatesParsedCondition = "TemplatesParsed"
	// ExpressionParsedCondition is True when the rule's expression parses, as far
	// as it can be told without an event.
	ExpressionParsedCondition = "ExpressionParsed"
	// WarningsCondition is True when something in the rule is valid, but probably not what
	// its author meant. It is absent otherwise. The rule is in force nevertheless.
	WarningsCondition = "Warnings"
)

// Reasons of a CompanyActivation's conditions.
const (
	// ActiveReason: the company is active, its token is valid and its webhooks
	// are registered.
	ActiveReason = "Active"
	// InactiveReason: the company was deactivated on the platform.
	InactiveReason = "Inactive"
	// AwaitingActivationReason: the object was declared, but the platform has
	// not called /activate/ yet, so there is no token.
	AwaitingActivationReason = "AwaitingActivation"
	// SecretMissingReason: the Secret with the token or the webhook secret is
	// gone; a new activation or token rotation brings it back.
	SecretMissingReason = "SecretMissing"
	// TokenAcceptedReason: the platform accepted the token.
	TokenAcceptedReason = "TokenAccepted"
	// TokenRefusedReason: the platform refused the token (401 or 403), or it
	// belongs to another company or to a user outside admin and service.
	TokenRefusedReason = "TokenRefused"
	// RegisteredReason: every webhook stands.
	RegisteredReason = "Registered"
	// RefusedReason: the platform refused a registration; a person must do
	// what the message says: grant a missing permission, for example.
	RefusedReason = "Refused"
	// UnknownEventReason: the platform knows no event of the name that a rule
	// has. The other webhooks stand nevertheless.
	UnknownEventReason = "UnknownEvent"
	// PlatformUnavailableReason: the platform did not answer, answered with an
	// error of its own, or throttled; it is tried again.
	PlatformUnavailableReason = "PlatformUnavailable"
	// DuplicateCompanyReason: an older CompanyActivation holds the same company. If it
	// goes, the company must be activated again on the platform.
	DuplicateCompanyReason = "DuplicateCompany"
	// NamespaceNotAllowedReason: the operator's configuration (--activation-namespaces)
	// doesn't let the namespace hold the company. The activation is ignored and never
	// receives a token.
	NamespaceNotAllowedReason = "NamespaceNotAllowed"
	// SecretUnusableReason: the Secret with the activation's name belongs to something
	// else, or is immutable; the message says what to do.
	SecretUnusableReason = "SecretUnusable"
	// NamespaceTerminatingReason: the namespace is being deleted, so nothing can be
	// created in it.
	NamespaceTerminatingReason = "NamespaceTerminating"
	// PurgePendingReason: the company was removed from the platform; its data is deleted
	// when the grace period ends, unless it is activated again before.
	PurgePendingReason = "PurgePending"
	// ResolvedReason: every DeliveryProvider that spec.providers names is there.
	ResolvedReason = "Resolved"
	// DeliveryProviderNotFoundReason: spec.providers names no DeliveryProvider of
	// the activation's namespace.
	DeliveryProviderNotFoundReason = "DeliveryProviderNotFound"
	// WrongChannelReason: spec.providers names a DeliveryProvider of another channel.
	WrongChannelReason = "WrongChannel"
)

// Reasons of a NotificationRule's conditions.
const (
	// ParsedReason: everything the condition speaks of parses.
	ParsedReason = "Parsed"
	// SyntaxErrorReason: something does not parse; the message has field, line
	// and column.
	SyntaxErrorReason = "SyntaxError"
	// CompanyActivationNotFoundReason: spec.companyRef names no
	// CompanyActivation of the rule's namespace.
	CompanyActivationNotFoundReason = "CompanyActivationNotFound"
	// LayoutNotFoundReason: spec.email.layoutRef names no NotificationLayout of the
	// rule's namespace.
	LayoutNotFoundReason = "LayoutNotFound"
	// LayoutInvalidReason: the NotificationLayout of spec.email.layoutRef has a
	// mistake, which its own conditions tell.
	LayoutInvalidReason = "LayoutInvalid"
	// NoProviderReason: the company names no DeliveryProvider for the rule's channel, and
	// the operator has no default one.
	NoProviderReason = "NoProvider"
	// NoEventReason: spec.event is empty, so nothing triggers the rule.
	NoEventReason = "NoEvent"
	// ValidReason: the rule is in force, or will be once the company is activated.
	ValidReason = "Valid"
	// ProbableMistakesReason: the message says what is probably a mistake, with field, line
	// and column.
	ProbableMistakesReason = "ProbableMistakes"
	// DisabledReason: the rule is valid but spec.enabled is false.
	DisabledReason = "Disabled"
)

// Reasons of a DeliveryProvider's conditions. Another is the provider's own word
// for why it can't be used, such as CredentialsRefused or MissingScope.
const (
	// VerifiedReason: the provider answered and accepted the credentials.
	VerifiedReason = "Verified"
	// ConfiguredReason: the configuration is complete; the provider offers nothing
	// to try it with but sending.
	ConfiguredReason = "Configured"
	// SecretNotFoundReason: spec.secretRef names no Secret of this namespace with
	// the label extensions.rehive.com/provider.
	SecretNotFoundReason = "SecretNotFound"
	// HostNotAllowedReason: the Secret doesn't allow its credentials to be sent to the
	// host that the spec names.
	HostNotAllowedReason = "HostNotAllowed"
	// InvalidConfigurationReason: the spec and the Secret don't make a provider; the
	// message says why.
	InvalidConfigurationReason = "InvalidConfiguration"
	// ProviderUnavailableReason: the provider did not answer, or with an error of
	// its own; it is tried again.
	ProviderUnavailableReason = "ProviderUnavailable"
)
