// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/smtp"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/seal"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/namespaces"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/testmode"
	"github.com/rehive/extension-operator/webhookserver"
)

// envPrefix is the prefix of each flag's environment variable: --public-url is also
// REHIVE_EXTENSION_PUBLIC_URL. A flag takes precedence over its variable.
const envPrefix = "REHIVE_EXTENSION_"

// minLedgerKey is the shortest key of the ledger, in bytes.
const minLedgerKey = 32

// defaultLedgerPath is the default file of the SQLite ledger.
const defaultLedgerPath = "/var/lib/rehive-extension/ledger.db"

// settings are the manager's flags.
type settings struct {
	publicURL            string
	rehiveURL            string
	rehiveCallsPerMinute int
	namespace            string
	watchNamespaces      string
	activationNamespaces list
	purgeGracePeriod     time.Duration

	httpAddress    string
	tlsCert        string
	tlsKey         string
	trustedProxies string
	corsOrigins    list
	healthAddress  string
	metricsAddress string
	metricsAuth    bool
	metricsCertDir string

	admissionAddress       string
	admissionConfiguration string
	admissionCertDir       string

	pprofAddress string

	ledgerPath         string
	ledgerURL          string
	ledgerPasswordFile string
	ledgerKeyFile      string
	ledgerEncryption   string
	ledgerPassword     string
	ledgerConnections  int
	companyPending     int64
	companyStorage     int64 // MiB
	eventRetention     time.Duration

	emailFrom        string
	smtpAddress      string
	smtpTLS          string
	smtpUsername     string
	smtpPasswordFile string
	smtpPassword     string
	smtpCAFile       string
	smtpConnections  int
	smtpRate         float64

	unsubscribeKeys        string
	checkSenderDomains     bool
	dkimSelectors          list
	erasureWebhook         bool
	defaultEmailProvider   string
	defaultSMSProvider     string
	defaultPushProvider    string
	trustSystemEmail       bool
	quotas                 string
	smsCountries           string
	smsAllowNumbers        string
	testMode               string
	testModeAllow          list
	testModeRedirect       list
	providerAllowNetworks  string
	providerAllowPlaintext bool

	leaderElect         bool
	resyncPeriod        time.Duration
	dispatchConcurrency int
	deliveryConcurrency int
	memory              string
	sendTimeout         time.Duration
	gracePeriod         time.Duration
	drainDelay          time.Duration

	tracing   bool
	logLevel  string
	logFormat string
	logSent   bool
}

