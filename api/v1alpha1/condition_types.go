// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types that every kind has.
const (
	// ReadyCondition is True when the object does what its spec says.
	ReadyCondition = "Ready"
	// StalledCondition is True when something is wrong that retrying won't fix:
	// a person must change the object, or what it refers to. It is absent
	// otherwise.
	StalledCondition = "Stalled"
)

// Condition types of a CompanyActivation.
const (
	// TokenValidCondition is True when the platform accepted the service token
	// at the last check.
	TokenValidCondition = "TokenValid"
	// WebhooksRegisteredCondition is True when the platform has one webhook, with
	// the right secret, for each event that an enabled rule names.
	WebhooksRegisteredCondition = "WebhooksRegistered"
	// ProvidersResolvedCondition is True when each DeliveryProvider that
	// spec.providers names exists and serves the channel. Messages on a channel whose
	// provider is missing stay pending; the company is still Ready.
	ProvidersResolvedCondition = "ProvidersResolved"
	// SenderDomainReadyCondition is True when the domain of the company's system email has SPF
	// and DMARC records, and the DKIM keys whose selectors are known. It is absent if there is
	// no such domain. The company is Ready regardless.
	SenderDomainReadyCondition = "SenderDomainReady"
)

// Condition types of a NotificationRule.
const (
	// TemplatesParsedCondition is True when every template of the rule parses.
	TemplatesParsedCondition = "TemplatesParsed"
	// ExpressionParsedCondition is True when the rule's expression parses, as far
	// as that can be checked without an event.
	ExpressionParsedCondition = "ExpressionParsed"
	// WarningsCondition is True when something in the rule is valid, but probably not what
	// its author meant. It is absent otherwise. The rule is in effect nevertheless.
	WarningsCondition = "Warnings"
	// TestsPassedCondition says whether the tests of a rule pass. It is absent if the rule
	// has none. The rule is in effect regardless.
	TestsPassedCondition = "TestsPassed"
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
	// RegisteringReason: the platform has activated the extension. Its token is being
	// checked and the webhooks are being registered.
	RegisteringReason = "Registering"
	// SecretMissingReason: the Secret does not exist, or lacks the token or the webhook
	// secret. A new activation or token rotation restores it.
	SecretMissingReason = "SecretMissing"
	// TokenAcceptedReason: the platform accepted the token.
	TokenAcceptedReason = "TokenAccepted"
	// TokenRefusedReason: the platform refused the token (401 or 403), or it
	// belongs to another company or to a user outside admin and service.
	TokenRefusedReason = "TokenRefused"
	// RegisteredReason: every webhook is registered.
	RegisteredReason = "Registered"
	// RefusedReason: the platform refused a registration. A person must follow the message,
	// for example grant a missing permission.
	RefusedReason = "Refused"
	// UnknownEventReason: the platform does not know the event that a rule names. The other
	// webhooks are registered.
	UnknownEventReason = "UnknownEvent"
	// PlatformUnavailableReason: the platform did not answer, returned an error of its own,
	// or throttled the operator. The call is retried.
	PlatformUnavailableReason = "PlatformUnavailable"
	// DuplicateCompanyReason: an older CompanyActivation holds the same company. If that one
	// is deleted, the company must be activated again on the platform.
	DuplicateCompanyReason = "DuplicateCompany"
	// NamespaceNotAllowedReason: the operator's configuration (--activation-namespaces)
	// does not allow the namespace to hold the company. The activation is ignored and never
	// receives a token.
	NamespaceNotAllowedReason = "NamespaceNotAllowed"
	// SecretUnusableReason: the Secret with the activation's name belongs to something
	// else, or is immutable; the message says what to do.
	SecretUnusableReason = "SecretUnusable"
	// NamespaceTerminatingReason: the namespace is being deleted, so nothing can be
	// created in it.
	NamespaceTerminatingReason = "NamespaceTerminating"
	// DeletionPendingReason: the object was deleted, but remains until finalizers of other
	// programs are removed. Rules, layouts and DeliveryProviders have it too.
	DeletionPendingReason = "DeletionPending"
	// PurgePendingReason: the company was removed from the platform; its data is deleted
	// when the grace period ends, unless it is activated again before.
	PurgePendingReason = "PurgePending"
	// ResolvedReason: every DeliveryProvider that spec.providers names exists.
	ResolvedReason = "Resolved"
	// DeliveryProviderNotFoundReason: a DeliveryProvider in spec.providers does not exist in
	// the activation's namespace.
	DeliveryProviderNotFoundReason = "DeliveryProviderNotFound"
	// RecordsFoundReason: the domain of the system email has SPF and DMARC records.
	RecordsFoundReason = "RecordsFound"
	// RecordsMissingReason: the message says which records to publish.
	RecordsMissingReason = "RecordsMissing"
	// LookupFailedReason: the records could not be looked up. The lookup is repeated.
	LookupFailedReason = "LookupFailed"
	// LookupPendingReason: the records are being looked up.
	LookupPendingReason = "LookupPending"
	// WrongChannelReason: spec.providers names a DeliveryProvider of another channel.
	WrongChannelReason = "WrongChannel"
)

