// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestPlaceholders starts from the settings of config/manager, all of which must be
// reported until they are replaced.
func TestPlaceholders(t *testing.T) {
	g := NewWithT(t)
	file, err := os.Open("../../config/manager/manager.env")
	g.Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	shipped := make(map[string]string)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(name, "#") {
			shipped[name] = value
		}
	}
	parse := func(environment map[string]string) []string {
		s, err := parseSettings(nil, func(name string) (string, bool) { value, ok := environment[name]; return value, ok }, io.Discard)
		g.Expect(err).NotTo(HaveOccurred())
		return s.placeholders()
	}
	g.Expect(shipped).To(HaveLen(3))
	g.Expect(parse(shipped)).To(ConsistOf("--public-url", "--smtp-address", "--email-from"))
	g.Expect(parse(map[string]string{
		"REHIVE_EXTENSION_PUBLIC_URL":   "https://notifications.shop.example",
		"REHIVE_EXTENSION_SMTP_ADDRESS": "smtp.notexample.com:587",
		"REHIVE_EXTENSION_EMAIL_FROM":   "Shop <notifications@shop.example>",
	})).To(BeEmpty())
	g.Expect(parse(map[string]string{
		"REHIVE_EXTENSION_PUBLIC_URL": "https://notifications.shop.example",
		"REHIVE_EXTENSION_EMAIL_FROM": "Shop <notifications@EXAMPLE.com>",
		"REHIVE_EXTENSION_LEDGER_URL": "postgres://rehive_extension@postgres.example.com:5432/rehive_extension",
	})).To(ConsistOf("--email-from", "--ledger-url"))
}
