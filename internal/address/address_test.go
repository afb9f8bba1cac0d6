// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package address

import (
	"errors"
	"net/mail"
	"strings"
	"testing"
	"unicode"
)

func TestParseBare(t *testing.T) {
	for text, want := range map[string]string{
		"joe@example.org":                             "joe@example.org",
		"o'brien+tag@sub.example.org":                 "o'brien+tag@sub.example.org",
		"a.b!#$%&*/=?^_`{|}~-@example.org":            "a.b!#$%&*/=?^_`{|}~-@example.org",
		"Joe@EXAMPLE.org":                             "Joe@example.org",
		"joe@localhost":                               "joe@localhost",
		"jane@r3---sn.example":                        "jane@r3---sn.example",
		"jane@ab--cd.example":                         "jane@ab--cd.example",
		"jane@xn--bcher-kva.example":                  "jane@xn--bcher-kva.example",
		"jane@xn--a.example":                          "jane@xn--a.example", // no valid A-label, but DNS may have it
		"jane@mail.my_shop.example":                   "jane@mail.my_shop.example",
		"joe@bücher.example":                          "joe@xn--bcher-kva.example",
		"joe@BÜCHER.example":                          "joe@xn--bcher-kva.example",
		"joe@r3---sn.bücher.example":                  "joe@r3---sn.xn--bcher-kva.example",
		"joe@bücher。example":                          "joe@xn--bcher-kva.example",
		"zoë@example.org":                             "zoë@example.org",
		"用户@例子.广告":                                    "用户@xn--fsqu00a.xn--4rr70v",
		strings.Repeat("a", 64) + "@example.org":      strings.Repeat("a", 64) + "@example.org",
		"joe@" + strings.Repeat("a", 63) + ".example": "joe@" + strings.Repeat("a", 63) + ".example",
		"joe@123.example":                             "joe@123.example",
	} {
		a, err := ParseBare(text)
		if err != nil || a.Bare() != want || a.Name != "" {
			t.Errorf("%q is %+v, %v; want %s", text, a, err, want)
		}
		if again, err := ParseBare(a.Bare()); err != nil || again != a {
			t.Errorf("%q, parsed again, is %+v, %v", a.Bare(), again, err)
		}
		if parsed, err := Parse(text); err != nil || parsed != a {
			t.Errorf("Parse(%q) is %+v, %v; want %+v", text, parsed, err, a)
		}
	}
}

// refused are not addresses.
var refused = []string{
	"", " ", "joe", "joe@", "@example.org", "@", "joe@example.org, ann@example.org", "joe@example.org; ann@example.org", "joe@example.org ann@example.org",
	"joe@example.org\r\nRCPT TO:<evil@example.com>", "joe@example.org>\r\nDATA", "joe@example.org> SIZE=1", "joe@exa mple.org", "joe@@example.org",
	"joe@a@example.org", `"joe soap"@example.org`, "\"a\r\nb\"@example.org", "joe@[127.0.0.1]", "joe@[IPv6:::1]", "joe@127.0.0.1", "group: joe@example.org;",
	"@relay.example:joe@example.org", "joe@-example-.org", "joe@example-.org", "joe@example..org", "joe@example.org.", "joe@.example.org",
	".joe@example.org", "joe.@example.org", "jo..e@example.org", strings.Repeat("a", 65) + "@example.org", "joe@" + strings.Repeat("a.", 130) + "org",
	"joe@" + strings.Repeat("a", 64) + ".org", "joe\x00@example.org", "joe@example.org\x00", "joe@exam\tple.org", "\xff@example.org", "joe@\xff.org",
	"\u200bjane@example.com", "jane\u200b@example.com", "jane@exam\u200bple.com", "jane@example.com\u200b", "\ufeffjane@example.com", "jane\u00ad@example.com",
	"\u202ajane@example.com\u202c", "jane@\u202eelpmaxe.com", "\u2066jane\u2069@example.com", "jane\u2060@example.com", "jane\u3164@example.com",
	"jane\u115f@example.com", "jane\ufe0f@example.com", "jane\u2800@example.com", "jane\u00a0@example.com", "jane@\u00a0example.com", "jane＠example.com",
	"jane\U000e0041@example.com", "jane\u034f@example.com", "joe@example.org/path", "joe@exam!ple.org", "joe@exam%ple.org", "mailto:joe@example.org",
	"“jane@example.com”", "‘jane@example.com’", "«jane@example.com»", "jane@“example”.com", "o’neil@example.com", "„jane@example.com", "（jane@example.com）",
	"jane@127.1", "jane@1.2.3", "jane@example.0", "jane@bücher.1",
	"<>", "<@>", "Joe <>", "Joe <joe@example.org", "<joe@example.org", "joe@example.org>",
}