// Reasons of a NotificationRule's conditions.
const (
	// ParsedReason: everything that the condition covers parses.
	ParsedReason = "Parsed"
	// SyntaxErrorReason: something does not parse; the message has field, line
	// and column.
	SyntaxErrorReason = "SyntaxError"
	// CompanyActivationNotFoundReason: the CompanyActivation in spec.companyRef does not
	// exist in the rule's namespace.
	CompanyActivationNotFoundReason = "CompanyActivationNotFound"
	// LayoutNotFoundReason: the NotificationLayout in layoutRef does not exist in the rule's
	// namespace.
	LayoutNotFoundReason = "LayoutNotFound"
	// LayoutInvalidReason: the NotificationLayout in layoutRef has a mistake, which its own
	// conditions describe.
	LayoutInvalidReason = "LayoutInvalid"
	// NoProviderReason: neither the company nor the operator has a DeliveryProvider for the
	// rule's channel.
	NoProviderReason = "NoProvider"
	// ProviderNotReadyReason: none of the DeliveryProviders for the rule's channel can send; the
	// message says why.
	ProviderNotReadyReason = "ProviderNotReady"
	// NoEventReason: spec.event is empty, so nothing triggers the rule.
	NoEventReason = "NoEvent"
	// ValidReason: the rule is in effect.
	ValidReason = "Valid"
	// ProbableMistakesReason: the message says what is probably a mistake, with field, line
	// and column.
	ProbableMistakesReason = "ProbableMistakes"
	// PassedReason: all tests pass.
	PassedReason = "Passed"
	// TestsFailedReason: the message says which tests fail, and how.
	TestsFailedReason = "TestsFailed"
	// TestsUnfinishedReason: the tests take too long.
	TestsUnfinishedReason = "TestsUnfinished"
	// DisabledReason: the rule is valid but spec.enabled is false.
	DisabledReason = "Disabled"
	// MutedReason: the rule is valid but spec.mutedUntil is in the future.
	MutedReason = "Muted"
)

// Reasons of a DeliveryProvider's conditions. Others are reported by the
// provider, such as CredentialsRefused or MissingScope.
const (
	// VerifiedReason: the provider answered and accepted the credentials.
	VerifiedReason = "Verified"
	// ConfiguredReason: the configuration is complete. The provider has no call to verify it
	// other than sending.
	ConfiguredReason = "Configured"
	// SecretNotFoundReason: the Secret in spec.secretRef does not exist in this namespace, or
	// lacks the label extensions.rehive.com/provider.
	SecretNotFoundReason = "SecretNotFound"
	// HostNotAllowedReason: the Secret does not allow its credentials to be sent to the host
	// in the spec.
	HostNotAllowedReason = "HostNotAllowed"
	// InvalidConfigurationReason: the spec or the Secret is invalid; the message says why.
	InvalidConfigurationReason = "InvalidConfiguration"
	// ProviderUnavailableReason: the provider did not answer, or returned an error of its
	// own. The check is repeated.
	ProviderUnavailableReason = "ProviderUnavailable"
)
