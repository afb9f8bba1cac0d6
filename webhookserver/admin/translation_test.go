// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestTranslationsOfSeveralChannels checks that a rule with texts of several channels, which
// only kubectl can store, has the same translations in the API each time. Otherwise an
// unrelated request may replace them.
func TestTranslationsOfSeveralChannels(t *testing.T) {
	of := []v1alpha1.RuleTranslation{{
		Language: "fr",
		Email:    &v1alpha1.EmailTranslation{Subject: "email", HTML: "<b>email</b>"},
		SMS:      &v1alpha1.SMSTranslation{Message: "sms"},
		Push:     &v1alpha1.TitledTranslation{Title: "push", Message: "push"},
		System:   &v1alpha1.TitledTranslation{Title: "system", Message: "system"},
	}}
	const want = `{"fr":{"html_message":"<b>email</b>","push_message":"push","sms_message":"sms","subject":"email","text_message":"system"}}`
	for range 50 {
		if got := string(readTranslations(of).encode()); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

// TestTranslationsAsJSON checks that translations are valid JSON with the texts that they
// have.
func TestTranslationsAsJSON(t *testing.T) {
	for want, of := range map[string]translations{
		"": {},
		`{"ar":{"subject":"\"مرحبا\"\n<b>\u2028"},"fr":{"html_message":"<p>é</p>","whatsapp_content_variables":{"1":"a","2":"b"}}}`: {
			"fr": {"whatsapp_content_variables": `{"1":"a","2":"b"}`, "html_message": "<p>é</p>", "subject": ""},
			"de": {"subject": ""}, "es": {},
			"ar": {"subject": "\"مرحبا\"\n<b>\u2028"},
		},
	} {
		got := of.encode()
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
		if again, err := decodeTranslations(got); err != nil || string(again.encode()) != want {
			t.Errorf("decoded: %v, %v", again, err)
		}
	}
}
