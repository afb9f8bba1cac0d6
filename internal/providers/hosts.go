// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/sendgrid"
	"github.com/rehive/extension-operator/internal/delivery/twilio"
)

// vendorHosts are the hosts of each vendor's own API. A Secret that names no hosts may
// be sent to these. A mail server has no vendor, so its Secret must name the host.
var vendorHosts = map[string]string{
	"sendgrid": "api.sendgrid.com, api.eu.sendgrid.com",
	"twilio":   "api.twilio.com, api.*.twilio.com, verify.twilio.com, verify.*.twilio.com",
	"expo":     "exp.host",
}

// checkHost refuses to send the credentials in a Secret to a host that the Secret
// doesn't allow. A person who may write a DeliveryProvider chooses its host, but may not
// be allowed to read the Secret. The error is a provider.Misconfigured.
func checkHost(p *v1alpha1.DeliveryProvider, secret *corev1.Secret) error {
	kind, _ := p.Spec.Type()
	if kind == "" || secret == nil || !holdsCredentials(secret) {
		return nil
	}
	targets, err := targetsOf(&p.Spec)
	if err != nil {
		return err
	}
	allowed, named := secret.Annotations[v1alpha1.AllowedHostsAnnotation]
	if !named {
		allowed = vendorHosts[kind]
	}
	patterns := strings.FieldsFunc(allowed, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
	for _, t := range targets {
		if slices.ContainsFunc(patterns, func(pattern string) bool { return allows(pattern, t.host, t.port) }) {
			continue
		}
		sentence := fmt.Sprintf("The Secret %s doesn't allow its credentials to be sent to %s.", secret.Name, t.host)
		if !named && kind == "smtp" {
			sentence = fmt.Sprintf("The Secret %s doesn't say which mail server its credentials may be sent to.", secret.Name)
		}
		return provider.Misconfigured(v1alpha1.HostNotAllowedReason,
			fmt.Sprintf("%s If %s is right, add it to the Secret's annotation %s.", sentence, t.host, v1alpha1.AllowedHostsAnnotation))
	}
	return nil
}

// holdsCredentials reports whether any value of a Secret is sent to the server, unlike CA
// certificates.
func holdsCredentials(secret *corev1.Secret) bool {
	for key := range secret.Data {
		if key != v1alpha1.SecretKeyCA {
			return true
		}
	}
	return false
}

// target is a host and port that a provider connects to.
type target struct{ host, port string }

// targetsOf returns what a provider connects to.
func targetsOf(spec *v1alpha1.DeliveryProviderSpec) ([]target, error) {
	var urls []string
	switch {
	case spec.SMTP != nil:
		port := spec.SMTP.Port
		if port == 0 {
			port = 587
			if spec.SMTP.TLS == v1alpha1.SMTPImplicitTLS {
				port = 465
			}
		}
		return []target{{normalHost(spec.SMTP.Host), strconv.Itoa(int(port))}}, nil
	case spec.SendGrid != nil:
		urls = append(urls, orDefault(spec.SendGrid.BaseURL, sendgrid.BaseURL))
	case spec.Twilio != nil:
		base := orDefault(spec.Twilio.BaseURL, twilio.BaseURL)
		urls = append(urls, base)
		if spec.Twilio.VerifyServiceSID != "" {
			urls = append(urls, twilio.VerifyURL(base))
		}
	case spec.Expo != nil:
		urls = append(urls, orDefault(spec.Expo.BaseURL, expo.BaseURL))
	}
	targets := make([]target, len(urls))
	for i, base := range urls {
		u, err := url.Parse(base)
		if err != nil || u.Hostname() == "" {
			return nil, provider.Misconfigured(v1alpha1.InvalidConfigurationReason, "The base URL can't be parsed or names no host.")
		}
		port := u.Port()
		if port == "" {
			port = "443"
			if u.Scheme == "http" {
				port = "80"
			}
		}
		targets[i] = target{normalHost(u.Hostname()), port}
	}
	return targets, nil
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func normalHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// allows reports whether a pattern allows a host and port: a host's name or address, with
// or without a port, and at most one * for one or more labels of the name, two labels
// of which must follow it. A pattern of another form allows nothing.
func allows(pattern, host, port string) bool {
	if name, only, err := net.SplitHostPort(pattern); err == nil {
		if only != port {
			return false
		}
		pattern = name
	}
	pattern = normalHost(strings.Trim(pattern, "[]"))
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == host
	}
	isWhole := (before == "" || strings.HasSuffix(before, ".")) && strings.HasPrefix(after, ".")
	if !isWhole || strings.Contains(after, "*") || strings.Count(after, ".") < 2 || net.ParseIP(host) != nil {
		return false
	}
	return len(host) > len(before)+len(after) && strings.HasPrefix(host, before) && strings.HasSuffix(host, after)
}
