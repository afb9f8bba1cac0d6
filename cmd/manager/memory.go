// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rehive/extension-operator/internal/flow"
)

const (
	// gcPercent is the size of the garbage, relative to the live heap, at which it is
	// collected. The live heap is a few tens of megabytes, and the messages of one second
	// are as much again: with Go's default of 100, garbage collection took an eighth of
	// the CPU. GOGC overrides it.
	gcPercent = 200
	// memoryShare is the share of the container's memory that Go may use before it
	// collects garbage earlier than gcPercent demands: a hundred thousand rules need 400
	// MiB, and twice as much garbage would not fit into the gigabyte of config/manager.
	// The rest is for memory that Go does not count, such as the caches of SQLite and the
	// kernel. GOMEMLIMIT overrides it.
	memoryShare = 0.7
	// budgetPart is the divisor of Go's memory that gives the default of --memory-budget.
	// The rest holds the rules, the bodies of webhooks, and garbage.
	budgetPart = 6
	// unlimitedBudget is the default if Go's memory is not limited.
	unlimitedBudget = 256 << 20
	// leastBudget is the minimum for which half of the budget, one company's share, fits
	// the largest event that the server accepts.
	leastBudget = 40 << 20
)

// tuneMemory sets the garbage collection, unless the environment does. container returns
// the memory limit of the container in bytes, or an error if it has none.
func tuneMemory(lookupEnv func(string) (string, bool), container func() (uint64, error)) {
	if _, ok := lookupEnv("GOGC"); !ok {
		debug.SetGCPercent(gcPercent)
	}
	if _, ok := lookupEnv("GOMEMLIMIT"); ok {
		return
	}
	if limit, err := container(); err == nil && limit > 0 && limit < math.MaxInt64 {
		debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
	}
}

// containerMemory reads the limit of cgroup v1 or v2.
func containerMemory() (uint64, error) { return memlimit.FromCgroup() }

// memoryBudget returns the bytes of --memory-budget, or its default based on Go's memory
// limit.
func (s *settings) memoryBudget() (int64, error) {
	if s.memory == "" {
		limit := debug.SetMemoryLimit(-1) // only reads the limit
		if limit == math.MaxInt64 {
			return unlimitedBudget, nil
		}
		return max(limit/budgetPart, leastBudget), nil
	}
	quantity, err := resource.ParseQuantity(s.memory)
	if err != nil {
		return 0, fmt.Errorf("--memory-budget %q must be a number of bytes such as 128Mi", s.memory)
	}
	n, ok := quantity.AsInt64()
	if !ok || n < leastBudget {
		return 0, fmt.Errorf("--memory-budget must be at least 40Mi, not %s: one company may use half of it, and that must hold the largest event", s.memory)
	}
	return n, nil
}

// newMemoryBudget creates the budget that the workers share, with its metrics.
func newMemoryBudget(s *settings) (*flow.Budget, error) {
	total, err := s.memoryBudget()
	if err != nil {
		return nil, err
	}
	budget := flow.NewBudget(total)
	for _, gauge := range []prometheus.Collector{
		gaugeOf("memory_budget_bytes", "Memory that events and messages in progress may use together.", func() int64 { return total }),
		gaugeOf("memory_budget_used_bytes", "Memory that is reserved for events and messages in progress.", budget.Used),
		gaugeOf("memory_budget_waiting", "Events and messages that are waiting for memory.", func() int64 { return int64(budget.Waiting()) }),
	} {
		if err := metrics.Registry.Register(gauge); err != nil {
			return nil, fmt.Errorf("registering the metrics of the memory budget: %w", err)
		}
	}
	return budget, nil
}

func gaugeOf(name, help string, value func() int64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "rehive_extension", Name: name, Help: help},
		func() float64 { return float64(value()) })
}
