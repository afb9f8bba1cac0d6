// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

func TestCheckHost(t *testing.T) {
	smtp := func(host string, port int32) v1alpha1.DeliveryProviderSpec {
		return v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: host, Port: port}}
	}
	sendGrid := func(base string) v1alpha1.DeliveryProviderSpec {
		return v1alpha1.DeliveryProviderSpec{SendGrid: &v1alpha1.SendGridProvider{BaseURL: base}}
	}
	twilio := func(base string) v1alpha1.DeliveryProviderSpec {
		return v1alpha1.DeliveryProviderSpec{Twilio: &v1alpha1.TwilioProvider{BaseURL: base}}
	}
	expo := func(base string) v1alpha1.DeliveryProviderSpec {
		return v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{BaseURL: base}}
	}
	twilioVerify := func(base string) v1alpha1.DeliveryProviderSpec {
		return v1alpha1.DeliveryProviderSpec{Twilio: &v1alpha1.TwilioProvider{BaseURL: base, VerifyServiceSID: "VA0123456789abcdef0123456789abcdef"}}
	}
	const none = "none"
	for name, test := range map[string]struct {
		spec    v1alpha1.DeliveryProviderSpec
		allowed string
		want    bool
	}{
		"SendGrid":                       {sendGrid(""), none, true},
		"SendGrid in the EU":             {sendGrid("https://api.eu.sendgrid.com"), none, true},
		"SendGrid, in capitals":          {sendGrid("https://API.SendGrid.com./"), none, true},
		"SendGrid elsewhere":             {sendGrid("https://evil.example"), none, false},
		"SendGrid as a name's beginning": {sendGrid("https://api.sendgrid.com.evil.example"), none, false},
		"SendGrid as a name's end":       {sendGrid("https://evil-api.sendgrid.com"), none, false},
		"SendGrid as a user":             {sendGrid("https://api.sendgrid.com@evil.example"), none, false},
		"SendGrid as a path":             {sendGrid("https://evil.example/api.sendgrid.com"), none, false},
		"SendGrid behind a proxy":        {sendGrid("https://proxy.example/sendgrid"), "proxy.example", true},
		"SendGrid with Twilio's host":    {sendGrid("https://api.twilio.com"), none, false},
		"SendGrid, other hosts named":    {sendGrid(""), "proxy.example", false},
		"SendGrid, no host named":        {sendGrid(""), "", false},
		"Twilio":                         {twilio(""), none, true},
		"Twilio in a region":             {twilio("https://api.dublin.ie1.twilio.com"), none, true},
		"Twilio, not the API":            {twilio("https://evil.twilio.com"), none, false},
		"Twilio elsewhere":               {twilio("https://api.evil.example"), none, false},
		"Twilio Verify":                  {twilioVerify(""), none, true},
		"Twilio Verify in a region":      {twilioVerify("https://api.dublin.ie1.twilio.com"), none, true},
		"Twilio Verify, only API named":  {twilioVerify(""), "api.twilio.com", false},
		"Twilio Verify, both named":      {twilioVerify(""), "api.twilio.com, verify.twilio.com", true},
		"Expo":                           {expo(""), none, true},
		"Expo elsewhere":                 {expo("https://exp.host.evil.example"), none, false},
		"a mail server":                  {smtp("smtp.example.com", 0), none, false},
		"a named mail server":            {smtp("SMTP.example.com", 0), "smtp.example.com", true},
		"one of several":                 {smtp("b.example.com", 0), "a.example.com,b.example.com\n c.example.com", true},
		"another mail server":            {smtp("evil.example", 0), "smtp.example.com", false},
		"the port":                       {smtp("smtp.example.com", 0), "smtp.example.com:587", true},
		"the port of TLS":                {v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: "smtp.example.com", TLS: v1alpha1.SMTPImplicitTLS}}, "smtp.example.com:465", true},
		"another port":                   {smtp("smtp.example.com", 2525), "smtp.example.com:587", false},
		"an IPv6 address":                {smtp("2001:db8::1", 25), "[2001:db8::1]:25", true},
		"an IPv6 address without a port": {smtp("2001:db8::1", 25), "2001:db8::1", true},
		"below a domain":                 {smtp("a.b.example.com", 0), "*.example.com", true},
		"not the domain itself":          {smtp("example.com", 0), "*.example.com", false},
		"not another domain's end":       {smtp("evilexample.com", 0), "*.example.com", false},
		"everything":                     {smtp("evil.example", 0), "*", false},
		"a top-level domain":             {smtp("evil.example", 0), "*.example", false},
		"part of a label":                {smtp("evil-smtp.example.com", 0), "*smtp.example.com", false},
		"two stars":                      {smtp("a.b.example.com", 0), "*.*.example.com", false},
		"an address below a domain":      {smtp("10.0.0.1", 0), "*.0.0.1", false},
		"a URL":                          {smtp("smtp.example.com", 0), "https://smtp.example.com", false},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}, Data: map[string][]byte{"apiKey": []byte(apiKey)}}
		if test.allowed != none {
			secret.Annotations = map[string]string{v1alpha1.AllowedHostsAnnotation: test.allowed}
		}
		err := checkHost(&v1alpha1.DeliveryProvider{Spec: test.spec}, secret)
		if (err == nil) != test.want {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "keys") || strings.Contains(err.Error(), apiKey)) {
			t.Errorf("%s: the error doesn't name the Secret, or holds what is in it: %v", name, err)
		}
	}
}

