// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func TestStepsAreBounded(t *testing.T) {
	g := NewWithT(t)
	deliveries := make([]ledger.NewDelivery, 3*stepRows+7)
	for i := range deliveries {
		deliveries[i] = ledger.NewDelivery{RuleName: "rule", Recipient: fmt.Sprint(i), Content: ledger.Content{Text: fmt.Sprint(i, strings.Repeat("x", 3000))}}
	}
	steps, err := stepsOf(deliveries)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(steps)).To(BeNumerically(">", 3))
	for i := range steps {
		g.Expect(len(steps[i].deliveries)).To(BeNumerically("<=", stepRows))
		g.Expect(steps[i].bytes).To(BeNumerically("<=", stepBytes))
	}
}
