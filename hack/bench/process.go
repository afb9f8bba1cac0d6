// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// cpuTime returns the CPU time of a process.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return time.Duration(stat.CPUTime() * float64(time.Second)), nil
}

// residentBytes returns the resident memory of a process.
func residentBytes(pid int) (int64, error) {
	stat, err := stat(pid)
	return int64(stat.ResidentMemory()), err
}

func stat(pid int) (procfs.ProcStat, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("reading the process's state: %w", err)
	}
	stat, err := process.Stat()
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("reading the process's state: %w", err)
	}
	return stat, nil
}

// openFiles returns the number of open files of a process.
func openFiles(pid int) (int, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("counting the process's files: %w", err)
	}
	return process.FileDescriptorsLen()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// errNoMetric reports that the manager does not export a metric, or not yet.
var errNoMetric = errors.New("the manager has no such metric")

// metric returns the sum of a metric of the manager, optionally only of the series with one
// of the label values.
func (b *bench) metric(ctx context.Context, name string, values ...string) (float64, error) {
	page, err := b.set.Manager.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		return 0, fmt.Errorf("reading the manager's metrics: %w", err)
	}
	family := families[name]
	if family == nil {
		return 0, fmt.Errorf("%w: %s", errNoMetric, name)
	}
	var sum float64
	for _, m := range family.GetMetric() {
		counts := len(values) == 0
		for _, label := range m.GetLabel() {
			counts = counts || slices.Contains(values, label.GetValue())
		}
		if counts {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s was answered %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
