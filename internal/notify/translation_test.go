// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

const (
	anna = "11111111-1111-4111-8111-111111111111"
	bela = "22222222-2222-4222-8222-222222222222"
	cleo = "33333333-3333-4333-8333-333333333333"
)

func translated(change func(*v1alpha1.NotificationRuleSpec)) *v1alpha1.NotificationRule {
	return email(func(spec *v1alpha1.NotificationRuleSpec) {
		spec.Email.Subject = "Hello"
		spec.Email.Text = "On {{ created|timestamp|date }}"
		spec.Email.HTML = "<p>Hello</p>"
		spec.Translations = []v1alpha1.RuleTranslation{
			{Language: "pt-BR", Email: &v1alpha1.EmailTranslation{Subject: "Olá", Text: "Em {{ created|timestamp|date }}"}},
			{Language: "pt", Email: &v1alpha1.EmailTranslation{Subject: "Viva"}},
			{Language: "ar", Email: &v1alpha1.EmailTranslation{
				Text: "{% load i18n %}{% get_current_language_bidi as rtl %}{{ rtl }} {% get_current_language as l %}{{ l }} {{ created|timestamp|date:'F' }}",
			}},
		}
		if change != nil {
			change(spec)
		}
	})
}

func TestTranslations(t *testing.T) {
	rule := compile(t, translated(nil))
	for _, tc := range []struct{ language, used, subject, text string }{
		{"pt-BR", "pt-BR", "Olá", "Em 7 de Agosto de 2020"},
		{"pt_br", "pt-BR", "Olá", "Em 7 de Agosto de 2020"},
		{"pt-BR-x-old", "pt-BR", "Olá", "Em 7 de Agosto de 2020"},
		{"pt-AO", "pt", "Viva", "On 7 de Agosto de 2020"},
		{"ar-EG", "ar", "Hello", "True ar أغسطس"},
		{"en", "", "Hello", "On Aug. 7, 2020"},
		{"tlh", "", "Hello", "On Aug. 7, 2020"},
		{"", "", "Hello", "On Aug. 7, 2020"},
		{"--", "", "Hello", "On Aug. 7, 2020"},
		{strings.Repeat("pt-", 2000), "", "Hello", "On Aug. 7, 2020"},
	} {
		data := fmt.Sprintf(`{"created": 1596795344112, "user": {"id": %q, "email": "zoe@example.com", "language": %q}}`, anna, tc.language)
		decision, err := rule.Decide(t.Context(), event(t, data, nil), "")
		if err != nil || len(decision.Messages) != 1 {
			t.Fatalf("%q: %v, %+v", tc.language, err, decision)
		}
		m := decision.Messages[0]
		if m.Language != tc.used || m.Subject != tc.subject || m.Text != tc.text || m.HTML != "<p>Hello</p>" {
			t.Errorf("%q: got %q %q %q %q, want %q %q %q", tc.language, m.Language, m.Subject, m.Text, m.HTML, tc.used, tc.subject, tc.text)
		}
	}
}

