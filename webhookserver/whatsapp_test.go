// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

const (
	contentSID = "HX0123456789abcdef0123456789abcdef"
	otp        = `{"name":"Code","type":"sms","event":"user.create","to_mobile":"{{ mobile }}","sms_message":"Your code is {{ otp }}"}`
)

// TestWhatsAppNotifications checks that notifications through WhatsApp and Twilio Verify
// have the same fields in the API and in the rule.
func TestWhatsAppNotifications(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	rule := func() *v1alpha1.NotificationRule {
		rules := f.storedRules()
		f.Expect(rules).To(gomega.HaveLen(1))
		return &rules[0]
	}
	body := strings.TrimSuffix(otp, "}") + `,"whatsapp_content_sid":"` + contentSID + `","whatsapp_content_variables":{"1":"{{ first_name }}","2":5}}`
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", body, 201)
	f.Expect(created).To(gomega.And(
		gomega.HaveKeyWithValue("whatsapp_content_sid", contentSID), gomega.HaveKeyWithValue("use_twilio_verify", false),
		gomega.HaveKeyWithValue("whatsapp_content_variables", map[string]any{"1": "{{ first_name }}", "2": "5"}),
	))
	f.Expect(rule().Spec.SMS.WhatsApp).To(gomega.Equal(&v1alpha1.WhatsAppTemplate{
		ContentSID: contentSID, ContentVariables: map[string]string{"1": "{{ first_name }}", "2": "5"},
	}))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", created["id"])
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.Equal(created))

	// Switching to another channel and back keeps the fields.
	f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"email","to_email":"{{ email }}","subject":"Code","text_message":"Hi"}`, 200)
	f.Expect(rule().Spec.SMS).To(gomega.BeNil())
	back := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"sms"}`, 200)
	for _, field := range []string{"whatsapp_content_sid", "whatsapp_content_variables"} {
		f.Expect(back).To(gomega.HaveKeyWithValue(field, created[field]))
	}

	verified := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"whatsapp_content_sid":null,"whatsapp_content_variables":null,"use_twilio_verify":true}`, 200)
	f.Expect(verified).To(gomega.And(
		gomega.HaveKeyWithValue("whatsapp_content_sid", gomega.BeNil()), gomega.HaveKeyWithValue("whatsapp_content_variables", gomega.BeNil()),
		gomega.HaveKeyWithValue("use_twilio_verify", true),
	))
	f.Expect(rule().Spec.SMS.WhatsApp).To(gomega.BeNil())
	f.Expect(rule().Spec.SMS.UseTwilioVerify).To(gomega.BeTrue())

	preview := f.call(f.admin.Token, "POST", path+"preview/", `{"data":{"mobile":"+27820000001","otp":"1234"}}`)
	f.Expect(preview.status).To(gomega.Equal(200), preview.String())

	for _, test := range []struct{ change, field, message string }{
		{`"whatsapp_content_sid":"` + contentSID + `"`, "use_twilio_verify", "A notification is sent through WhatsApp or through Twilio Verify, not both."},
		{`"whatsapp_content_sid":"` + contentSID + `0"`, "whatsapp_content_sid", "Ensure this field has no more than 34 characters."},
		{`"use_twilio_verify":false,"whatsapp_content_sid":"AC0123456789abcdef0123456789abcdef"`, "whatsapp_content_sid", ""},
		{`"whatsapp_content_variables":{"1":"a"}`, "whatsapp_content_sid", "The values of a content template need its SID."},
		{`"whatsapp_content_variables":["a"]`, "whatsapp_content_variables", `Expected a dictionary of items but got type "list".`},
		{`"whatsapp_content_variables":{"1":{}}`, "whatsapp_content_variables", "The values of this dictionary must be strings or numbers."},
		{`"use_twilio_verify":false,"whatsapp_content_sid":"` + contentSID + `","whatsapp_content_variables":{"1":"{% if %}"}`, "whatsapp_content_variables", "Line 1, column 1: "},
		{`"use_twilio_verify":false,"whatsapp_content_sid":"` + contentSID + `","whatsapp_content_variables":{"a b":"c"}`, "whatsapp_content_variables", ""},
	} {
		r := f.call(f.admin.Token, "PATCH", path, "{"+test.change+"}")
		f.Expect(r.status).To(gomega.Equal(400), test.change+": "+r.String())
		var refused struct {
			Data map[string][]string `json:"data"`
		}
		f.Expect(json.Unmarshal([]byte(r.body), &refused)).To(gomega.Succeed())
		f.Expect(refused.Data).To(gomega.HaveKey(test.field), r.body)
		f.Expect(refused.Data[test.field][0]).To(gomega.HavePrefix(test.message))
	}
}