// parseSettings reads the command line and the environment. The error is one
// sentence; flag.ErrHelp means that the usage was printed to output.
func parseSettings(args []string, lookupEnv func(string) (string, bool), output io.Writer) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(io.Discard)

	flags.StringVar(&s.publicURL, "public-url", "", "public `URL` of this server, without api/, such as https://notifications.example.com (required)")
	flags.StringVar(&s.rehiveURL, "rehive-api-url", rehive.DefaultBaseURL, "`URL` of the Rehive API")
	flags.IntVar(&s.rehiveCallsPerMinute, "rehive-calls-per-minute", rehive.DefaultCallsPerMinute, "`number` of calls per minute that the Rehive API accepts for one company: 200 on the tier limited, 400 on standard, 1200 on extended")
	flags.StringVar(&s.namespace, "namespace", "rehive-system", "the operator's own `namespace`; a company without a declared CompanyActivation is activated there")
	flags.StringVar(&s.watchNamespaces, "watch-namespaces", "", "comma-separated `namespaces` that may hold CompanyActivations, rules, layouts and providers in addition to --namespace; * means all. The operator needs its role in each of them")
	flags.Var(&s.activationNamespaces, "activation-namespaces", "comma-separated `list` of the namespaces, besides --namespace, that may hold a company's CompanyActivation and so receive its token: team-a for any company, acme=team-a for the company acme only; an asterisk matches any characters. Can be repeated. The default is the namespaces named in --watch-namespaces, and none for its *")
	flags.DurationVar(&s.purgeGracePeriod, "purge-grace-period", 0, "how long the data of a company that was removed from Rehive is kept, inaccessible, in case the extension is activated again; 0 deletes it at once")

	flags.StringVar(&s.httpAddress, "http-address", ":8080", "`address` to serve calls from Rehive, dashboards and apps on")
	flags.StringVar(&s.tlsCert, "http-tls-cert", "", "`file` with the PEM certificate to serve HTTPS with; without it, HTTP is served")
	flags.StringVar(&s.tlsKey, "http-tls-key", "", "`file` with the certificate's private key")
	flags.StringVar(&s.trustedProxies, "trusted-proxies", "", "`networks` of the reverse proxies in front of this server, such as 10.0.0.0/8,fd00::/8; the caller's address is then taken from their X-Forwarded-For header. Without them, all callers behind one proxy share the limits of one caller")
	flags.Var(&s.corsOrigins, "cors-allowed-origins", "comma-separated `origins`, such as https://dashboard.example.com, of the web pages that may call the admin and the user API from a browser. Can be repeated. The default is none")
	flags.StringVar(&s.healthAddress, "health-address", ":8081", "`address` to serve /healthz and /readyz on; 0 disables it")
	flags.StringVar(&s.metricsAddress, "metrics-address", "127.0.0.1:8082", "`address` to serve /metrics on; 0 disables it")
	flags.BoolVar(&s.metricsAuth, "metrics-auth", false, "serve /metrics over HTTPS and only to callers whose Kubernetes bearer token permits it; use it unless --metrics-address is a loopback address")
	flags.StringVar(&s.metricsCertDir, "metrics-cert-dir", "", "`directory` with tls.crt and tls.key for --metrics-auth; without it, a self-signed certificate is generated")
	flags.StringVar(&s.admissionAddress, "admission-address", "", "`address`, such as :9443, of the admission webhook, which refuses rules, layouts and templates that can't work, and of what kubectl rehive asks the operator for; off by default")
	flags.StringVar(&s.admissionConfiguration, "admission-configuration", "rehive-extension-admission", "`name` of the ValidatingWebhookConfiguration whose certificates and namespaces the manager maintains")
	flags.StringVar(&s.admissionCertDir, "admission-cert-dir", "", "`directory` with tls.crt, tls.key and ca.crt for the admission webhook, such as a Secret of cert-manager; without it, the manager issues and rotates a certificate")
	flags.StringVar(&s.pprofAddress, "pprof-address", "0", "`address` to serve the profiles of /debug/pprof/ on, without authentication; 0 disables it")

	flags.StringVar(&s.ledgerPath, "ledger-path", "", "`file` of the SQLite ledger; created if it does not exist (default "+defaultLedgerPath+")")
	flags.StringVar(&s.ledgerURL, "ledger-url", "", "`URL` of a PostgreSQL database to use as the ledger instead of SQLite, without a password, such as postgres://user@host:5432/database?sslmode=verify-full; several replicas can share it")
	flags.StringVar(&s.ledgerPasswordFile, "ledger-password-file", "", "`file` with the password of the ledger's database")
	flags.StringVar(&s.ledgerEncryption, "ledger-encryption-keys", "", "`directory` with the keys that encrypt events and messages in the ledger, or a file with one; the name of a file is the ID of its key, the greatest ID encrypts, and a key is 32 random bytes, as they are or in base64; without it, nothing is encrypted")
	flags.StringVar(&s.ledgerKeyFile, "ledger-key-file", "", "`file` with a random key of at least 32 bytes, for the HMACs of sensitive messages that were masked; without it, there are none")
	flags.IntVar(&s.ledgerConnections, "ledger-connections", 16, "maximum `number` of connections to the ledger's database")
	flags.DurationVar(&s.eventRetention, "event-retention", 30*24*time.Hour, "how long to keep events and deliveries after they ended; at least "+ledger.MinRetention.String())
	flags.Int64Var(&s.companyPending, "company-pending-limit", 200_000, "maximum `number` of pending events and messages of one company; beyond it, the company's webhooks are answered with 507; 0 means no limit")
	flags.Int64Var(&s.companyStorage, "company-storage-limit", 8192, "maximum size in `MiB`, approximately, of what one company stores in the ledger; beyond it, the company's webhooks are answered with 507; 0 means no limit")

	flags.StringVar(&s.emailFrom, "email-from", "", "sender `address` of emails for which neither the rule nor the company has one")
	flags.StringVar(&s.smtpAddress, "smtp-address", "", "`host:port` of the operator's mail server; without it, emails of companies without a DeliveryProvider fail")
	flags.StringVar(&s.smtpTLS, "smtp-tls", string(smtp.StartTLS), "`mode` of encrypting the connection to the mail server: starttls, starttls-optional, tls or none")
	flags.StringVar(&s.smtpUsername, "smtp-username", "", "`name` to log in to the mail server with; without it, the operator does not log in")
	flags.StringVar(&s.smtpPasswordFile, "smtp-password-file", "", "`file` with the mail server's password; read only if --smtp-username is set")
	flags.StringVar(&s.smtpCAFile, "smtp-ca-file", "", "`file` with the PEM certificates of the authorities to trust for the mail server, instead of the system's")

	flags.IntVar(&s.smtpConnections, "smtp-connections", delivery.DefaultConcurrency, "maximum `number` of connections to the mail server, each of which sends one email at a time")
	flags.Float64Var(&s.smtpRate, "smtp-rate", 0, "maximum `number` of emails per second sent to the mail server; 0 means no limit")

	flags.BoolVar(&s.erasureWebhook, "erasure-webhook", false, "register the webhook of user.update for every company, so that the data of users whom Rehive deletes is erased without a rule for this event; each user.update event is then stored. Rehive may not let an active extension remove the webhook again")
	flags.BoolVar(&s.checkSenderDomains, "check-sender-domains", true, "look up the SPF, DKIM and DMARC records of the domain of each company's system email once a day, and report what is missing in the condition SenderDomainReady")
	flags.Var(&s.dkimSelectors, "smtp-dkim-selectors", "comma-separated `selectors` of the DKIM keys with which the mail server signs, at most four; without them, the condition SenderDomainReady doesn't cover DKIM for companies that use it. Can be repeated")
	flags.StringVar(&s.unsubscribeKeys, "unsubscribe-keys", "", "`directory` with the keys that sign the links by which users opt out of a rule's messages, such as a mounted Secret; each file holds a key of at least 32 bytes, and the one with the greatest name signs. Without it, there are no such links")
	flags.StringVar(&s.defaultEmailProvider, "default-email-provider", "", "`name` of the DeliveryProvider in --namespace for companies without one for email; replaces --smtp-address")
	flags.StringVar(&s.defaultSMSProvider, "default-sms-provider", "", "`name` of the DeliveryProvider in --namespace for companies without one for SMS")
	flags.StringVar(&s.defaultPushProvider, "default-push-provider", "", "`name` of the DeliveryProvider in --namespace for companies without one for push notifications")
	flags.BoolVar(&s.trustSystemEmail, "trust-system-email", true, "let a company send email from the domain of its system email on Rehive through the operator's own providers, unless the domain is a mailbox provider's, the operator's or another company's; otherwise only spec.senderDomains counts")
	flags.StringVar(&s.quotas, "quotas", "", "`limits` on the messages that one company may send per day (UTC), each a number or unlimited. They override individual defaults: email.company=1000000,sms.company=10000,sms.country=5000,sms.recipient=50; email.recipient, push.company and push.recipient are unlimited by default")
	flags.StringVar(&s.smsCountries, "sms-countries", "", "ISO 3166 `codes` of the countries to which SMS may be sent, such as ZA,US; all by default")
	flags.StringVar(&s.smsAllowNumbers, "sms-allow-numbers", "", "`kinds` of expensive numbers to which SMS may be sent: premium, shared-cost, satellite; none by default")
	flags.StringVar(&s.testMode, "test-mode", testmode.Deliver, "`mode` of treating messages of companies that are in test mode on Rehive: deliver sends them, redirect sends those to recipients outside --test-mode-allow to --test-mode-redirect, and record only logs those. In-app messages are always delivered")
	flags.Var(&s.testModeAllow, "test-mode-allow", "comma-separated `recipients` of companies in test mode: email addresses, domains with their subdomains, international phone numbers, identifiers of users for push notifications, and company-admins for the users in the company's group admin on Rehive. Can be repeated")
	flags.Var(&s.testModeRedirect, "test-mode-redirect", "email `address`, phone number or both, separated by a comma, that receive messages with --test-mode=redirect; those of other channels are only logged")
	flags.StringVar(&s.providerAllowNetworks, "provider-allow-networks", "", "comma-separated private and special-purpose `networks` that DeliveryProviders may connect to, such as 10.0.0.0/8,fd00::/8; none by default")
	flags.BoolVar(&s.providerAllowPlaintext, "provider-allow-plaintext", false, "accept base URLs of DeliveryProviders that begin with http://, which sends credentials unencrypted")

	flags.BoolVar(&s.leaderElect, "leader-elect", false, "reconcile only while holding the leader election lease; required with several replicas. A replica that loses the lease continues to accept and deliver")
	flags.DurationVar(&s.resyncPeriod, "resync-period", 10*time.Minute, "how often to check each company's token and webhooks with Rehive")
	flags.IntVar(&s.dispatchConcurrency, "dispatch-concurrency", 64, "maximum `number` of events processed at once")
	flags.IntVar(&s.deliveryConcurrency, "delivery-concurrency", 256, "maximum `number` of messages in progress at once: being sent, waiting for their provider, or being recorded as sent")
	flags.StringVar(&s.memory, "memory-budget", "", "`bytes` of memory that events and messages in progress may use together, such as 128Mi; one company may use half of it (default a sixth of GOMEMLIMIT, which defaults to 70% of the container's memory; 256Mi without a limit)")
	flags.DurationVar(&s.sendTimeout, "send-timeout", 30*time.Second, "how long sending one message may take; a mail server's reply to a whole mail may take ten minutes more. After three times as long, another replica takes over the messages that a replica which died was sending")
	flags.DurationVar(&s.gracePeriod, "grace-period", 20*time.Second, "how long requests and messages in progress may take to finish after the manager is told to stop")

	flags.DurationVar(&s.drainDelay, "drain-delay", 0, "how long to accept requests after the manager is told to stop, while /readyz already fails, so that load balancers notice")

	flags.BoolVar(&s.tracing, "tracing", false, "record what happens to events in OpenTelemetry traces, and export them over HTTP to the collector in OTEL_EXPORTER_OTLP_ENDPOINT; other OTEL_ environment variables set sampling, headers and certificates")
	flags.StringVar(&s.logLevel, "log-level", "info", "minimum `level` of log entries: debug, info or error")
	flags.StringVar(&s.logFormat, "log-format", "json", "`format` of log entries: json or console")
	flags.BoolVar(&s.logSent, "log-sent", true, "log each message that was sent; those that fail are always logged. Of entries with the same text, 100 per second are logged, and then one in 100")
	config.RegisterFlags(flags)

	explainTypes(flags)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			printUsage(flags, output)
		}
		return nil, err
	}
	switch argument := flags.Arg(0); {
	case argument == "true" || argument == "false":
		return nil, fmt.Errorf("unexpected argument %q: write the value of a flag after an equals sign, such as --leader-elect=%[1]s", argument)
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q: the manager takes flags only", argument)
	}
	if err := readEnvironment(flags, lookupEnv); err != nil {
		return nil, err
	}
	s.smtpPassword, _ = lookupEnv(envPrefix + "SMTP_PASSWORD")
	s.ledgerPassword, _ = lookupEnv(envPrefix + "LEDGER_PASSWORD")
	return s, s.validate()
}

