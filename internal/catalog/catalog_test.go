// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func TestOldestRules(t *testing.T) {
	g := NewWithT(t)
	begin := time.Now().Truncate(time.Second)
	var found []*v1alpha1.NotificationRule
	for i := range MaxRules + 10 {
		found = append(found, &v1alpha1.NotificationRule{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("rule-%04d", i), UID: types.UID(fmt.Sprint(i)), CreationTimestamp: metav1.NewTime(begin.Add(time.Duration(i/2) * time.Second)),
		}, Spec: v1alpha1.NotificationRuleSpec{NotificationSpec: v1alpha1.NotificationSpec{SMS: &v1alpha1.SMSMessage{}}}})
	}
	deleted := metav1.Now()
	found[3].DeletionTimestamp = &deleted
	slices.Reverse(found)
	before := slices.Clone(found)

	left, beyond := oldest(found)
	g.Expect(found).To(Equal(before), "it is the cache's own")
	g.Expect(left).To(HaveLen(MaxRules))
	g.Expect(left[3].Name).To(Equal("rule-0004"))
	g.Expect(*beyond).To(Equal(TooManyRules{Count: MaxRules + 9, UID: fmt.Sprint(MaxRules + 1), Name: fmt.Sprintf("rule-%04d", MaxRules+1), Channel: v1alpha1.ChannelSMS}))

	left, beyond = oldest(found[:MaxRules])
	g.Expect(left).To(HaveLen(MaxRules))
	g.Expect(beyond).To(BeNil())
}
