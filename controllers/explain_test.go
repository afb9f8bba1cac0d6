// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// openAPISchema is the part of a schema that `kubectl explain` shows.
type openAPISchema struct {
	Description string                   `json:"description"`
	Properties  map[string]openAPISchema `json:"properties"`
}

// openAPISchemas returns the schemas that the API server publishes for this project's kinds.
func openAPISchemas(g *WithT) map[string]openAPISchema {
	discoverer, err := discovery.NewDiscoveryClientForConfig(adminRest)
	g.Expect(err).NotTo(HaveOccurred())
	paths, err := discoverer.OpenAPIV3().Paths()
	g.Expect(err).NotTo(HaveOccurred())
	group := v1alpha1.GroupVersion
	g.Expect(paths).To(HaveKey("apis/" + group.String()))
	raw, err := paths["apis/"+group.String()].Schema("application/json")
	g.Expect(err).NotTo(HaveOccurred())
	var document struct {
		Components struct {
			Schemas map[string]openAPISchema `json:"schemas"`
		} `json:"components"`
	}
	g.Expect(json.Unmarshal(raw, &document)).To(Succeed())
	return document.Components.Schemas
}

// explain returns the output of `kubectl explain` for a field such as
// notificationrule.spec.email.to.
func explain(g *WithT, schemas map[string]openAPISchema, field string) string {
	kind, path, _ := strings.Cut(field, ".")
	for name, schema := range schemas {
		if !strings.HasSuffix(strings.ToLower(name), "."+kind) {
			continue
		}
		for _, part := range strings.Split(path, ".") {
			if part == "" {
				continue
			}
			g.Expect(schema.Properties).To(HaveKey(part), field)
			schema = schema.Properties[part]
		}
		return strings.Join(strings.Fields(schema.Description), " ")
	}
	g.Expect(kind).To(BeEmpty(), "there is no such kind")
	return ""
}

func TestExplain(t *testing.T) {
	g := NewWithT(t)
	schemas := openAPISchemas(g)
	const oneChannel = "Exactly one of email, sms, push and system must be set."
	const oneProvider = "Exactly one of smtp, sendgrid, twilio and expo must be set."
	for field, wants := range map[string][]string{
		"notificationrule":                      {"NotificationRule sends a message"},
		"notificationrule.spec.companyRef":      {"immutable"},
		"notificationrule.spec.event":           {"such as transaction.execute", "100"},
		"notificationrule.spec.expression":      {"Django template", "Python expression", "8192"},
		"notificationrule.spec.displayName":     {"not a template", "250"},
		"notificationrule.spec.email":           {oneChannel},
		"notificationrule.spec.sms":             {oneChannel},
		"notificationrule.spec.push":            {oneChannel},
		"notificationrule.spec.system":          {oneChannel},
		"notificationrule.spec.email.to":        {"Django template", "separated by commas", "4096"},
		"notificationrule.spec.email.from":      {"Django template", "company's system email"},
		"notificationrule.spec.email.subject":   {"Django template", "4096"},
		"notificationrule.spec.email.html":      {"Django template", "escaped for HTML", "262144"},
		"notificationrule.spec.email.text":      {"Django template", "262144"},
		"notificationrule.spec.email.toUser":    {"Django template", "4096"},
		"notificationrule.spec.sms.to":          {"Django template", "such as +27840000000"},
		"notificationrule.spec.sms.message":     {"Django template", "16384"},
		"notificationrule.spec.push.title":      {"Django template", "4096"},
		"notificationrule.spec.push.message":    {"Django template", "16384"},
		"notificationrule.spec.system.toUser":   {"Django template", "4096"},
		"notificationtemplate.spec.email":       {oneChannel},
		"notificationtemplate.spec.email.text":  {"Django template"},
		"notificationlayout.spec.html":          {"Django template", "{{ content }}", "262144", "At least one of html and text must be set."},
		"notificationlayout.spec.text":          {"Django template", "{{ content }}", "262144"},
		"notificationlayout.spec.channel":       {"email, sms, push or system"},
		"deliveryprovider.spec.smtp":            {oneProvider},
		"deliveryprovider.spec.sendgrid":        {oneProvider},
		"deliveryprovider.spec.twilio":          {oneProvider},
		"deliveryprovider.spec.expo":            {oneProvider},
		"deliveryprovider.spec.smtp.host":       {"without a port"},
		"deliveryprovider.spec.smtp.port":       {"465 if tls is TLS", "587"},
		"deliveryprovider.spec.smtp.tls":        {"StartTLS upgrades", "StartTLSOptional does so if", "TLS encrypts from the first byte", "None never encrypts"},
		"deliveryprovider.spec.sender":          {"must not be set for expo"},
		"companyactivation.status.conditions":   {"Ready", "TokenValid", "WebhooksRegistered", "ProvidersResolved", "Stalled"},
		"notificationrule.status.conditions":    {"Ready", "TemplatesParsed", "ExpressionParsed", "Stalled"},
		"companyactivation.spec.company":        {"immutable"},
		"companyactivation.spec.providers.push": {"DeliveryProvider"},
	} {
		for _, want := range wants {
			g.Expect(explain(g, schemas, field)).To(ContainSubstring(want), field)
		}
	}
}

