// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func (f *fixture) layout(html, text string) *v1alpha1.NotificationLayout {
	return &v1alpha1.NotificationLayout{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "brand"},
		Spec:       v1alpha1.NotificationLayoutSpec{HTML: html, Text: text},
	}
}

// TestRuleFollowsItsLayout checks that a rule's status follows its layout, which is missing
// at first, then invalid, then valid.
func TestRuleFollowsItsLayout(t *testing.T) {
	f := newFixture(t)
	f.declare("shop")
	rule := f.rule("wrapped", "transaction.execute")
	rule.Spec.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "brand"}
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/LayoutNotFound"))
	f.Expect(messageOf(rule, v1alpha1.ReadyCondition)).To(ContainSubstring("the NotificationLayout brand"))
	f.Expect(verdictOf(rule, v1alpha1.TemplatesParsedCondition)).To(Equal("True/Parsed"), "the rule's own templates parse")

	layout := f.layout("<b>{% if %}{{ content }}</b>", "")
	f.create(layout)
	f.Eventually(f.condition(layout, v1alpha1.ReadyCondition)).Should(Equal("False/SyntaxError"))
	f.Expect(verdictOf(layout, v1alpha1.StalledCondition)).To(Equal("True/SyntaxError"))
	f.Expect(messageOf(layout, v1alpha1.ReadyCondition)).To(HavePrefix("spec.html, line 1, column 4: "))
	f.Eventually(f.events(layout)).Should(ContainElement("InvalidLayout"))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/LayoutInvalid"))

	f.change(layout, func() { layout.Spec.HTML = "<b>{{ content }} {{ theme.color }}</b>" })
	f.Eventually(f.condition(layout, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
	f.Expect(verdictOf(layout, v1alpha1.StalledCondition)).To(BeEmpty())
	f.Expect(layout.Status.ObservedGeneration).To(Equal(layout.Generation))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))
	f.Expect(rule.Status.Variables).To(Equal([]string{"theme.color", "user.email", "user.first_name"}))

	f.Expect(k8s.Delete(f.ctx, layout)).To(Succeed())
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/LayoutNotFound"))
}

func TestLayoutWithoutPlaceholder(t *testing.T) {
	f := newFixture(t)
	layout := f.layout("", "{{ contents }}")
	f.create(layout)
	f.Eventually(f.condition(layout, v1alpha1.ReadyCondition)).Should(Equal("False/SyntaxError"))
	f.Expect(messageOf(layout, v1alpha1.ReadyCondition)).To(ContainSubstring("{{ content }}"))
}

func TestNotificationLayoutValidation(t *testing.T) {
	for name, test := range map[string]struct {
		html, text, want string
	}{
		"both":          {"{{ content }}", "{{ content }}", ""},
		"only HTML":     {"{{ content }}", "", ""},
		"neither":       {"", "", "at least one of html and text must be set"},
		"too long HTML": {strings.Repeat("a", 262145), "", "spec.html"},
		"too long text": {"", strings.Repeat("a", 262145), "spec.text"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			err := k8s.Create(f.ctx, f.layout(test.html, test.text))
			if test.want == "" {
				f.Expect(err).NotTo(HaveOccurred())
				return
			}
			f.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			f.Expect(err).To(MatchError(ContainSubstring(test.want)))
		})
	}
}