// TestTranslationsAskForLanguages: only of users whom a message goes to, only if a rule has
// translations, and once for each user.
func TestTranslationsAskForLanguages(t *testing.T) {
	known := map[string]string{anna: "fr", bela: "fr-CA"}
	var asked [][]string
	e := event(t, fmt.Sprintf(`{"to": "%s, %s, %s"}`, anna, bela, cleo), nil)
	e.Languages = func(_ context.Context, users []string) (map[string]string, error) {
		asked = append(asked, users)
		return known, nil
	}
	plain := push(func(m *v1alpha1.PushMessage) { m.ToUser, m.Message = "{{ to }}", "Hello" })
	if _, err := compile(t, plain).Decide(t.Context(), e, ""); err != nil || asked != nil {
		t.Fatalf("%v, asked for %v", err, asked)
	}
	rule := plain.DeepCopy()
	rule.Spec.Translations = []v1alpha1.RuleTranslation{{Language: "fr", Push: &v1alpha1.TitledTranslation{Message: "Bonjour"}}}
	for range 2 {
		decision, err := compile(t, rule).Decide(t.Context(), e, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range decision.Messages {
			got = append(got, m.Recipient[:1]+" "+m.Text)
		}
		if want := []string{"1 Bonjour", "2 Bonjour", "3 Hello"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if len(asked) != 1 || !slices.Equal(asked[0], []string{anna, bela, cleo}) {
		t.Errorf("asked for %v", asked)
	}

	e = event(t, fmt.Sprintf(`{"to": %q}`, anna), nil)
	failed := errors.New("the platform is down")
	e.Languages = func(context.Context, []string) (map[string]string, error) { return nil, failed }
	if _, err := compile(t, rule).Decide(t.Context(), e, ""); !errors.Is(err, failed) {
		t.Errorf("the error is %v", err)
	}
	rule.Spec.Expression = "False"
	if _, err := compile(t, rule).Decide(t.Context(), e, ""); err != nil {
		t.Errorf("a rule that doesn't send asked for a language: %v", err)
	}
}

func TestTranslationsOfLayouts(t *testing.T) {
	layout, problems := CompileLayout(&v1alpha1.NotificationLayout{Spec: v1alpha1.NotificationLayoutSpec{
		HTML: `{% load i18n %}{% get_current_language as l %}<i lang="{{ l }}">{{ content }}</i>`,
		Translations: []v1alpha1.LayoutTranslation{
			{Language: "pt", HTML: "<b>{{ content }}</b>", Text: "[pt] {{ content }}"},
		},
	}})
	if problems != nil {
		t.Fatal(problems)
	}
	rule := compile(t, translated(nil)).WithLayout(layout)
	for language, want := range map[string][2]string{
		"":      {`<i lang="en"><p>Hello</p></i>`, "On Aug. 7, 2020"},
		"pt-BR": {"<b><p>Hello</p></b>", "[pt] Em 7 de Agosto de 2020"},
		"ar":    {`<i lang="ar"><p>Hello</p></i>`, "True ar أغسطس"},
	} {
		data := fmt.Sprintf(`{"created": 1596795344112, "user": {"id": %q, "email": "zoe@example.com", "language": %q}}`, anna, language)
		decision, err := rule.Decide(t.Context(), event(t, data, nil), "")
		if err != nil || len(decision.Messages) != 1 {
			t.Fatalf("%q: %v, %+v", language, err, decision)
		}
		if m := decision.Messages[0]; m.HTML != want[0] || m.Text != want[1] {
			t.Errorf("%q: got %q %q, want %q", language, m.HTML, m.Text, want)
		}
	}
}

func TestTranslationProblems(t *testing.T) {
	_, problems := Compile(translated(func(spec *v1alpha1.NotificationRuleSpec) {
		spec.Translations = append(spec.Translations,
			v1alpha1.RuleTranslation{Language: "fr", Email: &v1alpha1.EmailTranslation{Subject: "ok\n{% if %}", HTML: "{{ a b }}"}},
			v1alpha1.RuleTranslation{Language: "PT", SMS: &v1alpha1.SMSTranslation{Message: "Olá"}},
		)
	}))
	var got []string
	for _, p := range problems {
		got = append(got, strings.SplitN(p.Error(), ": ", 2)[0])
	}
	want := []string{
		"spec.translations[fr].email.subject, line 2, column 1", "spec.translations[fr].email.html, line 1, column 1",
		"spec.translations[PT]", "spec.translations[PT].sms",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	_, problems = CompileLayout(&v1alpha1.NotificationLayout{Spec: v1alpha1.NotificationLayoutSpec{
		Text: "{{ content }}", Translations: []v1alpha1.LayoutTranslation{{Language: "fr", Text: "no place"}},
	}})
	if len(problems) != 1 || problems[0].Field != "spec.translations[fr].text" {
		t.Errorf("the layout's problems are %v", problems)
	}
}

// TestTranslationsOfWhatsApp checks that a message through WhatsApp uses the content template
// of the user's language, and values as written in that language.
func TestTranslationsOfWhatsApp(t *testing.T) {
	rule := sms(func(s *v1alpha1.SMSMessage) {
		s.Message = "Hello"
		s.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentSID: "HX1", ContentVariables: map[string]string{"1": "{{ created|timestamp|date }}", "2": "own"}}
	})
	rule.Spec.Translations = []v1alpha1.RuleTranslation{
		{Language: "pt", SMS: &v1alpha1.SMSTranslation{Message: "Olá", WhatsApp: &v1alpha1.WhatsAppTranslation{ContentSID: "HX2"}}},
		{Language: "fr", SMS: &v1alpha1.SMSTranslation{WhatsApp: &v1alpha1.WhatsAppTranslation{ContentVariables: map[string]string{"1": "{{ created|timestamp|date }} !"}}}},
		{Language: "es", SMS: &v1alpha1.SMSTranslation{Message: "Hola"}},
	}
	compiled := compile(t, rule)
	for language, want := range map[string]SMSOptions{
		"en": {ContentSID: "HX1", ContentVariables: `{"1":"Aug. 7, 2020","2":"own"}`},
		"pt": {ContentSID: "HX2", ContentVariables: `{"1":"7 de Agosto de 2020","2":"own"}`},
		"fr": {ContentSID: "HX1", ContentVariables: `{"1":"7 août 2020 !"}`},
		"es": {ContentSID: "HX1", ContentVariables: `{"1":"7 de agosto de 2020","2":"own"}`},
	} {
		data := fmt.Sprintf(`{"created": 1596795344112, "user": {"id": %q, "mobile": "+27820000001", "language": %q}}`, anna, language)
		decision, err := compiled.Decide(t.Context(), event(t, data, nil), "")
		if err != nil || len(decision.Messages) != 1 || decision.Messages[0].SMS != want {
			t.Errorf("%s: got %+v, %v, want %+v", language, decision, err, want)
		}
	}

	// Values of a rule that doesn't send through WhatsApp are not used.
	rule.Spec.SMS.WhatsApp = nil
	data := fmt.Sprintf(`{"user": {"id": %q, "mobile": "+27820000001", "language": "pt"}}`, anna)
	decision, err := compile(t, rule).Decide(t.Context(), event(t, data, nil), "")
	if err != nil || len(decision.Messages) != 1 || decision.Messages[0].SMS != (SMSOptions{}) {
		t.Errorf("got %+v, %v", decision, err)
	}

	rule.Spec.SMS.WhatsApp = &v1alpha1.WhatsAppTemplate{ContentSID: "HX1"}
	rule.Spec.Translations[1].SMS.WhatsApp.ContentVariables["1"] = "{% if %}"
	const path = "spec.translations[fr].sms.whatsApp.contentVariables.1"
	if _, problems := Compile(rule); len(problems) != 1 || problems[0].Field != path {
		t.Errorf("got %v, want a problem of %s", problems, path)
	}
}
