// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/url"
	"strings"

	"github.com/go-logr/logr"
)

// warnOfPlaceholders logs which settings still have a value of config/manager. The manager
// starts with them, but Rehive cannot reach it, or it cannot send email.
func warnOfPlaceholders(log logr.Logger, s *settings) {
	for _, setting := range s.placeholders() {
		log.Info("Warning: a setting still has a placeholder as its value; set it to your own", "setting", setting)
	}
}

// placeholders returns the flags whose value is a host or an address in example.com.
func (s *settings) placeholders() []string {
	var found []string
	if u, err := url.Parse(s.publicURL); err == nil && isPlaceholder(u.Hostname()) {
		found = append(found, "--public-url")
	}
	if host, _, err := net.SplitHostPort(s.smtpAddress); err == nil && isPlaceholder(host) {
		found = append(found, "--smtp-address")
	}
	if _, domain, ok := strings.Cut(s.emailFrom, "@"); ok && isPlaceholder(strings.TrimRight(domain, ">")) {
		found = append(found, "--email-from")
	}
	if u, err := url.Parse(s.ledgerURL); err == nil && isPlaceholder(u.Hostname()) {
		found = append(found, "--ledger-url")
	}
	return found
}

// isPlaceholder reports whether a host is in example.com, which RFC 2606 reserves and
// config/manager uses.
func isPlaceholder(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "example.com" || strings.HasSuffix(host, ".example.com")
}
