// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

// TestChartKnowsEveryFlag compares the chart's settings with the flags: a setting that the
// manager does not have is refused by Helm, and a new flag can be set.
func TestChartKnowsEveryFlag(t *testing.T) {
	g := NewWithT(t)
	// Flags that the chart sets itself, or derives from its other values.
	own := map[string]bool{
		"admission-address": true, "admission-cert-dir": true, "admission-configuration": true,
		"drain-delay": true, "grace-period": true, "health-address": true, "http-address": true, "kubeconfig": true,
		"leader-elect": true, "ledger-encryption-keys": true, "ledger-password-file": true, "ledger-path": true, "ledger-url": true, "metrics-address": true,
		"metrics-auth": true, "metrics-cert-dir": true, "namespace": true, "smtp-password-file": true, "tracing": true, "unsubscribe-keys": true, "watch-namespaces": true,
	}
	var help bytes.Buffer
	_, err := parseSettings([]string{"--help"}, environment(nil), &help)
	g.Expect(errors.Is(err, flag.ErrHelp)).To(BeTrue())
	var flags []string
	for _, match := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(help.String(), -1) {
		if !own[match[1]] {
			flags = append(flags, match[1])
		}
	}
	text, err := os.ReadFile("../../charts/rehive-extension-operator/values.schema.json")
	g.Expect(err).NotTo(HaveOccurred())
	var schema struct {
		Properties struct {
			Settings struct {
				Properties map[string]any `json:"properties"`
			} `json:"settings"`
		} `json:"properties"`
	}
	g.Expect(json.Unmarshal(text, &schema)).To(Succeed())
	var settings []string
	for name := range schema.Properties.Settings.Properties {
		settings = append(settings, name)
	}
	g.Expect(settings).To(ConsistOf(flags))
}