// TestNothingToSend lets a Secret without credentials be used with any host.
func TestNothingToSend(t *testing.T) {
	p := &v1alpha1.DeliveryProvider{Spec: v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: "smtp.example.com"}}}
	for _, secret := range []*corev1.Secret{nil, {}, {Data: map[string][]byte{v1alpha1.SecretKeyCA: []byte("PEM")}}} {
		if err := checkHost(p, secret); err != nil {
			t.Errorf("%v: %v", secret, err)
		}
	}
}

// TestKeysStayAtTheirHosts has somebody who may write DeliveryProviders point one with
// another's Secret at a server of their own: it gets nothing.
func TestKeysStayAtTheirHosts(t *testing.T) {
	s := newScene(t, "exfiltration", nil)
	thief := providertest.NewSendGrid(apiKey)
	url := s.serve(thief)
	secret := s.secret("sendgrid", map[string]string{"apiKey": apiKey})
	secret.Annotations = nil
	s.must(kube.Update(s.Context(), secret))
	p := s.provider("mail", v1alpha1.DeliveryProviderSpec{
		SendGrid: &v1alpha1.SendGridProvider{BaseURL: url}, SecretRef: &v1alpha1.SecretReference{Name: "sendgrid"}, Sender: "shop@example.com",
	})
	s.use(v1alpha1.ChannelEmail, "mail")
	s.wantReason(s.send(v1alpha1.ChannelEmail, message()), v1alpha1.HostNotAllowedReason)
	_, err := s.registry.Builder.Build(s.Context(), p)
	s.wantReason(err, v1alpha1.HostNotAllowedReason)
	if n := thief.Requests(); n != 0 {
		t.Errorf("the server got %d requests", n)
	}

	// A Secret that stops to allow the host stops the next message.
	secret.Annotations = map[string]string{v1alpha1.AllowedHostsAnnotation: "127.0.0.1"}
	s.must(kube.Update(s.Context(), secret))
	s.must(s.send(v1alpha1.ChannelEmail, message()))
	secret.Annotations = map[string]string{v1alpha1.AllowedHostsAnnotation: "api.sendgrid.com"}
	s.must(kube.Update(s.Context(), secret))
	s.wantReason(s.send(v1alpha1.ChannelEmail, message()), v1alpha1.HostNotAllowedReason)
}
