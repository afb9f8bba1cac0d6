// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

const (
	accountSID = "AC0123456789abcdef0123456789abcdef"
	authToken  = "a-planted-auth-token"
	apiKey     = "SG.a-planted-api-key"
	userID     = "11111111-2222-3333-4444-555555555555"
	pushToken  = "ExponentPushToken[janes-phone]"
)

// scene is a registry over the objects of one namespace, which is also its company.
type scene struct {
	*testing.T
	name     string
	company  *v1alpha1.CompanyActivation
	registry *Registry
	devices  devices
}

// companies are the activation of one company, as it is on the API server.
type companies struct{ scene *scene }

func (c companies) Activation(context.Context, string) (*v1alpha1.CompanyActivation, error) {
	return c.scene.company, nil
}

func (companies) Token(context.Context, *v1alpha1.CompanyActivation) (string, error) { return "", nil }

type devices map[string][]string

func (d devices) PushTokens(_ context.Context, company, user string) ([]string, error) {
	return d[company+"/"+user], nil
}

func newScene(t *testing.T, name string, change func(*RegistryOptions)) *scene {
	t.Helper()
	s := &scene{T: t, name: name, devices: devices{}}
	s.must(kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	s.company = &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "shop"},
		Spec:       v1alpha1.CompanyActivationSpec{Company: name},
	}
	o := RegistryOptions{
		Reader:    kube,
		Companies: companies{s},
		Builder: &Builder{
			Secrets: kube, Devices: s.devices, AllowPlaintext: true,
			AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		},
		Log: testr.New(t),
	}
	if change != nil {
		change(&o)
	}
	s.registry = NewRegistry(o)
	t.Cleanup(s.registry.Close)
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) secret(name string, values map[string]string) *corev1.Secret {
	s.Helper()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.name, Name: name, Labels: map[string]string{v1alpha1.ProviderSecretLabel: ""},
			Annotations: map[string]string{v1alpha1.AllowedHostsAnnotation: "127.0.0.1"},
		},
		StringData: values,
	}
	s.must(kube.Create(s.Context(), secret))
	return secret
}

func (s *scene) provider(name string, spec v1alpha1.DeliveryProviderSpec) *v1alpha1.DeliveryProvider {
	s.Helper()
	p := &v1alpha1.DeliveryProvider{ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: name}, Spec: spec}
	s.must(kube.Create(s.Context(), p))
	return p
}

// send sends through the company's provider of a channel.
func (s *scene) send(channel v1alpha1.Channel, m provider.Message) error {
	s.Helper()
	route, err := s.registry.Route(s.Context(), s.name, string(channel))
	if err != nil {
		return err
	}
	if route.Provider == nil {
		return errors.New("no provider")
	}
	m.Company = s.name
	_, err = route.Provider.Send(s.Context(), m)
	return err
}

func (s *scene) serve(api *providertest.API) string {
	server := httptest.NewServer(api)
	s.Cleanup(func() {
		api.Close()
		server.Close()
	})
	return server.URL
}

func (s *scene) wantReason(err error, reason string) {
	s.Helper()
	var classed *provider.Error
	if !errors.As(err, &classed) || classed.Reason != reason || !provider.IsMisconfigured(err) {
		s.Errorf("got %v, want %s", err, reason)
	}
	if err != nil {
		for _, planted := range []string{authToken, apiKey} {
			if strings.Contains(err.Error(), planted) {
				s.Error("the error holds a secret")
			}
		}
	}
}

