// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestParse(t *testing.T) {
	for list, want := range map[string]string{
		"":                     "own",
		" , ":                  "own",
		"own":                  "own",
		"team-b, team-a,own,,": "own,team-a,team-b",
		"*":                    "*",
		" * ,":                 "*",
	} {
		t.Run(list, func(t *testing.T) {
			g := NewWithT(t)
			set, err := Parse("own", list)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(set.String()).To(Equal(want))
			again, err := Parse("own", set.String())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(again).To(Equal(set))
		})
	}
	for list, want := range map[string]string{
		"Team":     `"Team" is not a valid namespace name`,
		"a/b":      "not a valid namespace name",
		"a b":      "not a valid namespace name",
		"*,team-a": "name no others",
		"team-*":   "not a valid namespace name",
	} {
		t.Run(list, func(t *testing.T) {
			_, err := Parse("own", list)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)))
		})
	}
}

func TestHas(t *testing.T) {
	g := NewWithT(t)
	set := Of("own", "team-b", "team-a", "own")
	for _, name := range strings.Split("own,team-a,team-b", ",") {
		g.Expect(set.Has(name)).To(BeTrue(), name)
	}
	g.Expect(set.Has("team-c")).To(BeFalse())
	g.Expect(set.Has("")).To(BeFalse())
	g.Expect(All().Has("team-c")).To(BeTrue())
	g.Expect(Set{}.Has("own")).To(BeFalse(), "the zero value must not open the cluster")
	g.Expect(Set{}.IsAll()).To(BeFalse())
}

func TestCacheNamespaces(t *testing.T) {
	g := NewWithT(t)
	g.Expect(All().CacheNamespaces()).To(BeNil(), "nil is every namespace")
	g.Expect(Of("own", "team-a").CacheNamespaces()).To(And(HaveLen(2), HaveKey("own"), HaveKey("team-a")))
}