// list is a flag with several values, separated by commas. The flag can be repeated.
type list []string

// String implements flag.Value.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(value string) error {
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// explained is a flag of a type whose own errors only say "parse error".
type explained struct {
	flag.Value
	example string
}

// Set implements flag.Value.
func (e *explained) Set(value string) error {
	if e.Value.Set(value) != nil {
		return errors.New("write " + e.example)
	}
	return nil
}

// IsBoolFlag allows a boolean flag without a value.
func (e *explained) IsBoolFlag() bool {
	b, ok := e.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// explainTypes makes the errors of flags say how a value of their type is written.
func explainTypes(flags *flag.FlagSet) {
	flags.VisitAll(func(f *flag.Flag) {
		getter, ok := f.Value.(flag.Getter)
		if !ok {
			return
		}
		var example string
		switch getter.Get().(type) {
		case time.Duration:
			example = "a duration such as 30s, 10m or 720h"
		case int, int64:
			example = "a whole number"
		case float64:
			example = "a number"
		case bool:
			example = "true or false"
		default:
			return
		}
		f.Value = &explained{Value: f.Value, example: example}
	})
}

func envName(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// readEnvironment sets each flag that is not on the command line from its environment
// variable.
func readEnvironment(flags *flag.FlagSet, lookupEnv func(string) (string, bool)) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var failure error
	flags.VisitAll(func(f *flag.Flag) {
		value, ok := lookupEnv(envName(f.Name))
		if !ok || given[f.Name] || failure != nil {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failure = fmt.Errorf("invalid value for %s: %w", envName(f.Name), err)
		}
	})
	return failure
}

func printUsage(flags *flag.FlagSet, output io.Writer) {
	fmt.Fprintf(output, `The manager of the Rehive extension operator. It serves calls from the Rehive
platform, reconciles the operator's custom resources, and delivers messages.

Usage: manager --public-url URL [flags]

Each flag can also be set by an environment variable: --public-url by
%[1]s. A flag takes precedence. Passwords are read from
--smtp-password-file and --ledger-password-file, or from the variables
%[2]sSMTP_PASSWORD and %[2]sLEDGER_PASSWORD.

To back up a SQLite ledger, restore it, or move it to PostgreSQL, see
manager backup --help, manager restore --help and manager migrate-ledger --help.

`, envName("public-url"), envPrefix)
	flags.SetOutput(output)
	// The usage names the types of the values.
	flags.VisitAll(func(f *flag.Flag) {
		if e, ok := f.Value.(*explained); ok {
			f.Value = e.Value
		}
	})
	flags.PrintDefaults()
}

// serversOwnPath matches the end of a URL to which somebody added the path of the API, of
// one of its operations, or of the unsubscribe page.
var serversOwnPath = regexp.MustCompile(`(?i)/(api(/(activate|deactivate|rotate|webhook|schema\.json|(admin|user)(/.*)?))?|unsubscribe)/*$`)

// isPort reports whether a text is the number of a port.
func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// isHost reports whether a host can be an IP address or a name. DNS itself is not asked.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && r != '_' && !unicode.In(r, unicode.Letter, unicode.Mark, unicode.Digit)
		}) {
			return false
		}
	}
	return true
}

