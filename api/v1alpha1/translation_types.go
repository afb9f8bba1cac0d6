// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// RuleTranslation is the texts of a rule in another language. Those of the rule's own channel
// may be set; a text that is left out stays that of the rule. A user whose language is pt-BR
// gets the translation pt-BR, else pt, else the rule's own texts.
type RuleTranslation struct {
	// language is the language of the texts: a BCP 47 language tag, such as fr or pt-BR.
	// It also decides how dates and numbers are written. At most 35 characters.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$')",message="must be a language tag, such as fr or pt-BR"
	Language string `json:"language"`

	// email holds the texts of an email.
	// +optional
	Email *EmailTranslation `json:"email,omitempty"`

	// sms holds the text of an SMS.
	// +optional
	SMS *SMSTranslation `json:"sms,omitempty"`

	// push holds the texts of a push notification.
	// +optional
	Push *TitledTranslation `json:"push,omitempty"`

	// system holds the texts of an in-app message.
	// +optional
	System *TitledTranslation `json:"system,omitempty"`
}

// EmailTranslation is the texts of an email in another language, which are Django templates.
type EmailTranslation struct {
	// subject is a Django template that renders the subject. At most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Subject string `json:"subject,omitempty"`

	// text is a Django template that renders the plain text part. At most 262144 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	Text string `json:"text,omitempty"`

	// html is a Django template that renders the HTML part. At most 262144 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	HTML string `json:"html,omitempty"`
}

// SMSTranslation is the text of an SMS in another language.
type SMSTranslation struct {
	// message is a Django template that renders the text. At most 16384 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Message string `json:"message,omitempty"`

	// whatsApp is the content template in the language, for a rule that sends through
	// WhatsApp. Twilio's content templates are each in one language.
	// +optional
	WhatsApp *WhatsAppTranslation `json:"whatsApp,omitempty"`
}

// WhatsAppTranslation is what a rule sends through WhatsApp in another language.
type WhatsAppTranslation struct {
	// contentSid is the SID of the content template in the language: HX and 32 hexadecimal
	// digits. It defaults to that of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self.matches('^(HX[0-9a-fA-F]{32})?$')",message="must be the SID of a Twilio content template: HX and 32 hexadecimal digits"
	ContentSID string `json:"contentSid,omitempty"`

	// contentVariables are the values of the placeholders, as in the rule, all of whose
	// values they replace. They default to those of the rule, with dates and numbers as
	// written in the language. At most 32 placeholders, each with a value of at most 1024
	// characters.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[A-Za-z0-9_]{1,32}$'))",message="names of placeholders must be 1 to 32 letters, digits and underscores"
	// +kubebuilder:validation:XValidation:rule="self.all(name, self[name].size() <= 1024)",message="values must not be longer than 1024 characters"
	ContentVariables map[string]string `json:"contentVariables,omitempty"`
}

// TitledTranslation is the texts of a push notification or an in-app message in another
// language, which are Django templates.
type TitledTranslation struct {
	// title is a Django template that renders the title. At most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Title string `json:"title,omitempty"`

	// message is a Django template that renders the text. At most 16384 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Message string `json:"message,omitempty"`
}

// LayoutTranslation is the templates of a layout in another language. It wraps messages in
// that language; a template that is left out stays that of the layout.
type LayoutTranslation struct {
	// language is a BCP 47 language tag, such as fr or pt-BR. At most 35 characters.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$')",message="must be a language tag, such as fr or pt-BR"
	Language string `json:"language"`

	// html wraps the HTML part of an email. At most 262144 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	HTML string `json:"html,omitempty"`

	// text wraps the text of a message. At most 262144 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	Text string `json:"text,omitempty"`
}

// Each calls f with each channel that the translation has texts for.
func (t *RuleTranslation) Each(f func(Channel)) {
	if t.Email != nil {
		f(ChannelEmail)
	}
	if t.SMS != nil {
		f(ChannelSMS)
	}
	if t.Push != nil {
		f(ChannelPush)
	}
	if t.System != nil {
		f(ChannelSystem)
	}
}
