// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes where the figures were measured.
type machine struct {
	CPU       string  `json:"cpu"`
	Cores     int     `json:"cores"`
	MemoryGiB float64 `json:"memoryGiB"`
	Kernel    string  `json:"kernel"`
	Go        string  `json:"go"`
	// FsyncsPerSecond is how many times per second 4 KiB can be appended to a file and
	// synced.
	FsyncsPerSecond float64 `json:"fsyncsPerSecond"`
	// LoadBefore is the load average at the start. More than a few tenths means that
	// something else was running.
	LoadBefore string    `json:"loadBefore"`
	Version    string    `json:"version"`
	Date       time.Time `json:"date"`
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GiB, Linux %s, %s, %.0f fsyncs/s of 4 KiB, load %s before", m.CPU, m.Cores, m.MemoryGiB, m.Kernel, m.Go, m.FsyncsPerSecond, m.LoadBefore)
}

func describeMachine(dir string) (machine, error) {
	m := machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Truncate(time.Second)}
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(content)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if content, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.LoadBefore, _, _ = strings.Cut(string(content), " ")
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		m.MemoryGiB = float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = string(bytes.TrimRight(name.Release[:], "\x00"))
	}
	var err error
	m.FsyncsPerSecond, err = fsyncRate(dir, 2*time.Second)
	return m, err
}

// fsyncRate measures the limit of a durable database that doesn't batch writes.
func fsyncRate(dir string, length time.Duration) (perSecond float64, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, fmt.Errorf("measuring the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4<<10)
	start, n := time.Now(), 0
	for ; time.Since(start) < length; n++ {
		if _, err := f.Write(page); err != nil {
			return 0, fmt.Errorf("measuring the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measuring the disk: %w", err)
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}