// checkListenAddress checks an address to listen on. Port 0 is for tests.
func checkListenAddress(name, text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil || port != "0" && !isPort(port) || host != "" && !isHost(host) {
		return fmt.Errorf("--%s must be host:port or :port, not %q", name, text)
	}
	return nil
}

// checkPublicURL checks --public-url, and removes white space around it, such as the line
// break that ends a file.
func (s *settings) checkPublicURL() error {
	s.publicURL = strings.TrimSpace(s.publicURL)
	if s.publicURL == "" {
		return errors.New("--public-url is required: set it to the URL at which Rehive reaches this server, such as https://notifications.example.com")
	}
	public, err := url.Parse(s.publicURL)
	switch {
	case err != nil, public.Scheme != "https" && public.Scheme != "http", !isHost(public.Hostname()),
		public.User != nil, strings.ContainsAny(s.publicURL, "?#"), public.Host != public.Hostname() && !isPort(public.Port()) && !isBracketed(public.Host):
		return errors.New("--public-url must be an http or https URL without credentials, query or fragment, such as https://notifications.example.com")
	}
	if end := serversOwnPath.FindString(s.publicURL); end != "" {
		return fmt.Errorf("--public-url must not end in %s: the server adds it; set --public-url to %q", strings.TrimRight(end, "/"), strings.TrimSuffix(s.publicURL, end))
	}
	return nil
}