func message() provider.Message {
	return provider.Message{
		Key: "0123456789abcdef", To: "jane@planted.example", From: "shop@example.com", Subject: "Subject", Text: "Text",
		Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func sms() provider.Message {
	m := message()
	m.To, m.From = "+27820000001", ""
	return m
}

func (s *scene) use(channel v1alpha1.Channel, name string) {
	reference := &v1alpha1.DeliveryProviderReference{Name: name}
	company := s.company.DeepCopy()
	switch channel {
	case v1alpha1.ChannelEmail:
		company.Spec.Providers.Email = reference
	case v1alpha1.ChannelSMS:
		company.Spec.Providers.SMS = reference
	case v1alpha1.ChannelPush:
		company.Spec.Providers.Push = reference
	}
	s.company = company
}

// TestRotation changes a Secret and then the DeliveryProvider under a living
// registry: the next message goes with what is there now.
func TestRotation(t *testing.T) {
	s := newScene(t, "rotation", nil)
	fake := providertest.NewTwilio(accountSID, accountSID, authToken)
	url := s.serve(fake)
	secret := s.secret("twilio", map[string]string{"accountSid": accountSID, "authToken": "an-older-token"})
	p := s.provider("sms", v1alpha1.DeliveryProviderSpec{
		Twilio: &v1alpha1.TwilioProvider{BaseURL: url}, SecretRef: &v1alpha1.SecretReference{Name: "twilio"}, Sender: "+15005550006",
	})
	s.use(v1alpha1.ChannelSMS, "sms")
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "CredentialsRefused")

	before, err := s.registry.Route(s.Context(), s.name, "sms")
	s.must(err)
	again, err := s.registry.Route(s.Context(), s.name, "sms")
	s.must(err)
	if before.Gate != again.Gate {
		t.Error("the provider was made anew though nothing changed")
	}

	secret.StringData = map[string]string{"authToken": authToken + "\n"}
	s.must(kube.Update(s.Context(), secret))
	s.must(s.send(v1alpha1.ChannelSMS, sms()))

	p.Spec.Sender = "+15005550007"
	s.must(kube.Update(s.Context(), p))
	s.must(s.send(v1alpha1.ChannelSMS, sms()))
	received := fake.Received()
	if len(received) != 2 || received[0].From != "+15005550006" || received[1].From != "+15005550007" || received[1].To != "+27820000001" {
		t.Errorf("Twilio got %+v", received)
	}
}

// TestMissingParts removes one part after the other. Each time the delivery records what a
// person must fix.
func TestMissingParts(t *testing.T) {
	s := newScene(t, "missing", nil)
	if err := s.send(v1alpha1.ChannelSMS, sms()); err == nil || err.Error() != "no provider" {
		t.Errorf("without any provider: %v", err)
	}
	s.use(v1alpha1.ChannelSMS, "sms")
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "ProviderNotFound")

	fake := providertest.NewTwilio(accountSID, accountSID, authToken)
	p := s.provider("sms", v1alpha1.DeliveryProviderSpec{
		Twilio: &v1alpha1.TwilioProvider{BaseURL: s.serve(fake)}, SecretRef: &v1alpha1.SecretReference{Name: "twilio"}, Sender: "+15005550006",
	})
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "SecretNotFound")

	// A Secret whose owner did not agree is as good as none.
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: "twilio"},
		StringData: map[string]string{"accountSid": accountSID},
	}
	s.must(kube.Create(s.Context(), secret))
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "SecretNotFound")

	secret.Labels = map[string]string{v1alpha1.ProviderSecretLabel: "yes"}
	s.must(kube.Update(s.Context(), secret))
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "HostNotAllowed")

	secret.Annotations = map[string]string{v1alpha1.AllowedHostsAnnotation: "api.twilio.com, 127.0.0.1"}
	s.must(kube.Update(s.Context(), secret))
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "InvalidConfiguration")

	secret.StringData = map[string]string{"authToken": authToken}
	s.must(kube.Update(s.Context(), secret))
	s.must(s.send(v1alpha1.ChannelSMS, sms()))

	s.use(v1alpha1.ChannelEmail, "sms")
	s.wantReason(s.send(v1alpha1.ChannelEmail, message()), "WrongChannel")

	s.must(kube.Delete(s.Context(), p))
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "ProviderNotFound")
	if len(s.registry.live) != 0 {
		t.Error("the provider outlives its DeliveryProvider")
	}
}

// TestDefaults has a company without providers of its own: the operator's default
// serves it, and the fallback a channel that has none.
func TestDefaults(t *testing.T) {
	sendgrid, expo := providertest.NewSendGrid(apiKey), providertest.NewExpo("")
	fallback := &recording{}
	s := newScene(t, "defaults", func(o *RegistryOptions) {
		o.Defaults = map[v1alpha1.Channel]types.NamespacedName{
			v1alpha1.ChannelEmail: {Namespace: "defaults", Name: "mail"},
			v1alpha1.ChannelPush:  {Namespace: "defaults", Name: "push"},
		}
		o.Fallback = delivery.ByChannel{"sms": fallback}
	})
	s.devices[s.name+"/"+userID] = []string{pushToken}
	s.secret("sendgrid", map[string]string{"apiKey": apiKey + "\n"})
	s.provider("mail", v1alpha1.DeliveryProviderSpec{
		SendGrid: &v1alpha1.SendGridProvider{BaseURL: s.serve(sendgrid)}, SecretRef: &v1alpha1.SecretReference{Name: "sendgrid"},
		Sender: "Operator <operator@example.com>", RateLimit: &v1alpha1.RateLimit{PerSecond: 100},
	})
	s.provider("push", v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{BaseURL: s.serve(expo.API)}})

	s.must(s.send(v1alpha1.ChannelEmail, message()))
	push := message()
	push.To = userID
	s.must(s.send(v1alpha1.ChannelPush, push))
	s.must(s.send(v1alpha1.ChannelSMS, sms()))
	if got := sendgrid.Received(); len(got) != 1 || got[0].To != "jane@planted.example" {
		t.Errorf("SendGrid got %+v", got)
	}
	if got := expo.Received(); len(got) != 1 || got[0].To != pushToken || got[0].Text != "Text" {
		t.Errorf("Expo got %+v", got)
	}
	if fallback.sent != 1 {
		t.Errorf("the fallback got %d messages", fallback.sent)
	}
	sender, err := s.registry.EmailSender(t.Context(), s.company)
	if err != nil || sender != "Operator <operator@example.com>" {
		t.Errorf("the sender is %q, %v", sender, err)
	}
}