func TestRefused(t *testing.T) {
	for _, text := range refused {
		for name, parse := range map[string]func(string) (Address, error){"ParseBare": ParseBare, "Parse": Parse} {
			if a, err := parse(text); err == nil {
				t.Errorf("%s(%q) is %+v", name, text, a)
			} else if strings.ContainsFunc(err.Error(), unicode.IsControl) || strings.Contains(err.Error(), "example") {
				t.Errorf("%s(%q) repeats what it got: %v", name, text, err)
			}
		}
	}
	for _, text := range []string{"Joe <joe@example.org>", "<joe@example.org>", " joe@example.org", "joe@example.org ", "joe@example.org\n", "joe(comment)@example.org"} {
		if a, err := ParseBare(text); err == nil {
			t.Errorf("ParseBare(%q) is %+v", text, a)
		}
	}
	for _, text := range []string{
		"Shop <shop@example.com>, Bank <bank@example.com>", "Acme, Inc. <no-reply@acme.example>", "Shop\r\nBcc: evil@example.com <shop@example.com>", "shop@example.com\n",
		"Shop <\u200bshop@example.com>", `Shop <"a b"@example.com>`, "=?nonsense?q?a?= <shop@example.com>",
	} {
		if a, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) is %+v", text, a)
		}
	}
}

// TestListsAreNotOneAddress checks that the error for a list says that one address is
// required.
func TestListsAreNotOneAddress(t *testing.T) {
	for _, text := range []string{"a@b.example, c@d.example", "a@b.example,c@d.example", "a@b.example;c@d.example", "a@b.example c@d.example", "a@b.example,", "a@@b.example"} {
		if _, err := ParseBare(text); !errors.Is(err, errNotOne) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		"Shop <shop@example.com>":                             "Shop",
		`"Acme, Inc." <shop@example.com>`:                     "Acme, Inc.",
		"=?utf-8?q?Z=C3=BCrich?= <shop@example.com>":          "Zürich",
		"Café Zürich 日本 <shop@example.com>":                   "Café Zürich 日本",
		"=?utf-8?q?Shop=0D=0ABcc=3A_eve?= <shop@example.com>": "Shop Bcc: eve",
		"<shop@example.com>":                                  "",
	} {
		a, err := Parse(text)
		if err != nil || a.Name != want || a.Bare() != "shop@example.com" {
			t.Errorf("Parse(%q) is %+v, %v; want the name %q", text, a, err, want)
		}
	}
}

// A name is data: whatever it holds, it stays the name of one address.
func TestNamesAreWritten(t *testing.T) {
	bare := Address{Local: "no-reply", Domain: "acme.example"}
	for _, name := range []string{
		"Acme, Inc.", "Pay@Home", "A: B", "[beta] Acme", "Acme (Cape Town", "A\\B", `Joe "the shop`, `"`, `a"b"c`, "victim@other.example, Joe", "a;b", "<", "<b>bold</b>",
		"Joe <joe@other.example>", "Joe <joe@other.example>,", "=?utf-8?q?Joe", "Zoë", "日本", "O'Brien", "a > b < c", "\\", `\"`, "'", strings.Repeat("ä", 150),
	} {
		a := bare.WithName(name)
		if want := strings.ReplaceAll(name, "=?", "=\u200b?"); a.Name != want {
			t.Errorf("%q became %q", want, a.Name)
		}
		// Mail programs and this package must parse it as one address with this name.
		list, err := mail.ParseAddressList(a.String())
		if err != nil || len(list) != 1 || list[0].Name != a.Name || list[0].Address != "no-reply@acme.example" {
			t.Errorf("%q was written as %q: %+v, %v", name, a.String(), list, err)
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Errorf("%q is %+v, %v", a.String(), again, err)
		}
	}
	for name, want := range map[string]string{
		"Joe\r\nBcc: eve@evil.example": "Joe Bcc: eve@evil.example", "Joe\x00Soap": "Joe Soap", "Joe\u2028Soap": "Joe Soap", " \t Joe \n": "Joe",
		"\u202eeoJ\u202c": "eoJ", "Joe\xff": "Joe\ufffd",
	} {
		a := bare.WithName(name)
		if a.Name != want {
			t.Errorf("%q is %+v; want the name %q", name, a, want)
		}
		if strings.ContainsFunc(a.String(), unicode.IsControl) {
			t.Errorf("%q was written as %q", name, a.String())
		}
	}
	if a := bare.WithName(strings.Repeat("long ", 100_000)); len(a.Name) > maxName+3 {
		t.Errorf("a name of %d bytes", len(a.Name))
	}
}

func TestWithName(t *testing.T) {
	a := Address{Local: "joe", Domain: "example.org"}
	if got := a.WithName("Acme,\r\nInc. <x>").String(); got != `"Acme, Inc. <x>" <joe@example.org>` {
		t.Errorf("got %s", got)
	}
	if got := a.WithName(" \n").String(); got != a.Bare() {
		t.Errorf("with a blank name: %s", got)
	}
}

func TestZero(t *testing.T) {
	if a := (Address{}); !a.IsZero() || a.String() != "" || a.Bare() != "" {
		t.Errorf("%q, %q", a.String(), a.Bare())
	}
	if (Address{Local: "zoë", Domain: "example.org"}).IsASCII() || !(Address{Local: "joe", Domain: "example.org"}).IsASCII() {
		t.Error("IsASCII is wrong")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range refused {
		f.Add(text)
	}
	f.Add(`"Acme, Inc." <no-reply@acme.example>`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		list, err := mail.ParseAddressList(a.String())
		if err != nil || len(list) != 1 {
			t.Fatalf("%q was written as %q: %v, %v", text, a.String(), list, err)
		}
		if again, err := Parse(a.String()); err != nil || again.Bare() != a.Bare() {
			t.Fatalf("%q is %+v, %v; want %+v", a.String(), again, err, a)
		}
	})
}