// isBracketed reports whether the host of a URL is an IPv6 address without a port.
func isBracketed(host string) bool { return strings.HasSuffix(host, "]") }

// validate checks what can be checked without reading files or connecting to anything.
func (s *settings) validate() error {
	if err := s.checkPublicURL(); err != nil {
		return err
	}
	if u, err := url.Parse(s.rehiveURL); err == nil && u.Host != "" && strings.Trim(u.Path, "/") == "" {
		return errors.New("--rehive-api-url must end in the version of the API, as in " + rehive.DefaultBaseURL)
	}
	if len(validation.IsDNS1123Label(s.namespace)) > 0 {
		return fmt.Errorf("--namespace: %q is not a valid namespace name", s.namespace)
	}
	if _, err := s.watched(); err != nil {
		return err
	}
	if _, err := s.holders(); err != nil {
		return err
	}
	if s.purgeGracePeriod < 0 {
		return fmt.Errorf("--purge-grace-period must not be negative, but is %s", s.purgeGracePeriod)
	}
	if (s.tlsCert == "") != (s.tlsKey == "") {
		return errors.New("--http-tls-cert and --http-tls-key must be set together")
	}
	for name, text := range map[string]string{"http-address": s.httpAddress, "health-address": s.healthAddress, "metrics-address": s.metricsAddress, "pprof-address": s.pprofAddress} {
		if name != "http-address" && text == "0" {
			continue
		}
		if err := checkListenAddress(name, text); err != nil {
			return err
		}
	}
	if _, err := s.proxyNetworks(); err != nil {
		return err
	}
	for _, origin := range s.corsOrigins {
		if err := webhookserver.ValidateOrigin(origin); err != nil {
			return fmt.Errorf("--cors-allowed-origins: %w", err)
		}
	}
	if err := s.validateLedger(); err != nil {
		return err
	}
	if s.emailFrom != "" {
		if _, err := address.Parse(s.emailFrom); err != nil {
			return fmt.Errorf("--email-from must be an email address, such as no-reply@example.com or \"Acme, Inc.\" <no-reply@example.com>, but %q %w", s.emailFrom, err)
		}
	}
	if err := s.validateSMTP(); err != nil {
		return err
	}
	if err := s.validateProviders(); err != nil {
		return err
	}
	for name, n := range map[string]int{"dispatch-concurrency": s.dispatchConcurrency, "delivery-concurrency": s.deliveryConcurrency} {
		if n < 1 || n > 4096 {
			return fmt.Errorf("--%s must be between 1 and 4096, not %d", name, n)
		}
	}
	if _, err := s.memoryBudget(); err != nil {
		return err
	}
	if s.rehiveCallsPerMinute < 2 || s.rehiveCallsPerMinute > 100_000 {
		return fmt.Errorf("--rehive-calls-per-minute must be between 2 and 100000, not %d", s.rehiveCallsPerMinute)
	}
	if s.resyncPeriod < 10*time.Second {
		return fmt.Errorf("--resync-period must be at least 10s, not %s: each check of a company calls Rehive", s.resyncPeriod)
	}
	if s.sendTimeout < time.Second || s.sendTimeout > 10*time.Minute {
		return fmt.Errorf("--send-timeout must be between 1s and 10m, not %s", s.sendTimeout)
	}
	if s.gracePeriod <= 0 || s.gracePeriod > time.Hour {
		return fmt.Errorf("--grace-period must be longer than 0s and at most 1h, not %s", s.gracePeriod)
	}
	if s.drainDelay < 0 || s.drainDelay >= s.gracePeriod {
		return fmt.Errorf("--drain-delay must not be negative and must be shorter than --grace-period, not %s", s.drainDelay)
	}
	if s.admissionAddress != "" {
		if _, _, err := splitAddress(s.admissionAddress); err != nil {
			return err
		}
	}
	// The levels above error would hide why the manager stops.
	if level, err := zapcore.ParseLevel(s.logLevel); err != nil || level > zapcore.ErrorLevel {
		return fmt.Errorf("--log-level must be debug, info or error, not %q", s.logLevel)
	}
	if s.logFormat != "json" && s.logFormat != "console" {
		return fmt.Errorf("--log-format must be json or console, not %q", s.logFormat)
	}
	return nil
}

