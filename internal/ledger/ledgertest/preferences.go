// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testPreferences(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	set := func(company, user, rule string, enabled bool) {
		t.Helper()
		g.Expect(s.SetPreference(bg, ledger.Preference{Company: company, UserID: user, Rule: ledger.Rule{Name: rule}, Enabled: enabled})).To(Succeed())
	}
	set("shop", "zoe", "a", true)
	set("shop", "zoe", "b", false)
	set("shop", "zoe", "c", false)
	set("shop", "joe", "b", false)
	set("bank", "zoe", "a", false)
	clk.Step(time.Minute)
	set("shop", "zoe", "a", false)
	set("shop", "zoe", "c", true)
	g.Expect(s.SetPreference(bg, ledger.Preference{Company: "shop", UserID: "zoe"})).NotTo(Succeed())

	got, err := s.Preferences(bg, "shop", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	first, now := clk.Now().Add(-time.Minute), clk.Now()
	g.Expect(got).To(ConsistOf(
		ledger.Preference{Company: "shop", UserID: "zoe", Rule: ledger.Rule{Name: "a"}, Enabled: false, UpdatedAt: now},
		ledger.Preference{Company: "shop", UserID: "zoe", Rule: ledger.Rule{Name: "b"}, Enabled: false, UpdatedAt: first},
		ledger.Preference{Company: "shop", UserID: "zoe", Rule: ledger.Rule{Name: "c"}, Enabled: true, UpdatedAt: now},
	))
	g.Expect(s.Preferences(bg, "shop", "nobody")).To(BeEmpty())

	out, err := s.OptedOut(bg, "shop", []string{"zoe", "joe", "nobody"}, rules("a", "b", "c", "d"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(HaveLen(2))
	g.Expect(out["zoe"]).To(ConsistOf("a", "b"))
	g.Expect(out["joe"]).To(ConsistOf("b"))
	g.Expect(s.OptedOut(bg, "shop", []string{"zoe"}, rules("c"))).To(BeEmpty())
	g.Expect(s.OptedOut(bg, "shop", []string{"zoe"}, rules("b"))).To(HaveKeyWithValue("zoe", []string{"b"}))
	g.Expect(s.OptedOut(bg, "shop", nil, rules("b"))).To(BeEmpty())

	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(s.Preferences(bg, "shop", "zoe")).To(BeEmpty())
	g.Expect(s.Preferences(bg, "bank", "zoe")).To(HaveLen(1), "the other company's")
	g.Expect(s.Close()).To(Succeed())
	_, err = s.OptedOut(bg, "shop", []string{"zoe"}, rules("a"))
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
}

func rules(names ...string) []ledger.Rule {
	all := make([]ledger.Rule, len(names))
	for i, name := range names {
		all[i] = ledger.Rule{Name: name, UID: "uid of " + name}
	}
	return all
}

// Choices made when rules were identified by UID still count, are then stored by name, and
// outlive a change of the rule's UID.
func testPreferencesByUID(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, user := range []string{"zoe", "joe", "ann"} {
		g.Expect(s.SetPreference(bg, ledger.Preference{Company: "shop", UserID: user, Rule: ledger.Rule{Name: byUID + "1"}})).To(Succeed())
	}
	chosen, err := s.Preferences(bg, "shop", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chosen).To(HaveLen(1))
	g.Expect(chosen[0].Rule).To(Equal(ledger.Rule{UID: "1"}))
	g.Expect(s.SetPreference(bg, ledger.Preference{Company: "shop", UserID: "ann", Rule: ledger.Rule{Name: "shop/promo", UID: "1"}, Enabled: true})).To(Succeed())
	g.Expect(s.Preferences(bg, "shop", "ann")).To(HaveLen(1), "instead of the old one")

	g.Expect(s.OptedOut(bg, "shop", []string{"zoe"}, []ledger.Rule{{Name: "shop/promo", UID: "2"}})).To(BeEmpty(), "it is another rule's")
	for _, uid := range []string{"1", "2"} {
		out, err := s.OptedOut(bg, "shop", []string{"zoe", "joe", "ann"}, []ledger.Rule{{Name: "shop/promo", UID: uid}, {Name: "shop/other", UID: "3"}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out).To(Equal(map[string][]string{"zoe": {"shop/promo"}, "joe": {"shop/promo"}}), uid)
	}
}
