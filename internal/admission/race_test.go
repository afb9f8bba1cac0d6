// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package admission

import "github.com/rehive/extension-operator/internal/meter/metertest"

func init() { metertest.Slowdown = 15 }