// TestDescriptions checks that each field has a description that begins with its JSON name,
// as the Kubernetes API conventions require.
func TestDescriptions(t *testing.T) {
	g := NewWithT(t)
	var check func(path string, schema apiextensionsv1.JSONSchemaProps)
	check = func(path string, schema apiextensionsv1.JSONSchemaProps) {
		for name, property := range schema.Properties {
			field := path + "." + name
			if strings.HasSuffix(path, ".conditions") {
				continue // Kubernetes' own
			}
			g.Expect(property.Description).To(MatchRegexp(`^`+regexp.QuoteMeta(name)+`\s`), field)
			g.Expect(strings.TrimSpace(property.Description)).To(HaveSuffix("."), field)
			check(field, property)
			if property.Items != nil && property.Items.Schema != nil {
				check(field, *property.Items.Schema)
			}
		}
	}
	for _, crd := range definitions(g) {
		schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, top := range []string{"spec", "status"} {
			check("."+top, schema.Properties[top])
		}
	}
}

// definitions reads the installed CustomResourceDefinitions.
func definitions(g *WithT) []apiextensionsv1.CustomResourceDefinition {
	files, err := filepath.Glob("../config/crd/bases/*.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).NotTo(BeEmpty())
	var definitions []apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		raw, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		var crd apiextensionsv1.CustomResourceDefinition
		g.Expect(yaml.UnmarshalStrict(raw, &crd)).To(Succeed())
		definitions = append(definitions, crd)
	}
	return definitions
}

// TestNoPatterns checks that the CRDs validate formats with CEL rules, whose messages
// explain the format, instead of regular expressions.
func TestNoPatterns(t *testing.T) {
	g := NewWithT(t)
	for _, crd := range definitions(g) {
		raw, err := json.Marshal(crd)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(patternOutsideConditions(raw)).To(BeEmpty(), crd.Name)
	}
}

var pattern = regexp.MustCompile(`"pattern":"[^"]*"`)

// patternOutsideConditions returns the patterns of a CRD, except those of conditions, which
// come from Kubernetes.
func patternOutsideConditions(crd []byte) []string {
	var found []string
	for _, match := range pattern.FindAllString(string(crd), -1) {
		if !strings.Contains(match, "A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?") && !strings.Contains(match, "[a-z0-9])?(\\\\.[a-z0-9]") {
			found = append(found, match)
		}
	}
	return found
}

