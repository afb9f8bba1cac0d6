// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/internal/testmode"
)

// recorder is a provider that keeps the recipients.
type recorder []string

func (r *recorder) Send(_ context.Context, m provider.Message) (provider.Receipt, error) {
	*r = append(*r, m.To)
	return provider.Receipt{}, nil
}

// TestTestMode checks that nothing leaves a company in test mode for a stranger, however the
// message came into the ledger, and that this follows the company's mode.
func TestTestMode(t *testing.T) {
	guard, err := testmode.New(testmode.Record, []string{"qa.example"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sent recorder
	s := newScene(t, "testmode", func(o *RegistryOptions) {
		o.TestMode, o.Fallback = guard, delivery.ByChannel{"email": &sent}
	})
	to := func(recipient string) error {
		m := message()
		m.To = recipient
		return s.send(v1alpha1.ChannelEmail, m)
	}
	s.must(to("jane@planted.example"))
	s.company = s.company.DeepCopy()
	s.company.Status.CompanyInfo.Mode = "test"
	s.must(to("jane@qa.example"))
	var classed *provider.Error
	if err := to("jane@planted.example"); !errors.As(err, &classed) || classed.Reason != ReasonTestMode || !provider.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if len(sent) != 2 {
		t.Errorf("sent to %v", sent)
	}
}

// TestTestModeAdmins checks that a message to an admin of a company in test mode is sent, and that
// one waits, with the reason, while it is unknown whether its recipient is an admin.
func TestTestModeAdmins(t *testing.T) {
	platform := rehivetest.New(rehivetest.Options{})
	t.Cleanup(platform.Close)
	const company = "testmode-admins"
	var sent recorder
	clock := clocktesting.NewFakeClock(time.Now())
	s := newScene(t, company, func(o *RegistryOptions) { o.Fallback = delivery.ByChannel{"email": &sent} })
	s.must(platform.Start("127.0.0.1:0"))
	if _, err := platform.AddCompany(rehivetest.Company{ID: company}); err != nil {
		t.Fatal(err)
	}
	admin, err := platform.AddUser(company, rehivetest.User{Email: "ada@planted.example", Group: "admin"})
	s.must(err)
	client, err := rehive.New(platform.URL())
	s.must(err)
	t.Cleanup(client.CloseIdleConnections)
	known := &tokens{token: admin.Token}
	s.registry.TestMode, err = testmode.New(testmode.Record, []string{testmode.CompanyAdmins}, nil, testmode.NewAdmins(client, known.Token, clock))
	s.must(err)
	s.company = s.company.DeepCopy()
	s.company.Status.CompanyInfo.Mode = "test"
	to := func(recipient string) error {
		m := message()
		m.To = recipient
		return s.send(v1alpha1.ChannelEmail, m)
	}
	s.must(to("Ada@planted.example"))
	var classed *provider.Error
	if err := to("jane@planted.example"); !errors.As(err, &classed) || classed.Reason != ReasonTestMode {
		t.Errorf("to a stranger: %v", err)
	}
	for _, test := range []struct {
		name   string
		fault  rehivetest.Fault
		token  string
		reason string
		class  func(error) bool
	}{
		{"unavailable", rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 503}, admin.Token, ReasonAdminsUnavailable, func(err error) bool { return !provider.IsPermanent(err) && !provider.IsMisconfigured(err) }},
		{"forbidden", rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 403}, admin.Token, ReasonPermissionMissing, provider.IsMisconfigured},
		{"unauthorized", rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 401}, admin.Token, ReasonTokenRefused, provider.IsMisconfigured},
		{"without a token", rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 503}, "", ReasonTokenRefused, provider.IsMisconfigured},
		{"throttled", rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 429, RetryAfter: "60"}, admin.Token, ReasonAdminsUnavailable, func(err error) bool { return !provider.IsPermanent(err) && !provider.IsMisconfigured(err) }},
		{"held back", rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: 503}, admin.Token, ReasonPlatformBusy, provider.IsHeldBack},
	} {
		clock.Step(testmode.AdminsTTL)
		known.token, test.fault.Path = test.token, "/3/admin/users/"
		remove := platform.InjectFault(test.fault)
		err := to("ada@planted.example")
		remove()
		if !errors.As(err, &classed) || classed.Reason != test.reason || !test.class(err) || strings.Contains(err.Error(), "@") {
			t.Errorf("%s: %v (%s)", test.name, err, classed.Reason)
		}
	}
	if len(sent) != 1 {
		t.Errorf("sent to %v", sent)
	}
}
