// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/rehive/extension-operator/internal/meter"
)

// TestRuneCases compares the case mappings of single characters with Unicode's full
// mappings, and methods with the functions that they call.
func TestRuneCases(t *testing.T) {
	upper, lower := cases.Upper(language.Und), cases.Lower(language.Und)
	for r := range rune(0x1f000) { // beyond there are no cases
		s := string(r)
		if got, want := upperRune(r), upper.String(s); got != want {
			t.Errorf("upper of %U: got %q, want %q", r, got, want)
		}
		if got, want := lowerRune(r), lower.String(s); got != want {
			t.Errorf("lower of %U: got %q, want %q", r, got, want)
		}
	}
	long := strings.Repeat("ΑΣ ΑΣ.Α ßŉ İ'Σ\n", 5000)
	for _, name := range []string{"upper", "lower", "title", "capitalize", "swapcase", "casefold"} {
		m := meter.New(context.Background(), 1e9, 1e9)
		whole, err := map[string]func(*meter.Meter, string) (string, error){
			"upper": upperText, "lower": lowerText, "title": titleText, "capitalize": capitalizeText, "swapcase": swapcaseText, "casefold": casefoldText,
		}[name](nil, long)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := CallMethod(&m, Str(long), name, nil)
		if err != nil || got != Str(whole) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
}
