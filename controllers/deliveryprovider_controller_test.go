// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/http/httptest"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

const twilioSID = "AC0123456789abcdef0123456789abcdef"

// twilio starts a fake of Twilio and returns it with a matching provider.
func (f *fixture) twilio(token string) (*providertest.API, *v1alpha1.DeliveryProvider) {
	f.t.Helper()
	fake := providertest.NewTwilio(twilioSID, twilioSID, token)
	server := httptest.NewServer(fake)
	f.t.Cleanup(func() {
		fake.Close()
		server.Close()
	})
	return fake, &v1alpha1.DeliveryProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "sms"},
		Spec: v1alpha1.DeliveryProviderSpec{
			Twilio:    &v1alpha1.TwilioProvider{BaseURL: server.URL},
			SecretRef: &v1alpha1.SecretReference{Name: "twilio"},
			Sender:    "+15005550006",
		},
	}
}

func (f *fixture) providerSecret(name string, values map[string]string) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace, Name: name, Labels: map[string]string{v1alpha1.ProviderSecretLabel: ""},
			Annotations: map[string]string{v1alpha1.AllowedHostsAnnotation: "127.0.0.1, 10.0.0.1"},
		},
		StringData: values,
	}
	f.create(secret)
	return secret
}

// TestProviderCredentials takes a provider from a missing Secret to a wrong one and to a
// correct one. Each change of the Secret triggers a check.
func TestProviderCredentials(t *testing.T) {
	f := newFixture(t)
	right, wrong := secrets.add("right-"+f.namespace), secrets.add("wrong-"+f.namespace)
	_, p := f.twilio(right)
	f.create(p)
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("False/SecretNotFound"))
	f.Expect(verdictOf(p, v1alpha1.StalledCondition)).To(Equal("True/SecretNotFound"))
	f.Expect(p.Status.Type).To(Equal("twilio"))
	f.Expect(p.Status.Channel).To(Equal(v1alpha1.ChannelSMS))
	f.Expect(p.Status.ObservedGeneration).To(Equal(p.Generation))

	secret := f.providerSecret("twilio", map[string]string{"accountSid": twilioSID, "authToken": wrong})
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("False/CredentialsRefused"))
	f.Expect(verdictOf(p, v1alpha1.StalledCondition)).To(Equal("True/CredentialsRefused"))

	f.change(secret, func() { secret.StringData = map[string]string{"authToken": right} })
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("True/Verified"))
	f.Expect(verdictOf(p, v1alpha1.StalledCondition)).To(BeEmpty())
	f.Eventually(f.events(p)).Should(ContainElements("SecretNotFound", "CredentialsRefused", "Verified"))

	f.Expect(k8s.Delete(f.ctx, secret)).To(Succeed())
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("False/SecretNotFound"))
}

// TestHalfALogin checks that a mail server's Secret has both a user's name and a password, or
// neither.
func TestHalfALogin(t *testing.T) {
	f := newFixture(t)
	secret := f.providerSecret("mail", map[string]string{"username": "shop", "passwd": "planted"})
	p := &v1alpha1.DeliveryProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "mail"},
		Spec:       v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: "127.0.0.1", Port: 1}, SecretRef: &v1alpha1.SecretReference{Name: "mail"}},
	}
	f.create(p)
	message := func() string {
		_ = f.condition(p, v1alpha1.ReadyCondition)()
		return messageOf(p, v1alpha1.ReadyCondition)
	}
	f.Eventually(message).Should(Equal("The Secret lacks the key password."))
	f.change(secret, func() { secret.StringData = map[string]string{"username": "", "password": "planted"} })
	f.Eventually(message).Should(Equal("The Secret lacks the key username."))
	f.change(secret, func() { secret.StringData = map[string]string{"password": ""} })
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).ShouldNot(Equal("False/InvalidConfiguration"))
}

