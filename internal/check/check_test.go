// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"strings"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/config/presets"
	"github.com/rehive/extension-operator/internal/notify"
)

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("a", 200) + "{{ b c }}" + strings.Repeat("d", 200)
	for name, test := range map[string]struct {
		text         string
		line, column int
		want         string
	}{
		"second line": {"a\n b\nc", 2, 2, "    2 |  b\n      |  ^"},
		"no column":   {"a", 1, 0, "    1 | a"},
		"the end":     {"ab", 1, 3, "    1 | ab\n      |   ^"},
		"CRLF":        {"a\r\nb\r\n", 1, 1, "    1 | a\n      | ^"},
		"tabs":        {"\t{{ x y }}", 1, 2, "    1 |  {{ x y }}\n      |  ^"},
		"characters":  {"żó{{ x y }}", 1, 3, "    1 | żó{{ x y }}\n      |   ^"},
		"terminal":    {"a\x1b[31mb\u202ec", 1, 8, "    1 | a·[31mb·c\n      |        ^"},
		"long": {
			long, 1, 201,
			"    1 | …" + strings.Repeat("a", 59) + "{{ b c }}" + strings.Repeat("d", 32) + "…\n      | " + strings.Repeat(" ", 60) + "^",
		},
		"no such line": {"a", 2, 1, ""},
		"empty":        {"", 1, 1, ""},
	} {
		if got := Excerpt(test.text, test.line, test.column); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

func email(change func(*v1alpha1.NotificationRuleSpec)) *v1alpha1.NotificationRule {
	r := &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		CompanyRef: v1alpha1.CompanyActivationReference{Name: "shop"},
		NotificationSpec: v1alpha1.NotificationSpec{
			Event: "user.create",
			Email: &v1alpha1.EmailMessage{To: "{{ email }}", Subject: "s", Text: "t", LayoutRef: &v1alpha1.NotificationLayoutReference{Name: "frame"}},
		},
	}}
	change(&r.Spec)
	return r
}

