// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e_poison

package dispatch

import (
	"bytes"
	"os"
)

// poison ends the process at an event that kills, unless the file that
// E2E_ANTIDOTE names exists.
func poison(data []byte) {
	if !bytes.Contains(data, []byte(`"e2e-poison"`)) {
		return
	}
	if _, err := os.Stat(os.Getenv("E2E_ANTIDOTE")); err != nil {
		os.Exit(2)
	}
}
