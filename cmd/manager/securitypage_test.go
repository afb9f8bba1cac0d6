// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/outbound"
	"github.com/rehive/extension-operator/internal/providers"
)

// TestSecurityPageMatchesFlags compares the flags and figures in docs/security.md with the
// code's.
func TestSecurityPageMatchesFlags(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile("../../docs/security.md")
	g.Expect(err).NotTo(HaveOccurred())
	var help bytes.Buffer
	_, err = parseSettings([]string{"--help"}, environment(nil), &help)
	g.Expect(errors.Is(err, flag.ErrHelp)).To(BeTrue())
	named := regexp.MustCompile("`--([a-z-]+)").FindAllSubmatch(page, -1)
	g.Expect(len(named)).To(BeNumerically(">", 10))
	for _, name := range named {
		g.Expect(help.String()).To(MatchRegexp(`(?m)^  -`+string(name[1])+`\b`), "--%s", name[1])
	}

	templates := django.DefaultLimits()
	crd, err := os.ReadFile("../../config/crd/bases/extensions.rehive.com_notificationrules.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	expressionLength := regexp.MustCompile(`(?s)\n +expression:\n.*?maxLength: (\d+)`).FindSubmatch(crd)
	g.Expect(expressionLength).To(HaveLen(2))

	s, err := parseSettings([]string{publicURL}, environment(nil), &bytes.Buffer{})
	g.Expect(err).NotTo(HaveOccurred())
	limits := providers.DefaultLimits()
	email, sms := limits[v1alpha1.ChannelEmail], limits[v1alpha1.ChannelSMS]
	g.Expect(budgetPart).To(Equal(6), "which the page writes as a word")
	g.Expect(s.purgeGracePeriod).To(BeZero(), "the page says that data is deleted immediately")
	for _, row := range []string{
		fmt.Sprintf("because the process died | %d, then it is quarantined |", ledger.MaxUnfinished),
		"| total claims of an event or a message | " + grouped(ledger.MaxAttempts) + " |",
		"| messages of a company a day (UTC) | " + grouped(int(email.Company)) + " emails; " + grouped(int(sms.Company)) + " SMS, " +
			grouped(int(sms.Country)) + " of them to one country and " + grouped(int(sms.Recipient)) + " to one number |",
		"| length of a template | " + grouped(templates.Source) + " characters |",
		"| length of an expression | " + grouped(atoi(g, expressionLength[1])) + " characters |",
		"| nodes of a template, with those that it includes or extends | " + grouped(templates.Nodes) + ", with " + grouped(django.MaxWords) + " literals",
		fmt.Sprintf("| memory of the compiled rules and layouts of a company | %d MiB;", catalog.MaxCompiled>>20),
		"| work of one rendering or evaluation | " + grouped(templates.Steps) + " steps of about 100 ns",
		fmt.Sprintf("| memory of the values that it holds at a time | %d MiB |", templates.Memory>>20),
		fmt.Sprintf("| output of a template | %d MiB |", templates.Output>>20),
		fmt.Sprintf("| nesting of tags and templates | %d |", templates.Nesting),
		"| pending events and messages of a company | " + grouped(int(s.companyPending)) + "; then",
		fmt.Sprintf("| storage of one company in the ledger | about %d GiB; then", s.companyStorage>>10),
		fmt.Sprintf("| concurrent events | %d |", s.dispatchConcurrency),
		fmt.Sprintf("| concurrent messages | %d |", s.deliveryConcurrency),
		fmt.Sprintf("| messages of one event | %d,%03d, and %d MiB of text |", ledger.MaxEventDeliveries/1000, ledger.MaxEventDeliveries%1000, ledger.MaxEventBytes>>20),
		fmt.Sprintf("| retention | until %.0f days after the event or message ended | `--event-retention`, at least %.0f days |", s.eventRetention.Hours()/24, ledger.MinRetention.Hours()/24),
		fmt.Sprintf("| time of one send | %.0f s |", s.sendTimeout.Seconds()),
		fmt.Sprintf("| calls to Rehive for a company | %d a minute |", s.rehiveCallsPerMinute),
		fmt.Sprintf("of Go's memory limit, which is %.0f %% of the container's |", memoryShare*100),
		fmt.Sprintf("| connecting | %.0f s |", outbound.DefaultConnectTimeout.Seconds()),
		fmt.Sprintf("| a request | %.0f s |", outbound.DefaultTimeout.Seconds()),
		fmt.Sprintf("| size of a request | %d MiB |", outbound.DefaultMaxRequestBytes>>20),
		fmt.Sprintf("| size of a response | %d MiB |", outbound.DefaultMaxResponseBytes>>20),
	} {
		g.Expect(string(page)).To(ContainSubstring(row))
	}
}

// grouped formats a number like the page.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func atoi(g *WithT, digits []byte) int {
	n, err := strconv.Atoi(string(digits))
	g.Expect(err).NotTo(HaveOccurred())
	return n
}