type recording struct{ sent int }

func (r *recording) Send(context.Context, provider.Message) (provider.Receipt, error) {
	r.sent++
	return provider.Receipt{}, nil
}

// TestBreakerIsOfTheProvider has one company meet a failing provider often enough to
// open the breaker: it stays open for the next message, and closes for a provider
// that was changed.
func TestBreakerIsOfTheProvider(t *testing.T) {
	s := newScene(t, "breaker", nil)
	fake := providertest.NewTwilio(accountSID, accountSID, authToken)
	url := s.serve(fake)
	s.secret("twilio", map[string]string{"accountSid": accountSID, "authToken": authToken})
	p := s.provider("sms", v1alpha1.DeliveryProviderSpec{
		Twilio: &v1alpha1.TwilioProvider{BaseURL: url}, SecretRef: &v1alpha1.SecretReference{Name: "twilio"}, Sender: "+15005550006",
	})
	s.use(v1alpha1.ChannelSMS, "sms")
	fake.Behave(providertest.Fail)
	for range 5 {
		if err := s.send(v1alpha1.ChannelSMS, sms()); err == nil || provider.IsHeldBack(err) {
			t.Fatalf("got %v", err)
		}
	}
	if err := s.send(v1alpha1.ChannelSMS, sms()); !provider.IsHeldBack(err) {
		t.Errorf("after five failures: %v", err)
	}
	fake.Behave(providertest.Accept)
	p.Spec.TimeoutSeconds = 7
	s.must(kube.Update(s.Context(), p))
	s.must(s.send(v1alpha1.ChannelSMS, sms()))
}

// hurried is a context whose deadline is always near but never passes: too near to wait for a
// turn, and yet a busy machine has time for the call.
type hurried struct{ context.Context }

func (hurried) Deadline() (time.Time, bool) { return time.Now().Add(10 * time.Millisecond), true }

func TestRateLimit(t *testing.T) {
	s := newScene(t, "rate", nil)
	fake := providertest.NewTwilio(accountSID, "SK0123456789abcdef0123456789abcdef", "an-api-secret")
	s.secret("twilio", map[string]string{"accountSid": accountSID, "apiKeySid": "SK0123456789abcdef0123456789abcdef", "apiKeySecret": "an-api-secret"})
	s.provider("sms", v1alpha1.DeliveryProviderSpec{
		Twilio: &v1alpha1.TwilioProvider{BaseURL: s.serve(fake)}, SecretRef: &v1alpha1.SecretReference{Name: "twilio"}, Sender: "+15005550006",
		RateLimit: &v1alpha1.RateLimit{PerSecond: 1, Burst: 1}, Concurrency: 8,
	})
	s.use(v1alpha1.ChannelSMS, "sms")
	s.must(s.send(v1alpha1.ChannelSMS, sms()))
	route, err := s.registry.Route(s.Context(), s.name, "sms")
	s.must(err)
	// The turn comes within a second, but not before the message's own deadline.
	for tries := 0; !provider.IsHeldBack(err); tries++ { // the turn of a slow call has come already
		if tries == 20 {
			t.Fatalf("got %v", err)
		}
		_, err = route.Provider.Send(hurried{t.Context()}, sms())
	}
}

