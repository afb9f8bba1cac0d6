// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package e2e

import "testing"

func testFullDisk(t *testing.T) { t.Skip("only Linux can limit the files of another process") }