// TestProviderOutage checks that an outage isn't reported as a wrong configuration, and
// that the check is retried.
func TestProviderOutage(t *testing.T) {
	f := newFixture(t)
	fake, p := f.twilio("a-token")
	fake.Behave(providertest.Fail)
	f.providerSecret("twilio", map[string]string{"accountSid": twilioSID, "authToken": "a-token"})
	f.create(p)
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("Unknown/ProviderUnavailable"))
	f.Expect(verdictOf(p, v1alpha1.StalledCondition)).To(BeEmpty())
	fake.Behave(providertest.Accept)
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("True/Verified"))
}

func TestProviderWithoutCheck(t *testing.T) {
	f := newFixture(t)
	p := &v1alpha1.DeliveryProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "push"},
		Spec:       v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}},
	}
	f.create(p)
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("True/Configured"))
	f.Expect(p.Status.Channel).To(Equal(v1alpha1.ChannelPush))
}

// TestProviderInPrivateNetwork checks that DeliveryProviders can't reach mail servers in
// private networks through the operator.
func TestProviderInPrivateNetwork(t *testing.T) {
	f := newFixture(t)
	p := &v1alpha1.DeliveryProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "mail"},
		Spec:       v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: "169.254.169.254", Port: 80}},
	}
	f.create(p)
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("False/AddressRefused"))
	f.providerSecret("key", map[string]string{"apiKey": "a-key"})
	f.change(p, func() {
		p.Spec = v1alpha1.DeliveryProviderSpec{SendGrid: &v1alpha1.SendGridProvider{BaseURL: "https://10.0.0.1"}, SecretRef: &v1alpha1.SecretReference{Name: "key"}}
	})
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("False/InvalidConfiguration"))
}

func TestDeliveryProviderValidation(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.DeliveryProviderSpec)
		want   string
	}{
		"good":             {func(*v1alpha1.DeliveryProviderSpec) {}, ""},
		"none":             {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP = nil }, "exactly one provider must be set"},
		"two":              {func(s *v1alpha1.DeliveryProviderSpec) { s.Expo = &v1alpha1.ExpoProvider{} }, "exactly one provider must be set"},
		"no host":          {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP.Host = "" }, "spec.smtp.host"},
		"host with a path": {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP.Host = "a/b" }, "spec.smtp.host"},
		"port":             {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP.Port = 65536 }, "spec.smtp.port"},
		"tls":              {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP.TLS = "ssl" }, "spec.smtp.tls"},
		"no secret":        {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP, s.Twilio = nil, &v1alpha1.TwilioProvider{} }, "secretRef is required"},
		"sender of push":   {func(s *v1alpha1.DeliveryProviderSpec) { s.SMTP, s.Expo, s.Sender = nil, &v1alpha1.ExpoProvider{}, "x" }, "sender must not be set"},
		"too long sender":  {func(s *v1alpha1.DeliveryProviderSpec) { s.Sender = strings.Repeat("a", 321) }, "spec.sender"},
		"rate of 0":        {func(s *v1alpha1.DeliveryProviderSpec) { s.RateLimit = &v1alpha1.RateLimit{} }, "spec.rateLimit.perSecond"},
		"concurrency":      {func(s *v1alpha1.DeliveryProviderSpec) { s.Concurrency = 257 }, "spec.concurrency"},
		"timeout":          {func(s *v1alpha1.DeliveryProviderSpec) { s.TimeoutSeconds = 26 }, "spec.timeoutSeconds"},
		"DKIM selectors":   {func(s *v1alpha1.DeliveryProviderSpec) { s.DKIMSelectors = []string{"s1", "2026_a.Mail"} }, ""},
		"selector":         {func(s *v1alpha1.DeliveryProviderSpec) { s.DKIMSelectors = []string{"s1."} }, "must be a selector"},
		"selector of SMS": {func(s *v1alpha1.DeliveryProviderSpec) {
			s.SMTP, s.Expo, s.DKIMSelectors = nil, &v1alpha1.ExpoProvider{}, []string{"s1"}
		}, "dkimSelectors must be set for smtp and sendgrid only"},
		"base URL of a file": {func(s *v1alpha1.DeliveryProviderSpec) {
			s.SMTP, s.Expo = nil, &v1alpha1.ExpoProvider{BaseURL: "file:///etc"}
		}, "spec.expo.baseURL"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			p := &v1alpha1.DeliveryProvider{
				ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "provider"},
				// A host that doesn't resolve, because accepted providers are also checked.
				Spec: v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: "mail.invalid"}},
			}
			test.change(&p.Spec)
			err := k8s.Create(f.ctx, p)
			if test.want != "" {
				f.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
				f.Expect(err).To(MatchError(ContainSubstring(test.want)))
				return
			}
			f.Expect(err).NotTo(HaveOccurred())
			f.Expect(p.Spec.Concurrency).To(Equal(int32(16)), "the default")
			f.Expect(p.Spec.TimeoutSeconds).To(Equal(int32(15)), "the default")
			f.Expect(p.Spec.SMTP.TLS).To(Equal(v1alpha1.SMTPStartTLS), "the default")
			f.Expect(p.Status.ObservedGeneration).To(Equal(int64(-1)))
		})
	}
}

