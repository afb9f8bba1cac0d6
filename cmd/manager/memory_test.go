// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestMemoryLimit(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "memory.max")
	g.Expect(memoryLimit(file)).To(BeZero(), "there is no such file")
	for content, limit := range map[string]int64{"1073741824\n": 1 << 30, "max\n": 0, "": 0} {
		g.Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
		g.Expect(memoryLimit(file)).To(Equal(limit), content)
	}
}
