// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testmode

import (
	"strings"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

const user = "7c9b7ce5-6f4b-4a52-9e2c-0c8f1f9f0e11"

func TestAllows(t *testing.T) {
	g, err := New(Redirect, []string{" Ann@example.com", "@qa.example", "münchen.example", "+27 82 000 0001", strings.ToUpper(user)}, []string{"catch@all.example", "+27820000009"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	test := &v1alpha1.CompanyActivation{}
	test.Status.CompanyInfo.Mode = "test"
	c := g.Of(test)
	for recipient, want := range map[string]bool{
		"email ann@EXAMPLE.com": true, "email bob@example.com": false, "email ann@example.com.evil.example": false,
		"email x@qa.example": true, "email x@sub.QA.example": true, "email x@notqa.example": false, "email qa.example@evil.example": false,
		"email x@xn--mnchen-3ya.example": true, "email catch@all.example": true,
		"sms +27820000001": true, "sms +27820000002": false, "sms +27820000009": true,
		"push " + user: true, "push 00000000-0000-0000-0000-000000000000": false, "sms " + user: true,
		"system 00000000-0000-0000-0000-000000000000": true, "email ": false, "sms ": false,
	} {
		channel, recipient, _ := strings.Cut(recipient, " ")
		if got, err := c.Allows(t.Context(), v1alpha1.Channel(channel), recipient); got != want || err != nil {
			t.Errorf("%s %s: %t, %v", channel, recipient, got, err)
		}
	}
	if got := c.RedirectTo(v1alpha1.ChannelPush); got != "" {
		t.Errorf("push messages are redirected to %q", got)
	}
	production := &v1alpha1.CompanyActivation{}
	production.Status.CompanyInfo.Mode = "production"
	if g.Of(production) != nil || g.Of(&v1alpha1.CompanyActivation{}) != nil || (*Guard)(nil).Of(test) != nil {
		t.Error("the guard must cover companies in test mode, and no others")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		policy             string
		allowed, redirects []string
		want               string
	}{
		{"off", nil, nil, "--test-mode must be deliver, redirect or record"},
		{Record, nil, []string{"a@b.example"}, "--test-mode-redirect is for --test-mode=redirect"},
		{Redirect, nil, nil, "--test-mode-redirect is required"},
		{Redirect, nil, []string{"b.example"}, `--test-mode-redirect: "b.example" is not`},
		{Redirect, nil, []string{"a@b.example", "c@b.example"}, "more than one recipient of the channel email"},
		{Deliver, []string{"a@b.example"}, nil, "--test-mode-allow is for"},
		{Deliver, []string{CompanyAdmins}, nil, "--test-mode-allow is for"},
		{Record, []string{"company-admin"}, nil, "or company-admins"},
		{Record, []string{"a b"}, nil, `--test-mode-allow: "a b" is not`},
		{Record, []string{"0820000001"}, nil, `--test-mode-allow: "0820000001" is not`},
	} {
		if _, err := New(test.policy, test.allowed, test.redirects, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
