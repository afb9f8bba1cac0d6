// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notifications

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func TestNotificationNumbers(t *testing.T) {
	g := gomega.NewWithT(t)
	now := time.Now()
	rule := func(name string, age time.Duration) *v1alpha1.NotificationRule {
		return &v1alpha1.NotificationRule{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(fmt.Sprint(name, age)), CreationTimestamp: metav1.NewTime(now.Add(-age)),
		}}
	}
	ids := func(all All) map[string]int64 {
		numbers := make(map[string]int64)
		for _, n := range all {
			numbers[n.Rule.Name] = n.ID
		}
		return numbers
	}
	same := func(string) int64 { return maxNumber }
	want := map[string]int64{"a": maxNumber, "b": 1, "c": 2}
	g.Expect(ids(number([]*v1alpha1.NotificationRule{rule("c", 0), rule("b", 0), rule("a", time.Hour)}, same))).To(gomega.Equal(want))
	g.Expect(ids(number([]*v1alpha1.NotificationRule{rule("a", 0), rule("c", time.Hour), rule("b", time.Minute)}, same))).
		To(gomega.Equal(want), "replaced rules keep their ids")

	id := func(name string) int64 { return Number("acme", name) }
	all := number([]*v1alpha1.NotificationRule{rule("a", 0), rule("b", time.Hour)}, id)
	g.Expect(all[0].Rule.Name).To(gomega.Equal("b"), "oldest first")
	for _, n := range all {
		g.Expect(n.ID).To(gomega.BeNumerically(">", 0))
		g.Expect(n.ID).To(gomega.BeNumerically("<=", maxNumber))
		found, ok := all.ByID(n.ID)
		g.Expect(ok).To(gomega.BeTrue())
		g.Expect(found).To(gomega.Equal(n))
	}
	_, ok := all.ByID(0)
	g.Expect(ok).To(gomega.BeFalse())
	g.Expect(Number("acme", "shop/a")).NotTo(gomega.Equal(Number("other", "shop/a")))
}
