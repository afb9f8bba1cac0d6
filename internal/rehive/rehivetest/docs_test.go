// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedPermissions compares the permissions in docs/registering.md, in its table and
// in its command, with those that the simulator requires.
func TestDocumentedPermissions(t *testing.T) {
	text, err := os.ReadFile("../../../docs/registering.md")
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(text), "-d '{\"permissions\"")
	command, _, _ = strings.Cut(command, "'")
	var body struct{ Permissions []Permission }
	if err := json.Unmarshal([]byte(`{"permissions"`+command), &body); err != nil {
		t.Fatal(err)
	}
	var table []Permission
	for _, row := range regexp.MustCompile(`(?m)^ *\| (admin|user) \| (\w+) \| (\w+) \|`).FindAllStringSubmatch(string(text), -1) {
		table = append(table, Permission{Section: row[1], Type: row[2], Level: row[3]})
	}
	required := MinimumPermissions()
	for name, documented := range map[string][]Permission{"the command": body.Permissions, "the table": table} {
		if !slices.Equal(documented, required) {
			t.Errorf("%s grants %v, but the operator needs %v", name, documented, required)
		}
	}
}
