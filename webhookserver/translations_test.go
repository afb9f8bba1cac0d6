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
		var rules v1alpha1.NotificationRuleList
		f.Expect(f.mgr.GetAPIReader().List(t.Context(), &rules, client.InNamespace(namespace), client.MatchingFields{"spec.companyRef.name": f.activation().Name})).To(gomega.Succeed())
		f.Expect(rules.Items).To(gomega.HaveLen(1))
		return rules.Items[0].Spec.Translations
	}
	const french = `"translations":{"fr":{"subject":"Bonjour","text_message":"Salut <b>","html_message":""},"de":{"sms_message":"Hallo"}}`
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", strings.TrimSuffix(welcome, "}")+","+french+"}", 201)
	want := object{"fr": object{"subject": "Bonjour", "text_message": "Salut <b>"}}
	f.Expect(n).To(gomega.HaveKeyWithValue("translations", gomega.Equal(want)), "texts of other types are left out")
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
		{`{"fr":{"sms_message":"a\n{% if %}"}}`, "Line 2, column 1: fr, sms_message: "},
	} {
		reply := f.call(f.admin.Token, "PATCH", path, `{"translations":`+refused.value+`}`)
		f.Expect(reply.status).To(gomega.Equal(400), refused.value)
		f.Expect(strings.ReplaceAll(reply.body, `\"`, `"`)).To(gomega.ContainSubstring(refused.message), refused.value)
	}
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
	f.Expect(all).To(gomega.HaveLen(4))
	f.Expect(all["fr"]).To(gomega.And(gomega.HaveKey("subject"), gomega.HaveKey("html_message"), gomega.HaveKey("text_message")))
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", `{"name":"W","template":"welcome"}`, 201)
	f.Expect(n["translations"]).To(gomega.Equal(shown["translations"]))
	n = f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", `{"name":"X","template":"welcome","translations":{}}`, 201)
	f.Expect(n["translations"]).To(gomega.BeNil())
}
