// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const publicURL = "--public-url=https://notifications.example.com"

func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

func TestSettingsDefaults(t *testing.T) {
	s, err := parseSettings([]string{publicURL}, environment(nil), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if s.ledgerPath != defaultLedgerPath || s.namespace != "rehive-system" || s.httpAddress != ":8080" || s.resyncPeriod != 10*time.Minute {
		t.Errorf("defaults are %+v", s)
	}
}

func TestSettingsFromEnvironment(t *testing.T) {
	variables := map[string]string{
		"REHIVE_EXTENSION_PUBLIC_URL":    "https://from.environment.example",
		"REHIVE_EXTENSION_NAMESPACE":     "from-environment",
		"REHIVE_EXTENSION_RESYNC_PERIOD": "1h",
		"REHIVE_EXTENSION_SMTP_ADDRESS":  "mail.example.com:587",
		"REHIVE_EXTENSION_SMTP_PASSWORD": "s3cret",
	}
	s, err := parseSettings([]string{"--namespace=from-flag"}, environment(variables), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if s.publicURL != "https://from.environment.example" || s.resyncPeriod != time.Hour || s.smtpPassword != "s3cret" {
		t.Errorf("the environment was not read: %+v", s)
	}
	if s.namespace != "from-flag" {
		t.Errorf("the flag must win over the environment, but the namespace is %q", s.namespace)
	}
}

// TestActivationNamespaces: watched namespaces may hold companies if they are named.
func TestActivationNamespaces(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		allowed map[string]bool // company in namespace
	}{
		"by default":  {nil, map[string]bool{"acme in rehive-system": true, "acme in team-a": false}},
		"watched":     {[]string{"--watch-namespaces=team-a"}, map[string]bool{"acme in team-a": true, "acme in team-b": false, "acme in rehive-system": true}},
		"the cluster": {[]string{"--watch-namespaces=*"}, map[string]bool{"acme in team-a": false, "acme in rehive-system": true}},
		"more exactly": {
			[]string{"--watch-namespaces=*", "--activation-namespaces=team-*, acme=team-a", "--activation-namespaces=wallets"},
			map[string]bool{"acme in team-a": true, "acme in team-b": false, "shop in team-b": true, "shop in wallets": true, "shop in other": false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseSettings(append([]string{publicURL}, test.args...), environment(nil), &bytes.Buffer{})
			if err != nil {
				t.Fatal(err)
			}
			holders, err := s.holders()
			if err != nil {
				t.Fatal(err)
			}
			for where, want := range test.allowed {
				company, namespace, _ := strings.Cut(where, " in ")
				if got := holders.Allows(namespace, company); got != want {
					t.Errorf("%s: %t", where, got)
				}
			}
		})
	}
}

func TestSettingsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args      []string
		variables map[string]string
		want      string
	}{
		"no public URL":          {args: []string{}, want: "--public-url is required"},
		"public URL not http":    {args: []string{"--public-url=ftp://x.example"}, want: "--public-url must be an http or https URL"},
		"public URL with query":  {args: []string{"--public-url=https://x.example/?a=b"}, want: "--public-url must be an http or https URL"},
		"public URL with login":  {args: []string{"--public-url=https://a:b@x.example/"}, want: "without credentials"},
		"unknown flag":           {args: []string{publicURL, "--no-such-flag"}, want: "no-such-flag"},
		"argument":               {args: []string{publicURL, "start"}, want: `unexpected argument "start"`},
		"namespace":              {args: []string{publicURL, "--namespace=Not_A_Name"}, want: "--namespace"},
		"activation namespace":   {args: []string{publicURL, "--activation-namespaces=acme=Team"}, want: `--activation-namespaces: "Team" is not the name of a namespace`},
		"purge grace period":     {args: []string{publicURL, "--purge-grace-period=-1h"}, want: "--purge-grace-period must not be negative"},
		"watched namespace":      {args: []string{publicURL, "--watch-namespaces=team-a,Team"}, want: `--watch-namespaces: "Team" is not a valid namespace name`},
		"certificate alone":      {args: []string{publicURL, "--http-tls-cert=a.pem"}, want: "must be set together"},
		"address":                {args: []string{publicURL, "--http-address=8080"}, want: `--http-address must be host:port or :port, not "8080"`},
		"two ledgers":            {args: []string{publicURL, "--ledger-path=a.db", "--ledger-url=postgres://joe@db/ledger"}, want: "must not both be set"},
		"URL as ledger's path":   {args: []string{publicURL, "--ledger-path=postgres://joe:hunter2@db/ledger"}, want: "--ledger-url takes that of a PostgreSQL database"},
		"share as ledger's path": {args: []string{publicURL, "--ledger-path=smb://server/share/ledger.db"}, want: "--ledger-path must be the path of a file on a local disk"},
		"ledger in memory":       {args: []string{publicURL, "--ledger-path=:memory:"}, want: "--ledger-path must be the whole path of a file"},
		"ledger at home":         {args: []string{publicURL, "--ledger-path=~/ledger.db"}, want: "--ledger-path must be the whole path of a file"},
		"ledger's URI":           {args: []string{publicURL, "--ledger-path=file:ledger.db?mode=ro"}, want: "--ledger-path must be the whole path of a file"},
		"blank ledger":           {args: []string{publicURL, "--ledger-path= "}, want: "--ledger-path must be the whole path of a file"},
		"ledger URL":             {args: []string{publicURL, "--ledger-url=mysql://joe@db/ledger"}, want: "--ledger-url: "},
		"ledger's password":      {args: []string{publicURL, "--ledger-url=postgres://joe:hunter2@db/ledger"}, want: "must not hold a password"},
		"password for nothing":   {args: []string{publicURL, "--ledger-password-file=f"}, want: "--ledger-url is required"},
		"two ledger passwords": {
			args:      []string{publicURL, "--ledger-url=postgres://joe@db/ledger", "--ledger-password-file=f"},
			variables: map[string]string{"REHIVE_EXTENSION_LEDGER_PASSWORD": "x"},
			want:      "must not both be set",
		},
		"company limits":                    {args: []string{publicURL, "--company-pending-limit=-1"}, want: "must not be negative"},
		"connections":                       {args: []string{publicURL, "--ledger-url=postgres://joe@db/ledger", "--ledger-connections=1"}, want: "--ledger-connections must be between"},
		"retention":                         {args: []string{publicURL, "--event-retention=24h"}, want: "--event-retention must be at least 168h0m0s"},
		"sender":                            {args: []string{publicURL, "--email-from=nobody"}, want: `--email-from must be an email address, such as`},
		"sender by its number":              {args: []string{publicURL, "--email-from=no-reply@127.0.0.1"}, want: `"no-reply@127.0.0.1" has a domain that can't receive mail`},
		"invisible sender":                  {args: []string{publicURL, "--email-from=no\u200breply@x.example"}, want: "has an invisible character (U+200B)"},
		"group of senders":                  {args: []string{publicURL, "--email-from=Shop:no-reply@x.example;"}, want: "is not exactly one email address"},
		"Rehive's version":                  {args: []string{publicURL, "--rehive-api-url=https://api.rehive.com"}, want: "--rehive-api-url must end in the version of the API, as in https://api.rehive.com/3/"},
		"mail server's port":                {args: []string{publicURL, "--smtp-address=mail.example.com:"}, want: "--smtp-address must be host:port, such as smtp.example.com:587"},
		"mail server's service":             {args: []string{publicURL, "--smtp-address=mail.example.com:smtp"}, want: "--smtp-address must be host:port"},
		"space in mail server":              {args: []string{publicURL, "--smtp-address= mail.example.com:587"}, want: "--smtp-address must be host:port"},
		"any port":                          {args: []string{publicURL, "--http-address=:"}, want: `--http-address must be host:port or :port, not ":"`},
		"impossible port":                   {args: []string{publicURL, "--metrics-address=:99999"}, want: `--metrics-address must be host:port or :port, not ":99999"`},
		"log level that hides errors":       {args: []string{publicURL, "--log-level=fatal"}, want: "--log-level must be debug, info or error"},
		"days":                              {args: []string{publicURL, "--event-retention=30d"}, want: `invalid value "30d" for flag -event-retention: write a duration such as 30s, 10m or 720h`},
		"decimals":                          {args: []string{publicURL, "--dispatch-concurrency=1.5"}, want: `write a whole number`},
		"boolean":                           {args: []string{publicURL, "--tracing=maybe"}, want: `write true or false`},
		"boolean after a space":             {args: []string{publicURL, "--leader-elect", "false"}, want: "write the value of a flag after an equals sign, such as --leader-elect=false"},
		"mapped networks":                   {args: []string{publicURL, "--trusted-proxies=::ffff:0:0/90"}, want: "as a network of IPv4 addresses"},
		"wildcard in test mode":             {args: []string{publicURL, "--test-mode=record", "--test-mode-allow=*@x.example"}, want: "there are no wildcards"},
		"public URL with an empty query":    {args: []string{"--public-url=https://x.example/?"}, want: "without credentials, query or fragment"},
		"public URL with an empty fragment": {args: []string{"--public-url=https://x.example/#"}, want: "without credentials, query or fragment"},
		"public URL of every host":          {args: []string{"--public-url=https://*.x.example"}, want: "--public-url must be an http or https URL"},
		"two public URLs":                   {args: []string{"--public-url=https://x.example,https://y.example"}, want: "--public-url must be an http or https URL"},
		"public URL with an empty label":    {args: []string{"--public-url=https://x..example"}, want: "--public-url must be an http or https URL"},
		"public URL with port 0":            {args: []string{"--public-url=https://x.example:0"}, want: "--public-url must be an http or https URL"},
		"public URL with no port":           {args: []string{"--public-url=https://x.example:"}, want: "--public-url must be an http or https URL"},
		"public URL in capitals":            {args: []string{"--public-url=https://x.example/API/"}, want: `must not end in /API: the server adds it; set --public-url to "https://x.example"`},
		"public URL of a list":              {args: []string{"--public-url=https://x.example/hooks/api/admin/logs/"}, want: `set --public-url to "https://x.example/hooks"`},
		"public URL of the schema":          {args: []string{"--public-url=https://x.example/api/schema.json"}, want: `set --public-url to "https://x.example"`},
		"public URL of the opt-out page":    {args: []string{"--public-url=https://x.example/unsubscribe/"}, want: `set --public-url to "https://x.example"`},
		"mail server":                       {args: []string{publicURL, "--smtp-address=mail"}, want: "must be host:port"},
		"mail server missing":               {args: []string{publicURL, "--smtp-username=joe"}, want: "--smtp-address is required with"},
		"mail encryption":                   {args: []string{publicURL, "--smtp-address=mail:25", "--smtp-tls=yes"}, want: "--smtp-tls must be"},
		"provider's name":                   {args: []string{publicURL, "--default-sms-provider=a/b"}, want: `--default-sms-provider: "a/b" is not a valid name`},
		"mail connections":                  {args: []string{publicURL, "--smtp-address=mail:25", "--smtp-connections=0"}, want: "--smtp-connections must be"},
		"mail rate":                         {args: []string{publicURL, "--smtp-address=mail:25", "--smtp-rate=NaN"}, want: "--smtp-rate must be"},
		"DKIM selectors":                    {args: []string{publicURL, "--smtp-address=mail:25", "--smtp-dkim-selectors=s1,a b"}, want: `--smtp-dkim-selectors: "a b" is not a selector`},
		"a selector's end":                  {args: []string{publicURL, "--smtp-address=mail:25", "--smtp-dkim-selectors=s1_"}, want: `--smtp-dkim-selectors: "s1_" is not a selector`},
		"many selectors":                    {args: []string{publicURL, "--smtp-address=mail:25", "--smtp-dkim-selectors=a,b,c,d,e"}, want: "--smtp-dkim-selectors may name 4 selectors, not 5"},
		"quotas":                            {args: []string{publicURL, "--quotas=sms.all=1"}, want: "--quotas: there is no quota"},
		"countries":                         {args: []string{publicURL, "--sms-countries=ZA,XX"}, want: "--sms-countries: \"XX\""},
		"kinds of numbers":                  {args: []string{publicURL, "--sms-allow-numbers=all"}, want: "--sms-allow-numbers: \"all\""},
		"test mode":                         {args: []string{publicURL, "--test-mode=off"}, want: `--test-mode must be deliver, redirect or record, not "off"`},
		"two mail providers":                {args: []string{publicURL, "--default-email-provider=mail", "--smtp-address=mail:25"}, want: "must not both be set"},
		"networks":                          {args: []string{publicURL, "--provider-allow-networks=10.0.0.0/8, 10.0.0.1"}, want: `"10.0.0.1" is not a network`},
		"origins":                           {args: []string{publicURL, "--cors-allowed-origins=https://a.example,https://*.example"}, want: `--cors-allowed-origins: "https://*.example" is not an origin such as`},
		"proxies":                           {args: []string{publicURL, "--trusted-proxies=10.0.0.0/8,ingress"}, want: `--trusted-proxies: "ingress" is not a network`},
		"public URL with the API's path": {
			args: []string{"--public-url=https://x.example/hooks/api//"},
			want: `--public-url must not end in /api: the server adds it; set --public-url to "https://x.example/hooks"`,
		},
		"public URL of an operation": {
			args: []string{"--public-url=https://x.example/hooks/api/webhook/"},
			want: `--public-url must not end in /api/webhook: the server adds it; set --public-url to "https://x.example/hooks"`,
		},
		"public URL of the old webhook": {
			args: []string{"--public-url=https://x.example/api/admin/webhook"},
			want: `--public-url must not end in /api/admin/webhook: the server adds it; set --public-url to "https://x.example"`,
		},
		"public URL with an impossible port": {
			args: []string{"--public-url=https://x.example:99999"},
			want: "--public-url must be an http or https URL",
		},
		"two passwords": {
			args:      []string{publicURL, "--smtp-address=mail:25", "--smtp-password-file=f"},
			variables: map[string]string{"REHIVE_EXTENSION_SMTP_PASSWORD": "x"},
			want:      "must not both be set",
		},
		"memory":            {args: []string{publicURL, "--memory-budget=lots"}, want: "--memory-budget \"lots\" must be a number of bytes"},
		"too little memory": {args: []string{publicURL, "--memory-budget=1Mi"}, want: "--memory-budget must be at least 40Mi"},
		"concurrency":       {args: []string{publicURL, "--delivery-concurrency=0"}, want: "--delivery-concurrency must be between"},
		"send timeout":      {args: []string{publicURL, "--send-timeout=1ms"}, want: "--send-timeout must be between"},
		"resync":            {args: []string{publicURL, "--resync-period=1s"}, want: "--resync-period must be at least"},
		"grace":             {args: []string{publicURL, "--grace-period=-1s"}, want: "--grace-period"},
		"log level":         {args: []string{publicURL, "--log-level=loud"}, want: "--log-level"},
		"log format":        {args: []string{publicURL, "--log-format=xml"}, want: "--log-format"},
		"bad environment":   {args: []string{publicURL}, variables: map[string]string{"REHIVE_EXTENSION_LEADER_ELECT": "perhaps"}, want: "REHIVE_EXTENSION_LEADER_ELECT"},
		"unusable duration": {args: []string{publicURL, "--grace-period=soon"}, want: "grace-period"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSettings(test.args, environment(test.variables), &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want a sentence with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the sentence has several lines: %q", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the sentence repeats a password: %q", err)
			}
		})
	}
}