// TestLayoutExcerpt shows the line of a layout, which is in another object.
func TestLayoutExcerpt(t *testing.T) {
	layout := &v1alpha1.NotificationLayout{Spec: v1alpha1.NotificationLayoutSpec{HTML: "{{ content }}\n{% nothing %}"}}
	layout.Name = "frame"
	report := Rule(t.Context(), email(func(*v1alpha1.NotificationRuleSpec) {}), layout, notify.CompileLayout)
	want := "spec.email.layoutRef: the NotificationLayout frame can't be used: spec.html, line 2, column 1: Invalid block tag on line 2: 'nothing'. Did you forget to register or load this tag?\n" +
		"layout spec.html:\n    2 | {% nothing %}\n      | ^"
	if got := report.Explanation(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestWithout checks that only the findings that an edit caused remain.
func TestWithout(t *testing.T) {
	before := Rule(t.Context(), email(func(s *v1alpha1.NotificationRuleSpec) { s.Expression = "1 +" }), nil, notify.CompileLayout)
	after := Rule(t.Context(), email(func(s *v1alpha1.NotificationRuleSpec) { s.Expression, s.Email.Text = "1 +", "{% if %}" }), nil, notify.CompileLayout)
	left := after.Without(before)
	if len(left.All()) != 1 || left.All()[0].Field != "spec.email.text" {
		t.Errorf("got %v", left.All())
	}
	if got := before.Without(before); got.Refusal() != "" || got.Explanation() != "" {
		t.Errorf("got %s", got.Explanation())
	}
	if before.Refusal() == "" || len(before.All()) != 2 {
		t.Errorf("the report changed: %v", before.All())
	}
}

// TestFailingTest checks that a failing test alone is reason to refuse a rule.
func TestFailingTest(t *testing.T) {
	text := "Hi\x1b"
	r := email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.LayoutRef = nil
		s.Tests = []v1alpha1.RuleTest{{Name: "greets", Expect: v1alpha1.RuleTestExpectation{Text: &v1alpha1.TextExpectation{Equals: &text}}}}
	})
	report := Rule(t.Context(), r, nil, notify.CompileLayout)
	want := "spec.tests[0]: the test \"greets\" fails: text, line 1: is \"t\" and must be \"Hi\\x1b\".\nspec.tests[0]:\n- Hi·\n+ t"
	if got := report.Explanation(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if report.Without(report).Explanation() != "" {
		t.Error("an edit is refused for a test that failed before")
	}
}

// TestPresets checks the shipped presets.
func TestPresets(t *testing.T) {
	templates, err := presets.Templates()
	if err != nil {
		t.Fatal(err)
	}
	layouts, err := presets.Layouts()
	if err != nil {
		t.Fatal(err)
	}
	for i := range templates {
		report := Template(t.Context(), &templates[i])
		if text := report.Explanation(); text != "" || report.Tests.Tests == 0 {
			t.Errorf("%s: %d tests: %s", templates[i].Name, report.Tests.Tests, text)
		}
	}
	for i := range layouts {
		if text := Layout(&layouts[i]).Explanation(); text != "" {
			t.Errorf("%s: %s", layouts[i].Name, text)
		}
	}
}

// TestTranslationExcerpt shows the line of a mistake in a translation.
func TestTranslationExcerpt(t *testing.T) {
	rule := &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
		NotificationSpec: v1alpha1.NotificationSpec{
			SMS: &v1alpha1.SMSMessage{To: "+15005550006", Message: "Hello"},
			Translations: []v1alpha1.RuleTranslation{
				{Language: "de", SMS: &v1alpha1.SMSTranslation{Message: "Hallo"}},
				{Language: "fr", SMS: &v1alpha1.SMSTranslation{Message: "Bonjour\n{{ a b }}"}},
			},
		},
	}}
	got := Rule(t.Context(), rule, nil, notify.CompileLayout).Explanation()
	if !strings.Contains(got, "spec.translations[fr].sms.message, line 2") || !strings.Contains(got, "{{ a b }}") {
		t.Errorf("the explanation is %s", got)
	}
}

// TestHTML warns of what email clients don't support in rules, layouts, templates and
// rendered messages.
func TestHTML(t *testing.T) {
	const html = "<p>\n{{ content }}<a href=\"http://x.example\">x</a></p>"
	const want = "line 2, column 23: the link isn't encrypted"
	rule := email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.HTML = html
		s.Translations = []v1alpha1.RuleTranslation{{Language: "fr", Email: &v1alpha1.EmailTranslation{HTML: html}}}
	})
	layout := &v1alpha1.NotificationLayout{Spec: v1alpha1.NotificationLayoutSpec{
		HTML: html, Translations: []v1alpha1.LayoutTranslation{{Language: "fr", HTML: html}},
	}}
	template := &v1alpha1.NotificationTemplate{Spec: v1alpha1.NotificationTemplateSpec{NotificationSpec: v1alpha1.NotificationSpec{Email: &v1alpha1.EmailMessage{HTML: html}}}}
	for name, report := range map[string]*Report{
		"spec.email.html":                  Rule(t.Context(), rule, nil, notify.CompileLayout),
		"spec.translations[fr].email.html": Rule(t.Context(), rule, nil, notify.CompileLayout),
		"spec.html":                        Layout(layout),
		"spec.translations[fr].html":       Layout(layout),
		"spec.email.html ":                 Template(t.Context(), template),
	} {
		found := false
		for _, w := range report.Warnings {
			found = found || w.Field == strings.TrimSpace(name) && strings.HasPrefix(w.Text(), want)
		}
		if !found {
			t.Errorf("%s: %v", name, report.Warnings)
		}
	}
	report := Layout(layout)
	if more := report.Message(html + "<script></script>"); len(more) != 1 || !strings.HasPrefix(more[0].Error(), "spec.email.html: email clients remove <script>") {
		t.Errorf("of the message: %v", more)
	}
}
