// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

// Share returns how many more slots a party may take, given how many are free and how many
// it holds already, so that it ends up with three times as many as stay free. A single party
// gets three quarters of all slots, and however many parties take their full share, some
// slots stay free for the next. A party that holds none may always take one of the free
// slots. The result may be negative.
func Share(free, held int) int {
	if held == 0 && free > 0 {
		return max(1, 3*free/4)
	}
	return (3*free - held) / 4
}