func (s *settings) validateLedger() error {
	if s.companyPending < 0 || s.companyStorage < 0 || s.companyStorage > 1<<40 {
		return errors.New("--company-pending-limit and --company-storage-limit must not be negative; 0 means no limit")
	}
	if s.eventRetention < ledger.MinRetention {
		return fmt.Errorf("--event-retention must be at least %s, not %s: Rehive may repeat an event for that long", ledger.MinRetention, s.eventRetention)
	}
	if s.ledgerURL == "" {
		if s.ledgerPasswordFile != "" || s.ledgerPassword != "" {
			return errors.New("--ledger-url is required with --ledger-password-file")
		}
		if s.ledgerPath == "" {
			s.ledgerPath = defaultLedgerPath
		}
		if strings.Contains(s.ledgerPath, "://") {
			// Its text may hold a password.
			return errors.New("--ledger-path must be the path of a file on a local disk or a block volume, such as " + defaultLedgerPath + ", not a URL; --ledger-url takes that of a PostgreSQL database")
		}
		// SQLite's special names and a shell's would become files in the working directory.
		if strings.TrimSpace(s.ledgerPath) == "" || s.ledgerPath == ":memory:" || strings.HasPrefix(s.ledgerPath, "file:") || strings.HasPrefix(s.ledgerPath, "~") {
			return fmt.Errorf("--ledger-path must be the whole path of a file, such as %s, not %q", defaultLedgerPath, s.ledgerPath)
		}
		return nil
	}
	if s.ledgerPath != "" {
		return errors.New("--ledger-path and --ledger-url must not both be set")
	}
	if err := postgres.CheckURL(s.ledgerURL); err != nil {
		return fmt.Errorf("--ledger-url: %w", err)
	}
	if s.ledgerPasswordFile != "" && s.ledgerPassword != "" {
		return fmt.Errorf("--ledger-password-file and %sLEDGER_PASSWORD must not both be set", envPrefix)
	}
	if s.ledgerConnections < 4 || s.ledgerConnections > 1000 {
		return fmt.Errorf("--ledger-connections must be between 4 and 1000, not %d", s.ledgerConnections)
	}
	return nil
}

