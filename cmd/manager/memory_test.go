// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"math"
	"runtime/debug"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/notify"
)

// Not parallel: it changes the limits of this process and restores them.
func TestMemory(t *testing.T) {
	g := NewWithT(t)
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	environment := func(names ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for _, n := range names {
				if n == name {
					return "", true
				}
			}
			return "", false
		}
	}
	gigabyte := func() (uint64, error) { return 1 << 30, nil }
	s := &settings{}

	tuneMemory(environment(), func() (uint64, error) { return 0, errors.New("no limit") })
	g.Expect(debug.SetMemoryLimit(-1)).To(BeEquivalentTo(math.MaxInt64))
	g.Expect(s.memoryBudget()).To(BeEquivalentTo(unlimitedBudget))

	tuneMemory(environment("GOMEMLIMIT"), gigabyte)
	g.Expect(debug.SetMemoryLimit(-1)).To(BeEquivalentTo(math.MaxInt64), "the environment set it")

	tuneMemory(environment("GOGC"), gigabyte)
	g.Expect(debug.SetMemoryLimit(-1)).To(BeNumerically("~", 717<<20, 1<<20))
	g.Expect(s.memoryBudget()).To(BeNumerically("~", 119<<20, 1<<20))

	debug.SetMemoryLimit(64 << 20)
	g.Expect(s.memoryBudget()).To(BeEquivalentTo(leastBudget))
	s.memory = "100Mi"
	g.Expect(s.memoryBudget()).To(BeEquivalentTo(100 << 20))
}

// TestLeastMemoryBudgetHoldsTheLargestEvent checks that an event that the server accepts
// fits into a company's share of any budget.
func TestLeastMemoryBudgetHoldsTheLargestEvent(t *testing.T) {
	const webhookBody = 1 << 20 // webhookserver.Limits.WebhookBody
	NewWithT(t).Expect(notify.MaxDataCost(webhookBody)).To(BeNumerically("<=", leastBudget/2))
}
