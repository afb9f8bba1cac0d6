// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package phone

import "testing"

func TestE164(t *testing.T) {
	for _, c := range []struct{ number, region, want string }{
		{"+27 82 000 0001", "", "+27820000001"},
		{"082 000 0001", "ZA", "+27820000001"},
		{"082-000-0001", "za", "+27820000001"},
		{"(415) 555-2671", "US", "+14155552671"},
		{"+1.415.555.2671", "ZA", "+14155552671"},
		{"+27820000001\n", "", "+27820000001"},
		{"082 000 0001", "", ""},
		{"27820000001", "", ""},
		{"+2782000000100000", "", ""},
		{"+27", "", ""},
		{"+999 123456789", "", ""},
		{"12", "ZA", ""},
		{"1-800-FLOWERS", "US", ""},
		{"+27820000001;ext=5", "", ""},
		{"+27820000001\nBcc: x", "", ""},
		{"０８２0000001", "ZA", ""},
		{"", "ZA", ""},
	} {
		got, err := E164(c.number, c.region)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q in %q is %q, %v, want %q", c.number, c.region, got, err, c.want)
		}
	}
}

func FuzzE164(f *testing.F) {
	f.Add("+27 82 000 0001", "ZA")
	f.Add("0820000001", "")
	f.Fuzz(func(t *testing.T, number, region string) {
		got, err := E164(number, region)
		if err != nil {
			return
		}
		if again, err := E164(got, ""); err != nil || again != got {
			t.Errorf("%q became %q and then %q, %v", number, got, again, err)
		}
	})
}
