// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package providers makes the senders of package delivery out of
// DeliveryProviders and their Secrets, and finds the one for a company's channel.
package providers

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/sendgrid"
	"github.com/rehive/extension-operator/internal/delivery/smtp"
	"github.com/rehive/extension-operator/internal/delivery/twilio"
	"github.com/rehive/extension-operator/internal/outbound"
)

// defaultTimeout is that of objects that never passed the API server's defaults.
const defaultTimeout = 15 * time.Second

// Builder builds providers. It is safe for concurrent use.
type Builder struct {
	// Secrets reads the Secrets with the provider label; others it may not find.
	Secrets client.Reader
	// Devices look up where push messages go. Feedback may be nil.
	Devices  expo.Devices
	Feedback expo.Feedback
	// Earlier returns the push messages that a DeliveryProvider sent since a time and whose
	// outcomes aren't known; nil if nobody remembers them.
	Earlier func(ctx context.Context, p *v1alpha1.DeliveryProvider, since time.Time) ([]expo.Ticket, error)
	// DeadTokens outlive the providers, which are replaced when they change. If nil, dead
	// tokens are not remembered.
	DeadTokens expo.DeadTokens
	// AllowNetworks are special-purpose networks that providers may be in all the
	// same. AllowPlaintext lets base URLs begin with http://.
	AllowNetworks  []netip.Prefix
	AllowPlaintext bool
	// UserAgent names the operator to providers.
	UserAgent string
	// References issues what providers refer to messages by when they report about them; if
	// nil, they don't report.
	References References
}

// References issues what a provider refers to messages by. *feedback.References implements
// it.
type References interface {
	// For returns a function that issues the references of a DeliveryProvider.
	For(p *v1alpha1.DeliveryProvider) func(*provider.Message) string
	// URL returns the URL at which a DeliveryProvider reports.
	URL(p *v1alpha1.DeliveryProvider) string
}

// Built is a live provider. The caller of Build closes it.
type Built struct {
	// Provider sends.
	Provider provider.Provider
	// Check tries configuration and credentials without sending; nil where the
	// provider offers no way to.
	Check func(context.Context) error
	// Reporter reads what the provider reports about messages; nil if it doesn't report.
	Reporter provider.Reporter
	// Version is of what it was built from.
	Version Version

	// run, if not nil, is to run as long as the provider lives.
	run   func(context.Context)
	close func()
}

// Close closes connections. Messages in progress are still sent.
func (b *Built) Close() {
	if b.close != nil {
		b.close()
	}
}

// Version identifies what a provider is built from: the DeliveryProvider and its
// Secret.
type Version struct {
	generation int64
	uid        string
	secret     string // UID and resource version
}

func versionOf(p *v1alpha1.DeliveryProvider, secret *corev1.Secret) Version {
	v := Version{generation: p.Generation, uid: string(p.UID)}
	if secret != nil {
		v.secret = string(secret.UID) + "/" + secret.ResourceVersion
	}
	return v
}

// secret reads the Secret of a provider, nil if it names none. Its errors are
// classed as those of a provider.Provider.
func (b *Builder) secret(ctx context.Context, p *v1alpha1.DeliveryProvider) (*corev1.Secret, error) {
	if p.Spec.SecretRef == nil {
		return nil, nil //nolint:nilnil // documented above
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: p.Namespace, Name: p.Spec.SecretRef.Name}
	missing := provider.Misconfigured(v1alpha1.SecretNotFoundReason,
		fmt.Sprintf("spec.secretRef names the Secret %s, which does not exist in this namespace or lacks the label %s.", key.Name, v1alpha1.ProviderSecretLabel))
	switch err := b.Secrets.Get(ctx, key, &secret, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return nil, missing
	case err != nil:
		return nil, fmt.Errorf("reading the Secret of a DeliveryProvider: %w", err)
	}
	// The reader's own selection is a matter of memory; this is one of consent.
	if _, ok := secret.Labels[v1alpha1.ProviderSecretLabel]; !ok || !secret.DeletionTimestamp.IsZero() {
		return nil, missing
	}
	if err := checkHost(p, &secret); err != nil {
		return nil, err
	}
	return &secret, nil
}