func (s *settings) validateSMTP() error {
	if s.smtpPasswordFile != "" && s.smtpPassword != "" {
		return fmt.Errorf("--smtp-password-file and %sSMTP_PASSWORD must not both be set", envPrefix)
	}
	if s.smtpAddress == "" {
		if s.smtpUsername != "" || s.smtpCAFile != "" || len(s.dkimSelectors) > 0 {
			return errors.New("--smtp-address is required with --smtp-username, --smtp-ca-file and --smtp-dkim-selectors")
		}
		return nil
	}
	if host, port, err := net.SplitHostPort(s.smtpAddress); err != nil || !isHost(host) || !isPort(port) {
		return fmt.Errorf("--smtp-address must be host:port, such as smtp.example.com:587, not %q", s.smtpAddress)
	}
	if s.smtpConnections < 1 || s.smtpConnections > 1024 {
		return fmt.Errorf("--smtp-connections must be between 1 and 1024, not %d", s.smtpConnections)
	}
	if math.IsNaN(s.smtpRate) || s.smtpRate < 0 || s.smtpRate > 1e6 {
		return fmt.Errorf("--smtp-rate must be between 0 and 1000000, not %v", s.smtpRate)
	}
	if len(s.dkimSelectors) > v1alpha1.MaxDKIMSelectors {
		return fmt.Errorf("--smtp-dkim-selectors may name %d selectors, not %d", v1alpha1.MaxDKIMSelectors, len(s.dkimSelectors))
	}
	for _, selector := range s.dkimSelectors {
		if !v1alpha1.IsDKIMSelector(selector) {
			return fmt.Errorf("--smtp-dkim-selectors: %q is not a selector: letters, digits, '-', '_' and '.', such as s1", selector)
		}
	}
	switch smtp.TLSMode(s.smtpTLS) {
	case smtp.StartTLS, smtp.StartTLSOptional, smtp.ImplicitTLS, smtp.Plaintext:
	default:
		return fmt.Errorf("--smtp-tls must be starttls, starttls-optional, tls or none, not %q", s.smtpTLS)
	}
	return nil
}

func (s *settings) validateProviders() error {
	for name, value := range map[string]string{
		"default-email-provider": s.defaultEmailProvider,
		"default-sms-provider":   s.defaultSMSProvider,
		"default-push-provider":  s.defaultPushProvider,
	} {
		if value != "" && len(validation.IsDNS1123Subdomain(value)) > 0 {
			return fmt.Errorf("--%s: %q is not a valid name of a DeliveryProvider", name, value)
		}
	}
	if s.defaultEmailProvider != "" && s.smtpAddress != "" {
		return errors.New("--default-email-provider and --smtp-address must not both be set")
	}
	if _, err := s.newQuotas(nil); err != nil {
		return err
	}
	if _, err := s.newTestMode(nil); err != nil {
		return err
	}
	_, err := s.allowedNetworks()
	return err
}

// allowedNetworks returns the networks of --provider-allow-networks.
func (s *settings) allowedNetworks() ([]netip.Prefix, error) {
	return parseNetworks("provider-allow-networks", s.providerAllowNetworks)
}

// proxyNetworks returns the networks of --trusted-proxies.
func (s *settings) proxyNetworks() ([]netip.Prefix, error) {
	return parseNetworks("trusted-proxies", s.trustedProxies)
}

