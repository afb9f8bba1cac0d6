// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/config/presets"
)

// TestTranslations checks that a notification's translations are the same in the API and in
// the rule, and that requests that don't name them keep them.
func TestTranslations(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	stored := func() []v1alpha1.RuleTranslation {
		rules := f.storedRules()
		f.Expect(rules).To(gomega.HaveLen(1))
		return rules[0].Spec.Translations
	}
	const french = `"translations":{"fr":{"subject":"Bonjour","text_message":"Salut <b>","html_message":""},"de":{"sms_message":"Hallo"}}`
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", strings.TrimSuffix(welcome, "}")+","+french+"}", 201)
	want := object{"fr": object{"subject": "Bonjour", "text_message": "Salut <b>"}, "de": object{"sms_message": "Hallo"}}
	f.Expect(n).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	f.Expect(stored()).To(gomega.Equal([]v1alpha1.RuleTranslation{{Language: "fr", Email: &v1alpha1.EmailTranslation{Subject: "Bonjour", Text: "Salut <b>"}}}))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", n["id"])
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.Equal(n))

	// A client of Rehive's own API, which doesn't know the field, doesn't remove them.
	f.Expect(f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"subject":"Hi"}`, 200)).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	f.Expect(f.admined("adminNotificationsUpdate", "PUT", path, welcome, 200)).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	f.Expect(stored()).To(gomega.HaveLen(1))

	// A preview shows what is missing.
	got := f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", "", 200)
	f.Expect(got["translations"]).To(gomega.Equal([]any{object{"language": "fr", "missing": []any{"html_message"}}}))
	f.Expect(got["warnings"]).To(gomega.ContainElement(gomega.And(gomega.HaveKeyWithValue("field", "translations"),
		gomega.HaveKeyWithValue("message", "fr, html_message: is missing: users get the rule's own."))))

	// Another type has those texts that it needs, and the first one gets its own back.
	system := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"system","to_user":"{{ id }}"}`, 200)
	f.Expect(system).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	f.Expect(stored()).To(gomega.Equal([]v1alpha1.RuleTranslation{{Language: "fr", System: &v1alpha1.TitledTranslation{Title: "Bonjour", Message: "Salut <b>"}}}))
	inSMS := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"sms","to_mobile":"{{ mobile }}","sms_message":"Hi"}`, 200)
	f.Expect(inSMS).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	f.Expect(stored()).To(gomega.Equal([]v1alpha1.RuleTranslation{{Language: "de", SMS: &v1alpha1.SMSTranslation{Message: "Hallo"}}}))
	f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"email"}`, 200)
	f.Expect(stored()).To(gomega.Equal([]v1alpha1.RuleTranslation{{Language: "fr", Email: &v1alpha1.EmailTranslation{Subject: "Bonjour", Text: "Salut <b>"}}}))
	tooMuch := fmt.Sprintf(`{"translations":{"fr":{"sms_message":%q},"de":{"sms_message":%q,"push_message":%[2]q},"es":{"sms_message":%[1]q,"push_message":%[1]q}}}`,
		strings.Repeat("é", 16384), strings.Repeat("<", 16384))
	f.expectError(f.call(f.admin.Token, "PATCH", path, tooMuch), 400, "translations", "The texts of other types than email are too long to be kept for them. Shorten or remove them.")

	// They are replaced as a whole, and removed.
	changed := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"translations":{"pt-BR":{"subject":"Olá"}}}`, 200)
	f.Expect(changed).To(gomega.HaveKeyWithValue("translations", gomega.Equal(object{"pt-BR": object{"subject": "Olá"}})))
	sms := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"type":"sms","to_mobile":"{{ mobile }}","sms_message":"Hi","translations":{"pt-BR":{"sms_message":"Olá"}}}`, 200)
	f.Expect(sms).To(gomega.HaveKeyWithValue("translations", gomega.Equal(object{"pt-BR": object{"sms_message": "Olá"}})))
	f.Expect(f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"translations":null}`, 200)).To(gomega.HaveKeyWithValue("translations", gomega.BeNil()))
	f.Expect(stored()).To(gomega.BeEmpty())

	for _, refused := range []struct{ value, message string }{
		{`[]`, `Expected a dictionary of items but got type "list".`},
		{`{"fr":"a"}`, `Give an object of texts for each language, as in {"fr": {"subject": "…"}}.`},
		{`{"fr":{"subject":1}}`, `Give an object of texts for each language, as in {"fr": {"subject": "…"}}.`},
		{`{"f":{}}`, `"f" is not a language tag, such as fr or pt-BR.`},
		{`{"fr":{"to_email":"a"}}`, `fr: "to_email" is not a text that has translations.`},
		{`{"fr":{"subject":"` + strings.Repeat("a", 4097) + `"}}`, "fr, subject: Ensure this field has no more than 4096 characters."},
		{`{"fr":{"whatsapp_content_variables":{"1":{}}}}`, "Give an object of strings and numbers as whatsapp_content_variables of fr."},
		{`{"fr":{"sms_message":"a\n{% if %}"}}`, "Line 2, column 1: fr, sms_message: "},
	} {
		reply := f.call(f.admin.Token, "PATCH", path, `{"translations":`+refused.value+`}`)
		f.Expect(reply.status).To(gomega.Equal(400), refused.value)
		f.Expect(strings.ReplaceAll(reply.body, `\"`, `"`)).To(gomega.ContainSubstring(refused.message), refused.value)
	}
}

// TestTranslationsOfWhatsApp checks that the content template of a language and its values are
// the same in the API and in the rule.
func TestTranslationsOfWhatsApp(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const french = `{"fr":{"sms_message":"Code","whatsapp_content_sid":"` + contentSID + `","whatsapp_content_variables":{"1":"{{ otp }} !","2":3}},"de":{"sms_message":"Hallo"}}`
	body := strings.TrimSuffix(otp, "}") + `,"whatsapp_content_sid":"` + contentSID + `","whatsapp_content_variables":{"1":"{{ otp }}"},"translations":` + french + `}`
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", body, 201)
	want := object{"fr": object{
		"sms_message": "Code", "whatsapp_content_sid": contentSID, "whatsapp_content_variables": object{"1": "{{ otp }} !", "2": "3"},
	}, "de": object{"sms_message": "Hallo"}}
	f.Expect(n).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	path := fmt.Sprintf("/api/admin/notifications/%.0f/", n["id"])
	f.Expect(f.admined("adminNotificationsRetrieve", "GET", path, "", 200)).To(gomega.Equal(n))
	preview := f.admined("adminNotificationsPreviewSaved", "POST", path+"preview/", `{"data":{"user":{"id":"1","language":"fr"},"mobile":"+27820000001","otp":"1234"}}`, 200)
	f.Expect(preview["translations"]).To(gomega.Equal([]any{
		object{"language": "de", "missing": []any{"whatsapp_content_sid"}}, object{"language": "fr", "missing": []any{}},
	}))

	// A client that doesn't know translations may turn WhatsApp off, and on again.
	off := f.admined("adminNotificationsPartialUpdate", "PATCH", path, `{"whatsapp_content_sid":null,"whatsapp_content_variables":null}`, 200)
	f.Expect(off).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))

	for change, message := range map[string]string{
		`{"fr":{"whatsapp_content_sid":"AC"}}`:                              "translations",
		`{"fr":{"whatsapp_content_variables":{"1":"{% if %}"}}}`:            "Line 1, column 1: fr, whatsapp_content_variables: ",
		`{"fr":{"whatsapp_content_variables":{"a b":"c"}}}`:                 "translations",
		`{"fr":{"whatsapp_content_sid":"` + contentSID + contentSID + `"}}`: "fr, whatsapp_content_sid: Ensure this field has no more than 34 characters.",
	} {
		reply := f.call(f.admin.Token, "PATCH", path, `{"whatsapp_content_sid":"`+contentSID+`","translations":`+change+`}`)
		f.Expect(reply.status).To(gomega.Equal(400), change)
		f.Expect(reply.body).To(gomega.ContainSubstring(message), change)
	}
}

// TestTranslationsOfLayouts checks that a layout's translations and its way to handle style
// sheets are the same in the API and in the NotificationLayout, for each type.
func TestTranslationsOfLayouts(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const texts = `{"fr":{"html_layout":"<p>{{ content }} fr","text_layout":"{{ content }} fr"},"ar":{"sms_layout":"{{ content }} ar","html_layout":""}}`
	created := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/",
		`{"name":"L","type":"email","html_layout":"<p>{{ content }}","inline_css":true,"sms_layout":"{{ content }} Acme","translations":`+texts+`}`, 201)
	want := object{"fr": object{"html_layout": "<p>{{ content }} fr", "text_layout": "{{ content }} fr"}, "ar": object{"sms_layout": "{{ content }} ar"}}
	f.Expect(created).To(gomega.And(gomega.HaveKeyWithValue("translations", gomega.Equal(want)), gomega.HaveKeyWithValue("inline_css", true)))
	path := fmt.Sprintf("/api/admin/layouts/%s/", created["id"])
	f.Expect(f.admined("adminLayoutsRetrieve", "GET", path, "", 200)).To(gomega.Equal(created))
	stored := func() v1alpha1.NotificationLayoutSpec {
		var layout v1alpha1.NotificationLayout
		name, _ := created["id"].(string)
		f.Expect(f.mgr.GetAPIReader().Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &layout)).To(gomega.Succeed())
		return layout.Spec
	}
	f.Expect(stored().InlineCSS).To(gomega.BeTrue())
	f.Expect(stored().Translations).To(gomega.Equal([]v1alpha1.LayoutTranslation{{Language: "fr", HTML: "<p>{{ content }} fr", Text: "{{ content }} fr"}}))

	// A client of Rehive's own API, which doesn't know the fields, doesn't change them.
	put := f.admined("adminLayoutsUpdate", "PUT", path, `{"name":"L","type":"email","html_layout":"<b>{{ content }}"}`, 200)
	f.Expect(put).To(gomega.And(gomega.HaveKeyWithValue("translations", gomega.Equal(want)), gomega.HaveKeyWithValue("inline_css", true)))

	sms := f.admined("adminLayoutsPartialUpdate", "PATCH", path, `{"type":"sms"}`, 200)
	f.Expect(sms).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)))
	f.Expect(stored().Translations).To(gomega.Equal([]v1alpha1.LayoutTranslation{{Language: "ar", Text: "{{ content }} ar"}}))
	f.admined("adminLayoutsPartialUpdate", "PATCH", path, `{"type":"email","inline_css":false}`, 200)
	f.Expect(stored().InlineCSS).To(gomega.BeFalse())
	f.Expect(stored().Translations).To(gomega.HaveLen(1))

	for change, message := range map[string]string{
		`{"fr":{"subject":"a"}}`:                        `fr: "subject" is not a text that has translations.`,
		`{"fr":{"html_layout":"no place"}}`:             "fr, html_layout: the layout does not contain the message",
		`{"fr":{"text_layout":"a\n{% if %}"}}`:          "Line 2, column 1: fr, text_layout: ",
		`{"fr":{"text_layout":"{{ content }}"},"f":{}}`: `"f" is not a language tag, such as fr or pt-BR.`,
	} {
		reply := f.call(f.admin.Token, "PATCH", path, `{"translations":`+change+`}`)
		f.Expect(reply.status).To(gomega.Equal(400), change)
		f.Expect(strings.ReplaceAll(reply.body, `\"`, `"`)).To(gomega.ContainSubstring(message), change)
	}
	f.Expect(f.admined("adminLayoutsPartialUpdate", "PATCH", path, `{"translations":null}`, 200)).To(gomega.HaveKeyWithValue("translations", gomega.BeNil()))
	f.Expect(stored().Translations).To(gomega.BeEmpty())
}

// TestTemplatesBringTheirTranslations checks that a notification that is made from a template
// has its translations, unless the request has others.
func TestTemplatesBringTheirTranslations(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	templates, err := presets.Templates()
	f.Expect(err).NotTo(gomega.HaveOccurred())
	for i := range templates {
		if templates[i].Name == "welcome" {
			template := &templates[i]
			template.Namespace = namespace
			f.Expect(f.client.Create(t.Context(), template)).To(gomega.Succeed())
			t.Cleanup(func() { _ = f.client.Delete(context.Background(), template) })
			f.Eventually(func() int { return f.call(f.admin.Token, "GET", "/api/admin/templates/welcome/", "").status }).Should(gomega.Equal(200))
		}
	}
	shown := f.admined("adminTemplatesRetrieve", "GET", "/api/admin/templates/welcome/", "", 200)
	all, _ := shown["translations"].(object)
	f.Expect(all).To(gomega.HaveLen(5))
	f.Expect(all["fr"]).To(gomega.And(gomega.HaveKey("subject"), gomega.HaveKey("html_message"), gomega.HaveKey("text_message")))
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", `{"name":"W","template":"welcome"}`, 201)
	f.Expect(n["translations"]).To(gomega.Equal(shown["translations"]))
	n = f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", `{"name":"X","template":"welcome","translations":{}}`, 201)
	f.Expect(n["translations"]).To(gomega.BeNil())
}
