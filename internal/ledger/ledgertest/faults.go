// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import "os"

// chaos makes the tests of faults last longer.
var chaos = os.Getenv("CHAOS") == "1"

// Longer returns how many rounds a test of faults takes: the long number if the
// environment asks for it with CHAOS=1.
func Longer(short, long int) int {
	if chaos {
		return long
	}
	return short
}
