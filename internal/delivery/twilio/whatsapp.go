// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package twilio

import (
	"net/url"
	"strings"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// whatsAppPrefix marks an address that is reached through WhatsApp.
const whatsAppPrefix = "whatsapp:"

// useWhatsApp changes the form of a message so that its content template is sent through
// WhatsApp. A messaging service chooses its WhatsApp sender by the recipient's address.
func useWhatsApp(form url.Values, m *provider.Message) error {
	if !strings.HasPrefix(m.SMS.ContentSID, "HX") || !sidForm.MatchString(m.SMS.ContentSID) {
		return provider.Permanent("ContentTemplateRefused", "The SID of the content template must be HX and 32 hexadecimal digits.")
	}
	if from := form.Get("From"); from != "" {
		if !strings.HasPrefix(from, "+") {
			return provider.Misconfigured("SenderRefused", "WhatsApp needs a phone number or a messaging service as the sender: set spec.sender of the DeliveryProvider to one.")
		}
		form.Set("From", whatsAppPrefix+from)
	}
	form.Set("To", whatsAppPrefix+form.Get("To"))
	form.Set("ContentSid", m.SMS.ContentSID)
	if m.SMS.ContentVariables != "" {
		form.Set("ContentVariables", m.SMS.ContentVariables)
	}
	return nil
}