func TestSettingsUnderstood(t *testing.T) {
	for _, public := range []string{
		"https://x.example\n", "https://x.example:8443", "http://127.0.0.1:8080/", "https://[2001:db8::1]", "https://[2001:db8::1]:8443/hooks",
		"https://m\u00fcnchen.example", "https://x_y.example./hooks", "https://x.example/api/hooks", "https://x.example/apis",
	} {
		s, err := parseSettings([]string{"--public-url=" + public, `--email-from="Acme, Inc." <no-reply@acme.example>`, "--smtp-address=[::1]:587", "--tracing"},
			environment(map[string]string{"REHIVE_EXTENSION_LEADER_ELECT": "true"}), &bytes.Buffer{})
		if err != nil || s.publicURL != strings.TrimSpace(public) || !s.tracing || !s.leaderElect {
			t.Errorf("%q: %+v, %v", public, s, err)
		}
	}
}

// TestMappedNetworks: callers' addresses are compared in their IPv4 form.
func TestMappedNetworks(t *testing.T) {
	s, err := parseSettings([]string{publicURL, "--trusted-proxies=::ffff:10.1.0.0/112, fd00::/8"}, environment(nil), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	networks, err := s.proxyNetworks()
	if err != nil || len(networks) != 2 || networks[0] != netip.MustParsePrefix("10.1.0.0/16") || networks[1] != netip.MustParsePrefix("fd00::/8") {
		t.Errorf("got %v, %v", networks, err)
	}
}

func TestHelpListsEveryFlagWithItsVariable(t *testing.T) {
	var output bytes.Buffer
	_, err := parseSettings([]string{"--help"}, environment(nil), &output)
	if !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v, want flag.ErrHelp", err)
	}
	for _, want := range []string{"-public-url", "-smtp-address", "-kubeconfig", "REHIVE_EXTENSION_PUBLIC_URL", "REHIVE_EXTENSION_SMTP_PASSWORD"} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("the usage does not mention %s:\n%s", want, output.String())
		}
	}
}

func TestLedgerKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]bool{"short": false, strings.Repeat("k", 32): true} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := (&settings{ledgerKeyFile: path}).readLedgerKey()
		if (err == nil) != want || err == nil && string(key) != content || err != nil && strings.Contains(err.Error(), content) {
			t.Errorf("%q: %q, %v", content, key, err)
		}
	}
	if _, err := (&settings{ledgerKeyFile: path + "x"}).readLedgerKey(); err == nil {
		t.Error("a missing file must be an error")
	}
	if key, err := (&settings{}).readLedgerKey(); err != nil || key != nil {
		t.Errorf("got %q, %v", key, err)
	}
}

func TestSMTPPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("pass word\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	password, err := (&settings{smtpUsername: "joe", smtpPasswordFile: path}).readSMTPPassword()
	if err != nil || password != "pass word" {
		t.Errorf("got %q, %v: the line's end is not part of the password", password, err)
	}
	if _, err := (&settings{smtpUsername: "joe", smtpPasswordFile: path + "x"}).readSMTPPassword(); err == nil {
		t.Error("a missing file must be an error")
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*settings{{smtpUsername: "joe", smtpPasswordFile: path}, {smtpUsername: "joe"}} {
		if _, err := s.readSMTPPassword(); err == nil || !strings.Contains(err.Error(), "there is no password") {
			t.Errorf("got %v: the mail server would refuse an empty password", err)
		}
	}
	if password, err := (&settings{smtpPasswordFile: path + "x"}).readSMTPPassword(); err != nil || password != "" {
		t.Errorf("got %q, %v: without a user name no password is needed", password, err)
	}
}
