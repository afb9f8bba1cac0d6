// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// otherCompany is a second company beside the scene's, with a token of its own.
func (s *scene) otherCompany(name string) *v1alpha1.CompanyActivation {
	s.t.Helper()
	a := &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.activation.Namespace, Name: name},
		Spec:       v1alpha1.CompanyActivationSpec{Company: s.activation.Namespace + "-" + name},
	}
	s.must(kube.Create(s.t.Context(), a))
	token, err := s.platform.IssueToken(s.seed.Company, s.seed.Admin.ID)
	s.must(err)
	s.must(activation.Save(s.t.Context(), kube, a, activation.Credentials{Token: token}))
	s.eventually("the other company's token", func() error {
		known, err := rules.Activation(s.t.Context(), a.Spec.Company)
		if err != nil {
			return err
		}
		if found, err := rules.Token(s.t.Context(), known); err != nil || found != token {
			return fmt.Errorf("it is not there yet (%w)", err)
		}
		return nil
	})
	return a
}

// A company whose calls of the platform hang holds up nobody else, and not its own
// events that need no call.
func TestDispatchPlatformHangsForOneCompany(t *testing.T) {
	s := newScene(t, "hangs")
	s.rule("fee", "transaction.execute", func(r *v1alpha1.NotificationRuleSpec) { r.Email.Text = "fee {{ computed.fee }}" })
	s.rule("plain", "user.update", nil)
	hanging := s.activation
	s.platform.InjectFault(rehivetest.Fault{Path: "/3/admin/transactions/", Token: s.seed.Admin.Token, Kind: rehivetest.FaultHang})
	data := func(i int) string {
		return fmt.Sprintf(`{"to":"zoe@example.com","id":"00000000-0000-0000-0000-%012d","fee":-5,"amount":1}`, i)
	}
	const flood = 500
	for i := range flood {
		s.accept(fmt.Sprint("flood-", i), "transaction.execute", data(i))
	}
	s.eventually("the flood to be met", func() error {
		stats, err := s.store.Stats(t.Context())
		if err == nil && stats.OldestEventDue.Before(s.clock.Now()) && !stats.OldestEventDue.IsZero() {
			err = errors.New("some are due")
		}
		return err
	})

	s.activation = s.otherCompany("other")
	s.rule("other-fee", "transaction.execute", func(r *v1alpha1.NotificationRuleSpec) { r.Email.Text = "fee {{ computed.fee }}" })
	s.accept("1", "transaction.execute", data(1))
	if got := s.deliveries("1", 1)[0]; got.Content.Text != "fee -5" {
		t.Errorf("the text is %q", got.Content.Text)
	}
	s.activation = hanging
	s.accept("2", "user.update", `{"to":"zoe@example.com"}`)
	s.deliveries("2", 1)
	for i := range flood {
		found, err := s.store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: hanging.Spec.Company, EventID: fmt.Sprint("flood-", i)})
		if err != nil || len(found) > 0 {
			t.Fatalf("%d deliveries without knowing the fee: %v", len(found), err)
		}
	}
}
