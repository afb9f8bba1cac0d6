// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command flagdocs writes docs/manager.md from what the manager prints for --help.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

const page = "docs/manager.md"

const introduction = `# The manager's command line

<!-- Generated from manager --help by make generate. Do not edit. -->

`

// commands are the manager's commands: "" serves.
var commands = []string{"", "backup", "restore", "migrate-ledger"}

func main() {
	log.SetFlags(0)
	b := bytes.NewBufferString(introduction)
	for _, command := range commands {
		help, err := help(command)
		if err != nil {
			log.Fatalf("printing the help of manager %s: %v", command, err)
		}
		section(b, command, help)
	}
	if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil { //nolint:gosec // documentation is public
		log.Fatalf("writing the page of flags: %v", err)
	}
}

// help returns what a command of the manager prints for --help.
func help(command string) (string, error) {
	args := []string{"run", "./cmd/manager"}
	if command != "" {
		args = append(args, command)
	}
	cmd := exec.CommandContext(context.Background(), "go", append(args, "--help")...) //nolint:gosec // the arguments are those above
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", cmd, err)
	}
	return string(out), nil
}

var (
	// flagLines are the lines of a flag as package flag prints them.
	flagLines = regexp.MustCompile(`(?m)^  -(\S+)(?: (\S+))?\n    \t(.*)$`)
	// defaultValue is how package flag ends the description of a flag with a default.
	defaultValue = regexp.MustCompile(` \(default "?([^"]*?)"?\)$`)
)

// section writes the section of one command.
func section(b *bytes.Buffer, command, help string) {
	title := strings.TrimSpace("manager " + command)
	first := flagLines.FindStringIndex(help)[0]
	fmt.Fprintf(b, "## %s\n\n```text\n%s\n```\n\n", title, strings.TrimSpace(help[:first]))
	b.WriteString("| flag | description | default |\n|---|---|---|\n")
	for _, m := range flagLines.FindAllStringSubmatch(help, -1) {
		name, kind, description, value := m[1], m[2], m[3], ""
		if m := defaultValue.FindStringSubmatch(description); m != nil {
			value = m[1]
			description = strings.TrimSuffix(description, m[0])
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", strings.TrimSpace("--"+name+" "+kind), escape(description), escape(value))
	}
	b.WriteString("\n")
}

// escape writes text for a cell of a table.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(text)
}