// Build creates a provider from a DeliveryProvider and its Secret. It makes no calls except
// to the reader of Secrets. Errors that a person must fix are classed
// provider.Misconfigured; their text names fields and keys and contains no value of the
// Secret.
func (b *Builder) Build(ctx context.Context, p *v1alpha1.DeliveryProvider) (*Built, error) {
	secret, err := b.secret(ctx, p)
	if err != nil {
		return nil, err
	}
	return b.build(p, secret)
}

func (b *Builder) build(p *v1alpha1.DeliveryProvider, secret *corev1.Secret) (*Built, error) {
	values := credentials{}
	if secret != nil {
		values = secret.Data
	}
	timeout := defaultTimeout
	if p.Spec.TimeoutSeconds > 0 {
		timeout = time.Duration(p.Spec.TimeoutSeconds) * time.Second
	}
	concurrency := int(p.Spec.Concurrency)
	if concurrency <= 0 {
		concurrency = delivery.DefaultConcurrency
	}

	var built *Built
	var err error
	if p.Spec.SMTP != nil {
		built, err = b.buildSMTP(&p.Spec, values, timeout, concurrency)
	} else {
		c := outbound.New(outbound.Options{
			Timeout:         timeout,
			MaxConnsPerHost: concurrency,
			AllowNetworks:   b.AllowNetworks,
			AllowPlaintext:  b.AllowPlaintext,
			UserAgent:       b.UserAgent,
		})
		switch spec := &p.Spec; {
		case spec.SendGrid != nil:
			built, err = b.buildSendGrid(p, values, c)
		case spec.Twilio != nil:
			built, err = b.buildTwilio(p, values, c)
		case spec.Expo != nil:
			built, err = b.buildExpo(p, values, c)
		default:
			err = errors.New("no provider is set: set spec.smtp, spec.sendgrid, spec.twilio or spec.expo")
		}
		if built != nil {
			built.close = c.CloseIdleConnections
		}
	}
	if err != nil {
		return nil, provider.Misconfigured(v1alpha1.InvalidConfigurationReason, sentence(err.Error()))
	}
	built.Version = versionOf(p, secret)
	return built, nil
}

func (b *Builder) buildSMTP(spec *v1alpha1.DeliveryProviderSpec, values credentials, timeout time.Duration, connections int) (*Built, error) {
	username, password := values.token(v1alpha1.SecretKeyUsername), strings.TrimRight(string(values[v1alpha1.SecretKeyPassword]), "\r\n")
	if username != "" || password != "" {
		if err := values.need(v1alpha1.SecretKeyUsername, v1alpha1.SecretKeyPassword); err != nil {
			return nil, err
		}
	}
	c := smtp.Config{
		Host:           spec.SMTP.Host,
		Port:           int(spec.SMTP.Port),
		Username:       username,
		Password:       password,
		From:           spec.Sender,
		CommandTimeout: timeout,
		MaxConnections: connections,
		Control:        outbound.Guard(b.AllowNetworks),
	}
	switch spec.SMTP.TLS {
	case v1alpha1.SMTPStartTLS, "":
		c.TLS = smtp.StartTLS
	case v1alpha1.SMTPStartTLSOptional:
		c.TLS = smtp.StartTLSOptional
	case v1alpha1.SMTPImplicitTLS:
		c.TLS = smtp.ImplicitTLS
	case v1alpha1.SMTPNoTLS:
		c.TLS = smtp.Plaintext
	default:
		return nil, errors.New("spec.smtp.tls must be StartTLS, StartTLSOptional, TLS or None")
	}
	if pem := values[v1alpha1.SecretKeyCA]; len(pem) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the key %s of the Secret holds no PEM certificate", v1alpha1.SecretKeyCA)
		}
	}
	p, err := smtp.New(c)
	if err != nil {
		return nil, err
	}
	return &Built{Provider: p, Check: p.Check, close: func() { _ = p.Close() }}, nil
}

// reports reports whether a provider is to report about messages.
func (b *Builder) reports(p *v1alpha1.DeliveryProvider) bool {
	return p.Spec.Feedback && b.References != nil && p.UID != ""
}