// TestFixedProvidersWakeMessages checks that messages that wait for a provider are tried
// again as soon as the provider or its Secret is created or changed.
func TestFixedProvidersWakeMessages(t *testing.T) {
	f := newFixture(t)
	right, wrong := secrets.add("right-"+f.namespace), secrets.add("wrong-"+f.namespace)
	a := f.declare("shop")
	f.change(a, func() {
		a.Spec.Providers.SMS = &v1alpha1.DeliveryProviderReference{Name: "sms"}
		a.Spec.Providers.Email = &v1alpha1.DeliveryProviderReference{Name: "sms"}
	})
	f.Eventually(f.condition(a, v1alpha1.ProvidersResolvedCondition)).Should(Equal("False/DeliveryProviderNotFound"))
	f.Eventually(f.events(a)).Should(ContainElement("DeliveryProviderNotFound"))
	secret := f.providerSecret("twilio", map[string]string{"accountSid": twilioSID, "authToken": wrong})
	_, p := f.twilio(right)
	f.create(p)
	f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("False/CredentialsRefused"))
	f.Eventually(f.condition(a, v1alpha1.ProvidersResolvedCondition)).Should(Equal("False/WrongChannel"))
	f.change(a, func() { a.Spec.Providers.Email = nil })
	f.Eventually(f.condition(a, v1alpha1.ProvidersResolvedCondition)).Should(Equal("True/Resolved"))
	// The activation changed, so the messages that waited for its providers are tried.
	f.Eventually(theLedger.wokenFor(f.company, v1alpha1.ChannelEmail)).Should(BeNumerically(">", 0))

	woken := theLedger.wokenFor(f.company, v1alpha1.ChannelSMS)
	for _, mend := range []func(){
		func() {
			f.change(secret, func() { secret.StringData = map[string]string{"authToken": right} })
		},
		func() {
			// The credentials are unchanged, but their permissions may have changed.
			f.change(secret, func() { secret.StringData = map[string]string{"note": "changed"} })
		},
		func() {
			f.change(p, func() { p.Spec.Sender = "+15005550007" })
		},
	} {
		before := woken()
		mend()
		f.Eventually(woken).Should(BeNumerically(">", before))
		f.Eventually(f.condition(p, v1alpha1.ReadyCondition)).Should(Equal("True/Verified"))
	}
	f.Expect(k8s.Delete(f.ctx, p)).To(Succeed())
	f.Eventually(f.condition(a, v1alpha1.ProvidersResolvedCondition)).Should(Equal("False/DeliveryProviderNotFound"))
}