// TestMailServer sends through a real SMTP conversation, and not at all to an
// address that isn't allowed.
func TestMailServer(t *testing.T) {
	s := newScene(t, "mail", nil)
	server, err := smtptest.Start(smtptest.Options{})
	s.must(err)
	t.Cleanup(func() { _ = server.Close() })
	p := s.provider("mail", v1alpha1.DeliveryProviderSpec{
		SMTP: &v1alpha1.SMTPProvider{Host: server.Host(), Port: int32(server.Port()), TLS: v1alpha1.SMTPNoTLS}, Sender: "shop@example.com",
	})
	s.use(v1alpha1.ChannelEmail, "mail")
	s.must(s.send(v1alpha1.ChannelEmail, message()))
	// Whatever is put before the provider, the route keeps its patience and its gate.
	for _, shared := range []bool{false, true} {
		if shared {
			s.registry.Defaults = map[v1alpha1.Channel]types.NamespacedName{v1alpha1.ChannelEmail: {Namespace: s.name, Name: "mail"}}
			s.registry.Domains = domainsOf(true, s.company)
			s.registry.Quotas = &Quotas{Limits: DefaultLimits()}
		}
		route, err := s.registry.Route(s.Context(), s.name, "email")
		s.must(err)
		if route.Patience < 10*time.Minute || route.Gate == nil {
			t.Errorf("shared: %t: the patience is %s, the gate %v", shared, route.Patience, route.Gate)
		}
	}
	if got := len(server.Messages()); got != 1 {
		t.Errorf("the mail server got %d messages", got)
	}
	built, err := s.registry.Builder.Build(t.Context(), p)
	s.must(err)
	defer built.Close()
	s.must(built.Check(t.Context()))

	guarded := *s.registry.Builder
	guarded.AllowNetworks = nil
	built, err = guarded.Build(t.Context(), p)
	s.must(err)
	defer built.Close()
	s.wantReason(built.Check(t.Context()), "AddressRefused")
}

// TestDevices reads devices with the company's own token from the platform.
func TestDevices(t *testing.T) {
	platform := rehivetest.New(rehivetest.Options{})
	t.Cleanup(platform.Close)
	seeded, err := platform.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if err := platform.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c, err := rehive.New(platform.URL())
	if err != nil {
		t.Fatal(err)
	}
	known := &tokens{token: seeded.Admin.Token}
	d := Devices{Platform: c, Companies: known}
	got, err := d.PushTokens(t.Context(), "demo", seeded.Customers[0].ID)
	if err != nil || len(got) != 1 || got[0] != pushToken {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := d.PushTokens(t.Context(), "demo", seeded.Customers[1].ID); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	known.token = "0000000000000000000000000000000000000000000000000000000000000000"
	if _, err := d.PushTokens(t.Context(), "demo", seeded.Customers[0].ID); !provider.IsMisconfigured(err) {
		t.Errorf("with a wrong token: %v", err)
	}
	known.token = ""
	if _, err := d.PushTokens(t.Context(), "demo", seeded.Customers[0].ID); !provider.IsMisconfigured(err) {
		t.Errorf("without a token: %v", err)
	}
}

// TestDevicesOfOthers meets a platform that ignores the filter: no other user's device
// may get the message.
func TestDevicesOfOthers(t *testing.T) {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"count":4,"next":null,"previous":null,"results":[
			{"id":1,"user":{"id":"somebody-else"},"apps":[{"type":"expo","token":"of another"}]},
			{"id":2,"user":"somebody-else","apps":[{"type":"expo","token":"of another"}]},
			{"id":3,"user":{"id":%q},"archived":true,"apps":[{"type":"expo","token":"of an old phone"}]},
			{"id":4,"user":{"id":%q},"apps":[{"type":"expo","token":"hers"},{"type":"fcm","token":"of another kind"}]}]}}`, userID, userID)
	}))
	t.Cleanup(platform.Close)
	c, err := rehive.New(platform.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Devices{Platform: c, Companies: &tokens{token: "0000000000000000000000000000000000000000000000000000000000000000"}}.PushTokens(t.Context(), "demo", userID)
	if err != nil || len(got) != 1 || got[0] != "hers" {
		t.Errorf("got %q, %v", got, err)
	}
}

type tokens struct{ token string }

func (*tokens) Activation(context.Context, string) (*v1alpha1.CompanyActivation, error) {
	return &v1alpha1.CompanyActivation{}, nil
}

func (k *tokens) Token(context.Context, *v1alpha1.CompanyActivation) (string, error) {
	return k.token, nil
}

// TestSecretCache finds Secrets with the label, their changes, and no others.
func TestSecretCache(t *testing.T) {
	s := newScene(t, "cache", nil)
	s.secret("labelled", map[string]string{"apiKey": apiKey})
	s.must(kube.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: "other"}}))
	c, err := NewSecretCache(config, kube.Scheme(), nil)
	s.must(err)
	_, err = c.GetInformer(t.Context(), &corev1.Secret{})
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- c.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	if !c.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache did not fill")
	}
	var secret corev1.Secret
	s.must(c.Get(t.Context(), client.ObjectKey{Namespace: s.name, Name: "labelled"}, &secret))
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: s.name, Name: "other"}, &secret); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a Secret without the label: %v", err)
	}
}
