// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import "testing"

func TestRepr(t *testing.T) {
	v, err := FromJSON([]byte(`{"b": [1, 2.0, 1e22, 1e-7, 0.1, -0.0, 123456789012345678901, "a'b", "a'\"\n\u00a0é\\", null, true], "a": {}, "b2": 1e16}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{'b': [1, 2.0, 1e+22, 1e-07, 0.1, -0.0, 123456789012345678901, "a'b", 'a\'"\n\xa0é\\', None, True], 'a': {}, 'b2': 1e+16}`
	if got := Repr(v); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
