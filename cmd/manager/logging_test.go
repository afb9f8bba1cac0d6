// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
)

// TestLogIsSampled logs much more than an operator can read. docs/security.md has the bound.
func TestLogIsSampled(t *testing.T) {
	for _, level := range []string{"debug", "info", "error"} {
		t.Run(level, func(t *testing.T) {
			g := NewWithT(t)
			var written bytes.Buffer
			log := newLogger(&settings{logLevel: level, logFormat: "json"}, &written)
			const entries = 10_000
			for i := range entries {
				log.Error(errors.New("it failed"), "Could not answer a request", "remote", i)
				log.V(1).Info("Refused a request", "remote", i)
			}
			lines := bytes.Count(written.Bytes(), []byte("\n"))
			g.Expect(lines).To(BeNumerically(">=", 100))
			// The loop may take some seconds on a busy machine.
			g.Expect(lines).To(BeNumerically("<", entries/5))
			g.Expect(written.String()).To(ContainSubstring(`"remote":0`))
		})
	}
}
