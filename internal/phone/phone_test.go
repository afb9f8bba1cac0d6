// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package phone

import (
	"strings"
	"testing"
	"unicode"
)

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
		{"０８２0000001", "ZA", "+27820000001"},
		{"＋27（82）000．0001", "", "+27820000001"},
		{"\u202a+27 82 000 0001\u202c", "", "+27820000001"},
		{"+27 82\u2011000\u20110001", "", "+27820000001"},
		{"+27 82\u2013000\u22120001", "", "+27820000001"},
		{"\ufeff+27\u00a082\u202f000\u30000001\u200b", "", "+27820000001"},
		{"+\u0662\u0667 \u0668\u0662 \u0660\u0660\u0660 \u0660\u0660\u0660\u0661", "", "+27820000001"},
		{"+\U0001d7d0\U0001d7d5820000001", "", "+27820000001"},
		{"+33\u00b76\u00b712\u00b734\u00b756\u00b778", "", "+33612345678"},
		{"+27\ufe0f 82\u00ad000\u20600001", "", "+27820000001"},
		// Separators of address books: Germany's slashes, brackets round the country code.
		{"+49/30/1234567", "", "+49301234567"},
		{"030 / 1234567", "DE", "+49301234567"},
		{"(+27) 82 000 0001", "", "+27820000001"},
		{"[+27] 82~000~0001", "", "+27820000001"},
		{"+27\u221982\u22c5000\u20270001", "", "+27820000001"},
		{"+27\u204382\u2043000\u20430001", "", "+27820000001"},
		{"+27 82 000 0001/2", "", ""}, // two numbers
		{"+27 82 000 0001/0002", "", ""},
		// Invisible characters that aren't format characters.
		{"+27\u034f82\u3164000\u115f0001\u2800", "", "+27820000001"},
		// The international prefix of most countries.
		{"0027 82 000 0001", "", "+27820000001"},
		{"0027 82 000 0001", "ZA", "+27820000001"},
		{"0027 82 000 0001", "US", "+27820000001"},
		{"011 27 82 000 0001", "US", "+27820000001"},
		{"00", "", ""},
		{"000820000001", "", ""},
		// A number that a spreadsheet saved as a decimal fraction.
		{"+27820000001.0", "", "+27820000001"},
		{"27820000001.0", "ZA", "+27820000001"},
		{"+27 82 000 000.1", "", "+27820000001"},
		{"2.7820000001E+10", "ZA", ""},
		// Without an area code, and with Mexico's former prefix of mobile numbers.
		{"555-0100", "US", ""},
		{"+1 555 0100", "", ""},
		{"+52 1 55 1234 5678", "", "+525512345678"},
		{"+52 55 1234 5678", "", "+525512345678"},
		{"+52 1 55 1234 56789", "", ""},
		{"+44 (0)20 7946 0958", "", "+442079460958"},
		{"+27 82 000 0001 ext. 5", "", ""},
		{"tel:+27820000001", "", ""},
		{"None", "", ""},
		{"+27\u200b", "", ""},
		{"\u200b", "ZA", ""},
		{strings.Repeat("\u200b", 1<<20) + "+27820000001", "", ""},
		{"+27820000001, +27820000002", "", ""},
		{"", "ZA", ""},
	} {
		got, err := E164(c.number, c.region)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q in %q is %q, %v, want %q", c.number, c.region, got, err, c.want)
		}
	}
}

// TestDigits checks what digit relies on: Unicode's decimal digits come in runs of ten.
func TestDigits(t *testing.T) {
	if len(unicode.Nd.R16)+len(unicode.Nd.R32) == 0 {
		t.Fatal("there are no digits")
	}
	check := func(lo, hi, stride rune) {
		if stride != 1 || (hi-lo+1)%10 != 0 {
			t.Errorf("the run from %U to %U with the stride %d", lo, hi, stride)
		}
	}
	for _, run := range unicode.Nd.R16 {
		check(rune(run.Lo), rune(run.Hi), rune(run.Stride))
	}
	for _, run := range unicode.Nd.R32 {
		check(rune(run.Lo), rune(run.Hi), rune(run.Stride))
	}
}

func TestClassify(t *testing.T) {
	for number, want := range map[string]struct {
		country string
		kind    Kind
	}{
		"+27820000001":  {"ZA", Ordinary},
		"+14155552671":  {"US", Ordinary},
		"+16045550123":  {"CA", Ordinary},
		"+447400123456": {"GB", Ordinary},
		"+19002345678":  {"US", Premium},
		"+449012345678": {"GB", Premium},
		"+448431234567": {"GB", Premium},
		"+447012345678": {"GB", Premium}, // a personal number
		// With digits that the network ignores:
		"+49900112345678":  {"DE", Premium},
		"+499001123456789": {"DE", Premium},
		"+4915112345678":   {"DE", Ordinary},
		"+870773111632":    {"", Satellite},
		"+881612345678":    {"", Satellite},
		"+88213300000":     {"", Satellite},
		"+883510000000":    {"", Satellite},
		"+979123456789":    {"", Premium},
		"+80812345678":     {"", SharedCost},
		"+999123":          {"", Ordinary},
		"nothing":          {"", Ordinary},
	} {
		if country, kind := Classify(number); country != want.country || kind != want.kind {
			t.Errorf("%s is %q, %s; want %+v", number, country, kind, want)
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
