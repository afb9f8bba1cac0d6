// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// userHz is the number of clock ticks per second in /proc/<pid>/stat, the same on every
// Linux that Go supports.
const userHz = 100

// cpuTime returns the CPU time of a process.
func cpuTime(pid int) (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the process's times: %w", err)
	}
	// The second field, the name, is in parentheses and may contain spaces.
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("reading the process's times: unexpected format of /proc")
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the process's times: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// residentBytes returns the resident memory of a process.
func residentBytes(pid int) (int64, error) { return memoryOf(pid, "VmRSS:") }

// peakBytes returns the peak resident memory of a process.
func peakBytes(pid int) (int64, error) { return memoryOf(pid, "VmHWM:") }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func memoryOf(pid int, field string) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the process's memory: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("reading the process's memory: /proc does not contain it")
}

// openFiles returns the number of open files of a process.
func openFiles(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

// errNoMetric reports that the manager does not export a metric, or not yet.
var errNoMetric = errors.New("the manager has no such metric")

// metric returns the sum of a metric of the manager, optionally only of the series with one
// of the label values.
func metric(ctx context.Context, url, name string, values ...string) (float64, error) {
	body, err := get(ctx, url)
	if err != nil {
		return 0, fmt.Errorf("reading the manager's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
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

// ownCPUTime returns the CPU time of this process.
func ownCPUTime() (time.Duration, error) { return cpuTime(os.Getpid()) }
