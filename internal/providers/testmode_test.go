// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
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
	guard, err := testmode.New(testmode.Record, []string{"qa.example"}, nil)
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
