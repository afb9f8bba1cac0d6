// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reasonsInCode match where code gives a message its reason.
var reasonsInCode = []*regexp.Regexp{
	regexp.MustCompile(`\b(?:Permanent|Transient|Deferred|HeldBack|Misconfigured|postpone|fail|retry|doubtful)\([^"\n]*"([A-Z]\w+)"`),
	regexp.MustCompile(`(?m)^\s*(?:const )?[Rr]eason[A-Z]\w*\s*=\s*"([A-Z]\w+)"`),
	regexp.MustCompile(`(?m)^\s*\w+ Reason = "([A-Z]\w+)"`),
	regexp.MustCompile(`\breason(?::| :?=)\s*"([A-Z]\w+)"`),
}

// internalReasons are those that no message has.
var internalReasons = map[string]string{
	"NotSearchable": "of a search at Twilio",
}

// TestReasonsAreDocumented checks that the documentation says of each reason that a message can
// have what to do.
func TestReasonsAreDocumented(t *testing.T) {
	const page = "../../../docs/message-states.md"
	documented, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && strings.HasSuffix(entry.Name(), "test") {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		code, err := os.ReadFile(path)
		for _, pattern := range reasonsInCode {
			for _, match := range pattern.FindAllSubmatch(code, -1) {
				reason := string(match[1])
				if found[reason] || internalReasons[reason] != "" {
					continue
				}
				found[reason] = true
				if !strings.Contains(string(documented), "`"+reason+"`") {
					t.Errorf("%s doesn't say what to do about the reason %s of %s", page, reason, path)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 80 {
		t.Errorf("only %d reasons were found: the patterns don't match the code", len(found))
	}
}
