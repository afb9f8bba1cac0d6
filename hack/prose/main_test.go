// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"several, parted by commas":                          "parted by",
		"events match it once it is\nmended":                 "mended",
		"Users who opted out. Who said nothing gets them.":   ". Who said",
		"What is no time finds nothing.":                     "What is",
		"A filter by something that is no time.":             "is no time",
		"a few hanging providers had all hands":              "all hands",
		"the log tells which":                                "tells",
		"What it jumps, leases and retries jump.":            "What it",
		"the webhooks that stand on the platform":            "stand",
		"examples of what the rule makes of events":          "what the rule makes of",
		"/events/7/ shows what became of the replay":         "what became of",
		"a deleted provider is not used any more":            "not used any more",
		"whoever reads the ledger":                           "whoever",
		"a right that was taken away":                        "taken away",
		"the namespace that is to hold the rules":            "that is to hold",
		"a rule that is only triggered by hand":              "by hand",
		"There is no rule. There is no longer one.":          "",
		"Two answers that cannot be told apart.":             "",
		"What happens then?":                                 "",
		"§ stands for the code; workers hand over a message": "",
	} {
		var got []string
		for _, f := range check([]block{{1, text}}) {
			got = append(got, f.text)
		}
		if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || !strings.Contains(strings.Join(got, "|"), want)) {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}

func TestFindingsHaveTheirLines(t *testing.T) {
	findings := check(markdown("# Title\n\nFirst line\nand what is\nmended.\n\n```\nmend\n```\n\nUse `mend`.\n"))
	if len(findings) != 1 || findings[0].line != 5 {
		t.Errorf("%+v", findings)
	}
	findings = check(goText([]byte("package p\n\n// A comment\n// is mended.\nvar x = \"told\" // fine\n"), true))
	if len(findings) != 1 || findings[0].line != 4 {
		t.Errorf("%+v", findings)
	}
	findings = check(goText([]byte("package p\n\nfunc TestWhatIsNoLedger(t *testing.T) {}\n\nfunc TestWhatsApp(t *testing.T) {}\n"), true))
	if len(findings) == 0 || findings[0].line != 3 || findings[len(findings)-1].line != 3 {
		t.Errorf("%+v", findings)
	}
	findings = check(goText([]byte("package p\n\nvar x = \"it is told\"\n"), false))
	if len(findings) != 1 || findings[0].line != 3 {
		t.Errorf("%+v", findings)
	}
}

func TestRunReportsAndExempts(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hack/prose/exceptions.txt", "page.md: tells: quoted\nclean.md: told: quoted\n")
	write("page.md", "It tells them.\n\nIt was mended.\n")
	failures, err := run(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(failures) != 2 || !strings.HasPrefix(failures[0], `page.md:3: "mended"`) || !strings.Contains(failures[1], "clean.md: told: quoted") {
		t.Errorf("%q", failures)
	}
}