func (b *Builder) buildSendGrid(of *v1alpha1.DeliveryProvider, values credentials, c *outbound.Client) (*Built, error) {
	spec := &of.Spec
	if err := values.need(v1alpha1.SecretKeyAPIKey); err != nil {
		return nil, err
	}
	config := sendgrid.Config{
		APIKey:  values.token(v1alpha1.SecretKeyAPIKey),
		From:    spec.Sender,
		BaseURL: spec.SendGrid.BaseURL,
		Client:  c,
	}
	if b.reports(of) {
		config.EventKey, config.Reference = values.token(v1alpha1.SecretKeyEventWebhookKey), b.References.For(of)
	}
	p, err := sendgrid.New(config)
	if err != nil {
		return nil, err
	}
	built := &Built{Provider: p, Check: p.Check}
	if config.EventKey != "" {
		built.Reporter = p
	}
	return built, nil
}

func (b *Builder) buildTwilio(of *v1alpha1.DeliveryProvider, values credentials, c *outbound.Client) (*Built, error) {
	spec := &of.Spec
	secret := v1alpha1.SecretKeyAuthToken
	config := twilio.Config{From: spec.Sender, BaseURL: spec.Twilio.BaseURL, VerifyServiceSID: spec.Twilio.VerifyServiceSID, Client: c}
	if values.token(v1alpha1.SecretKeyAPIKeySID) != "" {
		secret = v1alpha1.SecretKeyAPIKeySecret
		config.KeySID = values.token(v1alpha1.SecretKeyAPIKeySID)
	}
	if err := values.need(v1alpha1.SecretKeyAccountSID, secret); err != nil {
		return nil, err
	}
	if spec.Sender == "" {
		return nil, errors.New("spec.sender is missing: an SMS needs one")
	}
	config.AccountSID, config.AuthToken = values.token(v1alpha1.SecretKeyAccountSID), values.token(secret)
	if b.reports(of) {
		if config.SigningKey = values.token(v1alpha1.SecretKeyAuthToken); config.SigningKey == "" {
			return nil, fmt.Errorf("spec.feedback is true and the Secret lacks the key %s, with which Twilio signs its callbacks", v1alpha1.SecretKeyAuthToken)
		}
		address, reference := b.References.URL(of), b.References.For(of)
		config.StatusCallback = func(m *provider.Message) string { return address + reference(m) + "/" }
	}
	p, err := twilio.New(config)
	if err != nil {
		return nil, err
	}
	built := &Built{Provider: p, Check: p.Check}
	if config.SigningKey != "" {
		built.Reporter = p
	}
	return built, nil
}

func (b *Builder) buildExpo(of *v1alpha1.DeliveryProvider, values credentials, c *outbound.Client) (*Built, error) {
	spec := &of.Spec
	config := expo.Config{
		Devices:     b.Devices,
		Feedback:    b.Feedback,
		Dead:        b.DeadTokens,
		Report:      spec.Feedback,
		AccessToken: values.token(v1alpha1.SecretKeyAccessToken),
		ChannelID:   spec.Expo.AndroidChannel,
		BaseURL:     spec.Expo.BaseURL,
		Client:      c,
	}
	if b.Earlier != nil {
		of = of.DeepCopy() // the cache's own may change
		config.Earlier = func(ctx context.Context, since time.Time) ([]expo.Ticket, error) { return b.Earlier(ctx, of, since) }
	}
	p, err := expo.New(config)
	if err != nil {
		return nil, err
	}
	return &Built{Provider: p, run: p.Run}, nil
}

// credentials are the data of a Secret.
type credentials map[string][]byte

// token returns a value without the line break that a Secret written by hand often
// ends in.
func (c credentials) token(key string) string { return strings.TrimSpace(string(c[key])) }

func (c credentials) need(keys ...string) error {
	for _, key := range keys {
		if c.token(key) == "" {
			return fmt.Errorf("the Secret lacks the key %s", key)
		}
	}
	return nil
}

// sentence turns an error's text into a sentence.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	// A field keeps its name.
	if strings.HasPrefix(text, "Spec.") {
		text = "s" + text[1:]
	}
	return strings.TrimSuffix(text, ".") + "."
}
