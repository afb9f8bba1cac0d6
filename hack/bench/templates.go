// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// templateBars are the targets for how many times as fast as the others ours should be.
var templateBars = map[string]bar{
	"render/Django":     atLeast(20),
	"render/pongo2":     atLeast(2),
	"expression/Django": atLeast(20),
}

// templates runs hack/bench/templates, which is a separate module so that the operator
// doesn't depend on the other engines.
func (b *bench) templates(ctx context.Context) error {
	arguments := []string{"run", ".", "-json"}
	if b.short {
		arguments = append(arguments, "-rounds=3", "-time=100ms")
	}
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = filepath.Join(b.root, "hack", "bench", "templates")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("running hack/bench/templates: %w", err)
	}
	t := &table{name: "templates", title: "Templates and expressions, on one core", what: "work", columns: []string{
		"op/s", "ours is × as fast", "allocations/op", "B/op",
	}}
	ours := make(map[string]float64)
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var r struct {
			Scenario, Engine   string
			Rates              sample
			Allocations, Bytes float64
		}
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading the output of hack/bench/templates: %w", err)
		}
		var times, allocations, size sample
		if first, ok := ours[r.Scenario]; ok {
			times = sample{first / r.Rates.median()}
			b.report(r.Scenario+", compared with "+r.Engine, times, " times as fast", templateBars[r.Scenario+"/"+r.Engine])
		} else {
			ours[r.Scenario] = r.Rates.median() // ours comes first
		}
		if r.Allocations > 0 {
			allocations, size = sample{r.Allocations}, sample{r.Bytes}
		}
		t.add(r.Scenario+", "+r.Engine, r.Rates, times, allocations, size)
	}
	t.note("a 40-line email with a loop; a rule's condition, with simpleeval for Django; all have the same output")
	return b.finish(t)
}
