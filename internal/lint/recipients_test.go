// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"strings"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestCommaInRecipientName checks that a comma in a recipient's name is a warning, and that one
// between recipients is not.
func TestCommaInRecipientName(t *testing.T) {
	const (
		first = `spec.email.to, line 1, column 16: the comma ends a recipient, so {{ last_name }} is one by itself: write "{{ last_name }}, {{ first_name }}" <{{ email }}>`
		third = `spec.email.to, line 2, column 18: the comma ends a recipient, so {{ last_name }} is one by itself: write "{{ last_name }}, {{ first_name }}" <{{ email }}>`
		text  = `spec.email.to, line 1, column 5: the comma ends a recipient, so Shop is one by itself: write "Shop, Ltd" <shop@example.com>`
	)
	for to, want := range map[string]string{
		`{{ last_name }}, {{ first_name }} <{{ email }}>`:                         first,
		"{{ email }},\n  {{ last_name }}, {{ first_name }} <{{ email }}>":         third,
		`Shop, Ltd <shop@example.com>`:                                            text,
		`"{{ last_name }}, {{ first_name }}" <{{ email }}>`:                       "",
		`{{ email }}, {{ first_name }} <{{ email }}>`:                             "",
		`shop@example.com, {{ first_name }} <{{ email }}>`:                        "",
		`{{ first_name }} <{{ email }}>, {{ last_name }} <{{ email }}>`:           "",
		`{{ first_name }} <{{ email }}>`:                                          "",
		`{{ first_name|default:"Doe, Joe" }} <{{ email }}>`:                       "",
		`{{ first_name }}, <{{ email }}>`:                                         "",
		`{{ email }}, {{ email }}`:                                                "",
		`{{ email }}; Joe <joe@example.com>, Jane <jane@example.com>`:             "",
		`{% for admin in admins %}{{ admin.email }}, {% endfor %}Joe <j@shop.io>`: "",
	} {
		rule := &v1alpha1.NotificationRule{}
		rule.Spec.Event = "user.update"
		rule.Spec.Email = &v1alpha1.EmailMessage{To: to, Subject: "Hello", Text: "Hello"}
		got := ""
		for _, p := range Rule(rule) {
			if strings.HasPrefix(p.Message, "the comma ") {
				got = p.Error()
			}
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", to, got, want)
		}
	}
}
