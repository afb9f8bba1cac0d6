// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// TestDocumentedCommands parses each use of the plugin in the documentation: the command, its
// flags and their values.
func TestDocumentedCommands(t *testing.T) {
	g := NewWithT(t)
	pages, err := filepath.Glob("../../docs/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	runbooks, err := filepath.Glob("../../docs/runbooks/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	used := regexp.MustCompile(`(?m)^[^\n#]*?kubectl rehive ([^\n|>]+)`)
	block := regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)```")
	found := 0
	for _, page := range append(append(pages, runbooks...), "../../README.md") {
		text, err := os.ReadFile(page)
		g.Expect(err).NotTo(HaveOccurred())
		for _, code := range block.FindAllStringSubmatch(string(text), -1) {
			for _, match := range used.FindAllStringSubmatch(strings.ReplaceAll(code[1], "\\\n", " "), -1) {
				found++
				args := strings.Fields(regexp.MustCompile(`'[^']*'`).ReplaceAllString(match[1], "value"))
				root := newCommand(genericiooptions.NewTestIOStreamsDiscard())
				command, rest, err := root.Find(args)
				g.Expect(err).NotTo(HaveOccurred(), "%s: %s", page, match[0])
				g.Expect(command).NotTo(BeIdenticalTo(root), "%s: %s", page, match[0])
				g.Expect(command.ParseFlags(rest)).To(Succeed(), "%s: %s", page, match[0])
				g.Expect(command.ValidateArgs(command.Flags().Args())).To(Succeed(), "%s: %s", page, match[0])
				g.Expect(command.ValidateRequiredFlags()).To(Succeed(), "%s: %s", page, match[0])
			}
		}
	}
	g.Expect(found).To(BeNumerically(">", 12))
}
