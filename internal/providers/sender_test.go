// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// lastMessage is a provider that keeps the last message.
type lastMessage struct{ provider.Message }

func (l *lastMessage) Send(_ context.Context, m provider.Message) (provider.Receipt, error) {
	l.Message = m
	return provider.Receipt{}, nil
}

// A sender is the rule's own only if nobody else could have put it there.
func TestKnownSenders(t *testing.T) {
	last := new(lastMessage)
	r := &Registry{RegistryOptions: RegistryOptions{EmailFrom: "Operator <no-reply@operator.example>"}}
	a := &v1alpha1.CompanyActivation{}
	a.Status.CompanyInfo.SystemEmail = "hello@shop.example"
	for from, own := range map[string]bool{
		"": false, "Shop <shop@example.com>": false, "shop@example.com": false, "shop@EXAMPLE.com": false, "\"Another, name\" <no-reply@operator.example>": false,
		"hello@shop.example": false, "rule@shop.example": true, "Shop <bank@example.com>": true,
	} {
		if _, err := r.known(a, last, "Shop <shop@example.com>").Send(t.Context(), provider.Message{From: from}); err != nil {
			t.Fatal(err)
		}
		if last.OwnSender != own || last.From != from {
			t.Errorf("%q counts as the rule's own: %t", from, last.OwnSender)
		}
	}
	// Templates and rules without a sender use the admin's value instead of the platform's.
	a.Spec.CompanyInfo.SystemEmail = "admin@shop.example"
	if _, err := r.known(a, last, "").Send(t.Context(), provider.Message{From: "admin@shop.example"}); err != nil || last.OwnSender {
		t.Errorf("spec.companyInfo.systemEmail counts as the rule's own: %t, %v", last.OwnSender, err)
	}
}
