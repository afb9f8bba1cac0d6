// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func testPreferences(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	set := func(company, user, rule string, enabled bool) {
		t.Helper()
		g.Expect(s.SetPreference(bg, Preference{Company: company, UserID: user, RuleUID: rule, Enabled: enabled})).To(Succeed())
	}
	set("shop", "zoe", "a", true)
	set("shop", "zoe", "b", false)
	set("shop", "zoe", "c", false)
	set("shop", "joe", "b", false)
	set("bank", "zoe", "a", false)
	clk.Step(time.Minute)
	set("shop", "zoe", "a", false)
	set("shop", "zoe", "c", true)
	g.Expect(s.SetPreference(bg, Preference{Company: "shop", UserID: "zoe"})).NotTo(Succeed())

	got, err := s.Preferences(bg, "shop", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	first, now := clk.Now().Add(-time.Minute), clk.Now()
	g.Expect(got).To(ConsistOf(
		Preference{Company: "shop", UserID: "zoe", RuleUID: "a", Enabled: false, UpdatedAt: now},
		Preference{Company: "shop", UserID: "zoe", RuleUID: "b", Enabled: false, UpdatedAt: first},
		Preference{Company: "shop", UserID: "zoe", RuleUID: "c", Enabled: true, UpdatedAt: now},
	))
	g.Expect(s.Preferences(bg, "shop", "nobody")).To(BeEmpty())

	out, err := s.OptedOut(bg, "shop", []string{"zoe", "joe", "nobody"}, []string{"a", "b", "c", "d"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(HaveLen(2))
	g.Expect(out["zoe"]).To(ConsistOf("a", "b"))
	g.Expect(out["joe"]).To(ConsistOf("b"))
	g.Expect(s.OptedOut(bg, "shop", []string{"zoe"}, []string{"c"})).To(BeEmpty())
	g.Expect(s.OptedOut(bg, "shop", []string{"zoe"}, []string{"b"})).To(HaveKeyWithValue("zoe", []string{"b"}))
	g.Expect(s.OptedOut(bg, "shop", nil, []string{"b"})).To(BeEmpty())

	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(s.Preferences(bg, "shop", "zoe")).To(BeEmpty())
	g.Expect(s.Preferences(bg, "bank", "zoe")).To(HaveLen(1), "the other company's")
	g.Expect(s.Close()).To(Succeed())
	_, err = s.OptedOut(bg, "shop", []string{"zoe"}, []string{"a"})
	g.Expect(err).To(MatchError(ErrUnavailable))
}