// parseNetworks reads a flag that lists networks, separated by commas.
func parseNetworks(flagName, list string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		network, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, fmt.Errorf("--%s: %q is not a network such as 10.0.0.0/8 (a single address ends in /32 or /128)", flagName, part)
		}
		// Addresses are compared in their IPv4 form.
		if network.Addr().Is4In6() {
			if network.Bits() < 96 {
				return nil, fmt.Errorf("--%s: write %q as a network of IPv4 addresses, such as 10.0.0.0/8", flagName, part)
			}
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// watched returns the namespaces that the operator works in.
func (s *settings) watched() (namespaces.Set, error) {
	set, err := namespaces.Parse(s.namespace, s.watchNamespaces)
	if err != nil {
		return namespaces.Set{}, fmt.Errorf("--watch-namespaces: %w", err)
	}
	return set, nil
}

// defaultProviders returns the DeliveryProviders for companies that do not name one.
func (s *settings) defaultProviders() map[v1alpha1.Channel]types.NamespacedName {
	defaults := make(map[v1alpha1.Channel]types.NamespacedName)
	for channel, name := range map[v1alpha1.Channel]string{
		v1alpha1.ChannelEmail: s.defaultEmailProvider,
		v1alpha1.ChannelSMS:   s.defaultSMSProvider,
		v1alpha1.ChannelPush:  s.defaultPushProvider,
	} {
		if name != "" {
			defaults[channel] = types.NamespacedName{Namespace: s.namespace, Name: name}
		}
	}
	return defaults
}

// servedChannels returns the channels that companies without a DeliveryProvider of their
// own can use.
func (s *settings) servedChannels() []v1alpha1.Channel {
	channels := slices.Collect(maps.Keys(s.defaultProviders()))
	if s.smtpAddress != "" {
		channels = append(channels, v1alpha1.ChannelEmail)
	}
	return channels
}

// holders returns which namespaces may hold which companies: those in
// --activation-namespaces, or else those named in --watch-namespaces. An asterisk in the
// latter names none.
func (s *settings) holders() (activation.Namespaces, error) {
	entries := []string(s.activationNamespaces)
	if len(entries) == 0 {
		watched, err := s.watched()
		if err != nil {
			return activation.Namespaces{}, err
		}
		entries = watched.Names()
	}
	holders, err := activation.NewNamespaces(s.namespace, entries...)
	if err != nil {
		return activation.Namespaces{}, fmt.Errorf("--activation-namespaces: %w", err)
	}
	return holders, nil
}

// readSMTPPassword returns the mail server's password. It is empty without a user name,
// because the file that the default installation names exists only if the mail server
// requires a login.
func (s *settings) readSMTPPassword() (string, error) {
	if s.smtpUsername == "" {
		return "", nil
	}
	password, err := readPassword("smtp-password-file", s.smtpPasswordFile, s.smtpPassword)
	if err == nil && password == "" {
		return "", fmt.Errorf("--smtp-username is set, but there is no password: set --smtp-password-file, whose file must not be empty, or %sSMTP_PASSWORD", envPrefix)
	}
	return password, err
}

// openStore opens the ledger, on PostgreSQL if there is a URL.
func (s *settings) openStore(ctx context.Context, o ledger.Options) (ledger.Store, error) {
	if s.ledgerURL == "" {
		return sqlite.Open(ctx, s.ledgerPath, o)
	}
	password, err := readPassword("ledger-password-file", s.ledgerPasswordFile, s.ledgerPassword)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, postgres.Config{URL: s.ledgerURL, Password: password, Connections: s.ledgerConnections}, o)
}

// readLedgerKey returns the content of --ledger-key-file.
func (s *settings) readLedgerKey() ([]byte, error) {
	if s.ledgerKeyFile == "" {
		return nil, nil
	}
	key, err := os.ReadFile(filepath.Clean(s.ledgerKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading --ledger-key-file: %w", err)
	}
	if len(key) < minLedgerKey {
		return nil, fmt.Errorf("--ledger-key-file must hold at least %d bytes, not %d", minLedgerKey, len(key))
	}
	return key, nil
}

// readEncryptionKeys returns the keys of --ledger-encryption-keys; nil if it is not set.
func (s *settings) readEncryptionKeys() (*seal.Keyring, error) {
	if s.ledgerEncryption == "" {
		return nil, nil //nolint:nilnil // documented above
	}
	keys, err := seal.Load(s.ledgerEncryption)
	if err != nil {
		return nil, fmt.Errorf("--ledger-encryption-keys: %w", err)
	}
	return keys, nil
}

// readPassword returns the password in a flag's file, or other if the flag is not set.
func readPassword(flagName, file, other string) (string, error) {
	if file == "" {
		return other, nil
	}
	content, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", fmt.Errorf("reading --%s: %w", flagName, err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
