// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
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
		if err == nil && stats.EventOverdue > 0 {
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

// A company with thousands of events whose rule computes as long as it may holds up
// nobody else.
func TestDispatchSlowRulesOfOneCompany(t *testing.T) {
	const flood, others = 400, 5
	s := newScene(t, "slow")
	s.rule("slow", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		loop := "{% for a in many %}"
		r.Email.Text = strings.Repeat(loop, 5) + "{{ a|upper }}" + strings.Repeat("{% endfor %}", 5)
	})
	data := `{"to":"zoe@example.com","many":[` + strings.Repeat("1,", 99) + `1]}`
	slow := s.activation
	var accepting errgroup.Group
	accepting.SetLimit(64)
	for i := range flood {
		accepting.Go(func() error {
			_, err := s.store.AcceptEvent(t.Context(), ledger.Event{Company: slow.Spec.Company, ID: fmt.Sprint("flood-", i), Name: "user.update", Data: []byte(data), ReceivedAt: s.clock.Now()})
			return err
		})
	}
	s.must(accepting.Wait())

	s.activation = s.otherCompany("quick")
	s.rule("quick", "user.update", nil)
	// How many of the slow events are decided before an event of the other company doesn't
	// depend on the speed of the machine.
	pending := func() int {
		stats, err := s.store.Stats(t.Context())
		s.must(err)
		return int(stats.PendingEvents)
	}
	var passed []int
	for i := range others {
		id := fmt.Sprint("quick-", i)
		s.accept(id, "user.update", `{"to":"zoe@example.com"}`)
		before := pending()
		s.deliveries(id, 1)
		passed = append(passed, before-pending())
	}
	t.Logf("%v slow events were decided before the other company's", passed)
	if most := slices.Max(passed); most > flood/8 {
		t.Errorf("%d of %d slow events were decided before an event of the other company", most, flood)
	}
	s.activation = slow
	decided := 0
	found, err := s.store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: slow.Spec.Company, Limit: flood})
	s.must(err)
	for _, d := range found {
		decided++
		if d.Reason != "RenderFailed" && d.Reason != "TooSlow" {
			t.Fatalf("the rule ended with %s: %s", d.Reason, d.Message)
		}
	}
	t.Logf("%d of the slow events were decided meanwhile", decided)
	if decided == flood {
		t.Error("the slow events were over before the others, so the test shows nothing")
	}
}

// Large events are read when there is memory for them; those that would take too much
// end with the reason, at once.
func TestDispatchLargeEvents(t *testing.T) {
	s := newScene(t, "large")
	s.rule("a", "user.update", nil)
	s.accept("large", "user.update", `{"to":"zoe@example.com","note":"`+strings.Repeat("x", ledger.MaxClaimedData)+`"}`)
	s.accept("many", "user.update", `{"to":"zoe@example.com","list":[`+strings.Repeat("{},", notify.MaxValues)+`1]}`)
	s.accept("wrong", "user.update", `{"to":`)
	s.accept("small", "user.update", `{"to":"zoe@example.com"}`)
	s.deliveries("large", 1)
	s.deliveries("small", 1)
	s.drained()
	reasons := map[string]string{}
	quarantined, err := s.store.QuarantinedEvents(t.Context(), s.activation.Spec.Company, 0, 10)
	s.must(err)
	for _, e := range quarantined {
		reasons[e.ID] = e.Reason
		if e.Attempts != 1 || e.Message == "" {
			t.Errorf("%s was quarantined after %d attempts: %q", e.ID, e.Attempts, e.Message)
		}
	}
	if want := map[string]string{"many": "TooLarge", "wrong": "InvalidData"}; !maps.Equal(reasons, want) {
		t.Errorf("quarantined are %v, want %v", reasons, want)
	}
}
