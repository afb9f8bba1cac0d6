// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
)

// TestLimitsAreInCharacters checks that the template engine accepts whatever the API server
// admits, such as a template of exactly the maximum length in four-byte characters.
func TestLimitsAreInCharacters(t *testing.T) {
	const wide = "\U0001F600"
	// fill returns a template with a length in characters.
	fill := func(form string, length int64) string {
		return strings.Replace(form, "…", strings.Repeat(wide, int(length)-len([]rune(form))+1), 1)
	}
	channels := map[string]map[string]any{
		"email":  {"to": "joe@example.com", "subject": "Hello", "text": "Hello"},
		"sms":    {"to": "+27820000001", "message": "Hello"},
		"push":   {"toUser": "{{ user.id }}", "message": "Hello"},
		"system": {"toUser": "{{ user.id }}", "message": "Hello"},
	}
	// Fields with a syntax of their own; the others are plain text.
	forms := map[string]string{
		"email.to": "{{ user.email }}{# … #}", "email.from": "{{ user.email }}{# … #}", "email.toUser": "{{ user.id }}{# … #}",
		"sms.to": "{{ user.mobile }}{# … #}", "sms.toUser": "{{ user.id }}{# … #}", "push.toUser": "{{ user.id }}{# … #}", "system.toUser": "{{ user.id }}{# … #}",
		"expression": "'{{ user.id }}' != '…'",
	}
	notTemplates := []string{"sms.defaultRegion", "displayName", "description", "event", "expiresAfter", "mutedBy", "muteReason"}
	data := []byte(`{"user":{"id":"7c9b7ce5-6f4b-4a52-9e2c-0c8f1f9f0e11","email":"joe@example.com","mobile":"+27820000001"}}`)

	g := NewWithT(t)
	var rules *apiextensionsv1.JSONSchemaProps
	for _, crd := range definitions(g) {
		if crd.Spec.Names.Kind == "NotificationRule" {
			rules = crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		}
	}
	g.Expect(rules).NotTo(BeNil())
	tested := 0
	test := func(channel, field string, limit int64) {
		for _, not := range notTemplates {
			if field == not {
				return
			}
		}
		tested++
		t.Run(field, func(t *testing.T) {
			f := newFixture(t)
			form := forms[field]
			if form == "" {
				form = "…"
			}
			rule := func(name string, length int64) *unstructured.Unstructured {
				o := &unstructured.Unstructured{Object: map[string]any{
					"spec": map[string]any{
						"companyRef": map[string]any{"name": "shop"}, "displayName": "A rule", "event": "transaction.execute",
						channel: runtime.DeepCopyJSON(channels[channel]),
					},
				}}
				o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NotificationRule"))
				o.SetNamespace(f.namespace)
				o.SetName(name)
				f.Expect(unstructured.SetNestedField(o.Object, fill(form, length), append([]string{"spec"}, strings.Split(field, ".")...)...)).To(Succeed())
				return o
			}
			err := k8s.Create(f.ctx, rule("longer", limit+1))
			f.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%.300v", err)
			longest := rule("longest", limit)
			f.Expect(k8s.Create(f.ctx, longest)).To(Succeed())

			stored := new(v1alpha1.NotificationRule)
			f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(longest), stored)).To(Succeed())
			compiled := notify.CompileRule(stored, nil, notify.CompileLayout)
			f.Expect(compiled.Problems).To(BeEmpty())
			event, err := notify.NewEvent("transaction.execute", notify.Company{ID: "shop", SystemEmail: "shop@example.com"}, data, time.Now(), nil)
			f.Expect(err).NotTo(HaveOccurred())
			decision, err := compiled.Decide(f.ctx, event, "")
			f.Expect(err).NotTo(HaveOccurred())
			f.Expect(decision.NotSent).To(BeEmpty())
			f.Expect(decision.Messages).To(HaveLen(1))
		})
	}
	spec := rules.Properties["spec"]
	for channel := range channels {
		for name, property := range spec.Properties[channel].Properties {
			if property.MaxLength != nil {
				test(channel, channel+"."+name, *property.MaxLength)
			}
		}
	}
	for name, property := range spec.Properties {
		if property.MaxLength != nil {
			test("email", name, *property.MaxLength)
		}
	}
	g.Expect(tested).To(BeNumerically(">=", 16))
}
