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