// TestValidationMessages checks that the API server refuses invalid fields with messages
// that say what they should be.
func TestValidationMessages(t *testing.T) {
	rule := `{companyRef: {name: shop}, displayName: A rule, event: user.create, email: {to: a@b.example, subject: s, text: t}}`
	smtp := `{smtp: {host: smtp.example.com}}`
	sendgrid := `{sendgrid: {}, secretRef: {name: key}}`
	for name, test := range map[string]struct{ kind, spec, field, value, want string }{
		"company's name":        {"NotificationRule", rule, "companyRef.name", `"My Shop"`, "spec.companyRef.name: Invalid value: must be the name of an object: lowercase letters, digits, '-' and '.', such as my-shop"},
		"display name":          {"NotificationRule", rule, "displayName", `" \t\n"`, "spec.displayName: Invalid value: must not be blank"},
		"event":                 {"NotificationRule", rule, "event", `"User Created"`, "spec.event: Invalid value: must be the name of a platform event, such as transaction.execute"},
		"recipient":             {"NotificationRule", rule, "email.to", `"  "`, "spec.email.to: Invalid value: must not be blank"},
		"subject":               {"NotificationRule", rule, "email.subject", `"\n"`, "spec.email.subject: Invalid value: must not be blank"},
		"layout":                {"NotificationRule", rule, "email.layoutRef", `{name: "/"}`, "spec.email.layoutRef.name: Invalid value: must be the name of an object"},
		"template":              {"NotificationRule", rule, "templateRef", `{name: "A"}`, "spec.templateRef.name: Invalid value: must be the name of an object"},
		"two channels":          {"NotificationRule", rule, "sms", `{to: "+27840000000", message: m}`, "exactly one channel must be set: email, sms, push or system"},
		"no channel":            {"NotificationRule", rule, "email", `null`, "exactly one channel must be set"},
		"region":                {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, sms: {to: "1", message: m}}`, "sms.defaultRegion", `"za"`, "spec.sms.defaultRegion: Invalid value: must be an ISO 3166 country code of two capitals, such as ZA"},
		"content template":      {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, sms: {to: "1", message: m}}`, "sms.whatsApp", `{contentSid: "AC0123456789abcdef0123456789abcdef"}`, "spec.sms.whatsApp.contentSid: Invalid value: must be the SID of a Twilio content template: HX and 32 hexadecimal digits"},
		"placeholder's name":    {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, sms: {to: "1", message: m}}`, "sms.whatsApp", `{contentSid: "HX0123456789abcdef0123456789abcdef", contentVariables: {"a b": "c"}}`, "names of placeholders must be 1 to 32 letters, digits and underscores"},
		"WhatsApp and Verify":   {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, sms: {to: "1", message: m, useTwilioVerify: true}}`, "sms.whatsApp", `{contentSid: "HX0123456789abcdef0123456789abcdef"}`, "spec.sms: Invalid value: whatsApp and useTwilioVerify can't be combined"},
		"Verify service":        {"DeliveryProvider", `{twilio: {}, secretRef: {name: key}, sender: "+27840000000"}`, "twilio.verifyServiceSid", `"HX0123456789abcdef0123456789abcdef"`, "must be the SID of a Twilio Verify service: VA and 32 hexadecimal digits"},
		"validity":              {"NotificationRule", rule, "expiresAfter", `"10 minutes"`, "spec.expiresAfter: Invalid value: must be a duration in hours, minutes and seconds, such as 10m or 24h, or 0"},
		"short validity":        {"NotificationRule", rule, "expiresAfter", `"59s"`, "spec.expiresAfter: Invalid value: must be 0, or from 1m to 720h"},
		"long validity":         {"NotificationRule", rule, "expiresAfter", `"721h"`, "must be 0, or from 1m to 720h"},
		"negative validity":     {"NotificationRule", rule, "expiresAfter", `"-1h"`, "must be a duration in hours"},
		"no validity":           {"NotificationTemplate", `{displayName: T, email: {to: a@b.example, subject: s, text: t}}`, "expiresAfter", `"forever"`, "must be a duration in hours"},
		"any validity":          {"NotificationRule", rule, "expiresAfter", `"1h30m"`, ""},
		"never":                 {"NotificationRule", rule, "expiresAfter", `"0"`, ""},
		"never in seconds":      {"NotificationRule", rule, "expiresAfter", `"0s"`, ""},
		"sensitive inbox":       {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, system: {toUser: u, message: m}}`, "sensitive", `true`, "sensitive can't be set together with system or systemEnabled"},
		"sensitive copy":        {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, sensitive: true, email: {to: a@b.example, subject: s, text: t}}`, "systemEnabled", `true`, "sensitive can't be set together with system or systemEnabled"},
		"in-app twice":          {"NotificationRule", `{companyRef: {name: shop}, displayName: A rule, system: {toUser: u, message: m}}`, "systemEnabled", `true`, "systemEnabled can't be set together with system"},
		"template's event":      {"NotificationTemplate", `{displayName: T, email: {to: a@b.example, subject: s, text: t}}`, "event", `"no event"`, "spec.event: Invalid value: must be the name of a platform event"},
		"layout of nothing":     {"NotificationLayout", `{text: "{{ content }}"}`, "text", `null`, "at least one of html and text must be set"},
		"HTML in an SMS":        {"NotificationLayout", `{html: "{{ content }}", channel: email}`, "channel", `sms`, "html must not be set unless channel is email"},
		"layout's channel":      {"NotificationLayout", `{text: "{{ content }}"}`, "channel", `fax`, `supported values: "email", "sms", "push", "system"`},
		"host with port":        {"DeliveryProvider", smtp, "smtp.host", `"smtp.example.com:587"`, "spec.smtp.host: Invalid value: must not contain a port: use the field port, such as host: smtp.example.com with port: 587"},
		"host with empty port":  {"DeliveryProvider", smtp, "smtp.host", `"smtp.example.com:"`, "must not contain a port"},
		"IPv4 with port":        {"DeliveryProvider", smtp, "smtp.host", `"192.0.2.25:25"`, "must not contain a port"},
		"IPv6 with port":        {"DeliveryProvider", smtp, "smtp.host", `"[2001:db8::1]:25"`, "must not contain a port"},
		"host as a URL":         {"DeliveryProvider", smtp, "smtp.host", `"smtp://smtp.example.com"`, "spec.smtp.host: Invalid value: must be a host name or an IP address, such as smtp.example.com"},
		"host with a space":     {"DeliveryProvider", smtp, "smtp.host", `"smtp example"`, "must be a host name or an IP address"},
		"encryption":            {"DeliveryProvider", smtp, "smtp.tls", `"starttls"`, `supported values: "StartTLS", "StartTLSOptional", "TLS", "None"`},
		"URL without scheme":    {"DeliveryProvider", sendgrid, "sendgrid.baseURL", `"api.sendgrid.com"`, "spec.sendgrid.baseURL: Invalid value: must be a URL that begins with https://, such as https://api.eu.sendgrid.com"},
		"two providers":         {"DeliveryProvider", sendgrid, "smtp", `{host: h}`, "exactly one provider must be set: smtp, sendgrid, twilio or expo"},
		"no credentials":        {"DeliveryProvider", sendgrid, "secretRef", `null`, "secretRef is required for sendgrid and twilio"},
		"Secret's name":         {"DeliveryProvider", sendgrid, "secretRef.name", `"API_KEY"`, "spec.secretRef.name: Invalid value: must be the name of an object"},
		"sender of push":        {"DeliveryProvider", `{expo: {}}`, "sender", `"Shop"`, "sender must not be set for expo"},
		"company":               {"CompanyActivation", `{company: shop}`, "company", `"my shop"`, "spec.company: Invalid value: must be the identifier of a company on Rehive: letters, digits, '_', '.' and '-', beginning with a letter or a digit, such as my_shop"},
		"provider":              {"CompanyActivation", `{company: shop}`, "providers", `{sms: {name: "my sms"}}`, "spec.providers.sms.name: Invalid value: must be the name of an object"},
		"state":                 {"CompanyActivation", `{company: shop}`, "state", `on`, `supported values: "Active", "Inactive"`},
		"sender domain":         {"CompanyActivation", `{company: shop}`, "senderDomains", `["shop.example", "@shop.example"]`, "spec.senderDomains[1]: Invalid value: must be a domain in lowercase, such as shop.example"},
		"sender domains":        {"CompanyActivation", `{company: shop}`, "senderDomains", `["shop.example", "mail.xn--mnchen-3ya.example"]`, ""},
		"any company":           {"CompanyActivation", `{company: shop}`, "company", `"0My.Shop_-"`, ""},
		"host":                  {"DeliveryProvider", smtp, "smtp.host", `"smtp_1.example.com"`, ""},
		"IPv4":                  {"DeliveryProvider", smtp, "smtp.host", `"192.0.2.25"`, ""},
		"IPv6":                  {"DeliveryProvider", smtp, "smtp.host", `"2001:db8::1"`, ""},
		"short IPv6":            {"DeliveryProvider", smtp, "smtp.host", `"::1"`, ""},
		"URL":                   {"DeliveryProvider", sendgrid, "sendgrid.baseURL", `"https://api.eu.sendgrid.com"`, ""},
		"event of three parts":  {"NotificationRule", rule, "event", `"user.email.verify"`, ""},
		"event that is unset":   {"NotificationRule", rule, "event", `""`, ""},
		"name with digits, dot": {"NotificationRule", rule, "companyRef.name", `"1shop.za-2"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			var spec map[string]any
			f.Expect(yaml.Unmarshal([]byte(test.spec), &spec)).To(Succeed())
			var value any
			f.Expect(yaml.Unmarshal([]byte(test.value), &value)).To(Succeed())
			path := strings.Split(test.field, ".")
			if value == nil {
				unstructured.RemoveNestedField(spec, path...)
			} else {
				f.Expect(unstructured.SetNestedField(spec, value, path...)).To(Succeed())
			}
			object := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": v1alpha1.GroupVersion.String(), "kind": test.kind,
				"metadata": map[string]any{"name": "refused", "namespace": f.namespace}, "spec": spec,
			}}
			err := k8s.Create(f.ctx, object, client.DryRunAll)
			if test.want == "" {
				f.Expect(err).NotTo(HaveOccurred())
				return
			}
			f.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			// The API server repeats the value, with or without quotes.
			message := regexp.MustCompile(`Invalid value: (".*?"|object|[^ ]+): `).ReplaceAllString(err.Error(), "Invalid value: ")
			f.Expect(message).To(ContainSubstring(test.want))
			f.Expect(message).NotTo(ContainSubstring("should match"))
		})
	}
}
