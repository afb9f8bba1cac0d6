// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "testing"

func TestBIMIHeader(t *testing.T) {
	for text, want := range map[string]string{
		"v=BIMI1; s=default": "v=BIMI1; s=default;", " v=BIMI1;s=brand-1; ": "v=BIMI1; s=brand-1;", "default": "v=BIMI1; s=default;", "a.b": "v=BIMI1; s=a.b;",
	} {
		if got, ok := BIMIHeader(text); got != want || !ok {
			t.Errorf("%q: %q, %t", text, got, ok)
		}
	}
	if got, ok := BIMIHeader(" "); got != "" || !ok {
		t.Error("there need not be a selector")
	}
	for _, text := range []string{"v=BIMI2; s=default", "v=BIMI1; s=", "a b", "-a", "a;\r\nBcc: x", "ü", "v=BIMI1; s=a; l=x"} {
		if got, ok := BIMIHeader(text); got != "" || ok {
			t.Errorf("%q: %q", text, got)
		}
	}
}
