// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

// Share returns how many more slots a party may take that holds some, given how many
// are free, so that it ends up with three times as many as stay free. One party alone
// gets three quarters of all slots, and however many parties take what they can get,
// some slots stay free for the next. A party that holds none may take one of the free
// slots. The result may be negative.
func Share(free, held int) int {
	if held == 0 && free > 0 {
		return max(1, 3*free/4)
	}
	return (3*free - held) / 4
}
