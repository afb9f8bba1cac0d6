// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/outbound"
)

const (
	sendGridKey = "SG.a-planted-api-key"
	twilioSID   = "AC0123456789abcdef0123456789abcdef"
	twilioToken = "a-planted-auth-token"
	expoAccess  = "a-planted-access-token"
	expoToken   = "ExponentPushToken[janes-phone]"
)

// client may call the fakes, which are on loopback.
func client() *outbound.Client {
	return outbound.New(outbound.Options{
		AllowNetworks:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		AllowPlaintext: true,
	})
}

// serve starts a fake and makes a provider that calls it.
func serve[P delivery.Provider](t *testing.T, api *providertest.API, provider func(base string, c *outbound.Client) (P, error)) (P, func()) {
	t.Helper()
	server := httptest.NewServer(api)
	c := client()
	stop := func() {
		api.Close()
		c.CloseIdleConnections()
		server.Close()
	}
	p, err := provider(server.URL, c)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	return p, stop
}

func sendGrid(t *testing.T) (*delivery.SendGrid, *providertest.API, func()) {
	api := providertest.NewSendGrid(sendGridKey)
	p, stop := serve(t, api, func(base string, c *outbound.Client) (*delivery.SendGrid, error) {
		return delivery.NewSendGrid(delivery.SendGridConfig{APIKey: sendGridKey, From: "Shop <shop@example.com>", BaseURL: base, Client: c})
	})
	return p, api, stop
}

func twilio(t *testing.T) (*delivery.Twilio, *providertest.API, func()) {
	api := providertest.NewTwilio(twilioSID, twilioSID, twilioToken)
	p, stop := serve(t, api, func(base string, c *outbound.Client) (*delivery.Twilio, error) {
		return delivery.NewTwilio(delivery.TwilioConfig{
			AccountSID: twilioSID, AuthToken: twilioToken, From: "+15005550006", DefaultRegion: "ZA", BaseURL: base, Client: c,
		})
	})
	return p, api, stop
}

// devices are push tokens by company and user.
type devices map[string][]string

func (d devices) PushTokens(_ context.Context, company, user string) ([]string, error) {
	return d[company+"/"+user], nil
}

func message() delivery.Message {
	return delivery.Message{
		Key: "0123456789abcdef", To: "jane@planted.example", Subject: "Planted subject", Text: "Planted text",
		HTML: "<p>Planted text</p>", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestSendGridConformance(t *testing.T) {
	m := message()
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			p, api, stop := sendGrid(t)
			return providertest.Target{Provider: p, Fake: api, Close: stop}
		},
		Message:          m,
		Want:             providertest.Received{Key: m.Key, From: "Shop <shop@example.com>", To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML},
		Secrets:          []string{sendGridKey},
		NotRecipients:    notMailboxes,
		AcceptedByStatus: true,
	})
}

var notMailboxes = []string{
	"jane", "jane@planted.example, joe@planted.example", "jane@planted.example joe@planted.example", "@planted.example", "jane@",
	"\"a\r\nb\"@planted.example", strings.Repeat("x", 65) + "@planted.example", "group:jane@planted.example;", "<>",
}

func TestTwilioConformance(t *testing.T) {
	m := message()
	m.To = "082 000 0001"
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			p, api, stop := twilio(t)
			return providertest.Target{Provider: p, Fake: api, Close: stop}
		},
		Message: m,
		Want:    providertest.Received{From: "+15005550006", To: "+27820000001", Text: m.Text},
		Secrets: []string{twilioToken, twilioSID, "820000001"},
		NotRecipients: []string{
			"jane@planted.example", "+27", "0820000001, 0820000002", "0820000001;ext=5", "1-800-FLOWERS", "tel:+27820000001", "whatsapp:+27820000001",
		},
		AcceptedByStatus: true,
	})
}

func TestExpoConformance(t *testing.T) {
	m := message()
	m.To = "11111111-2222-3333-4444-555555555555"
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			fake := providertest.NewExpo(expoAccess)
			e, stop := serve(t, fake.API, func(base string, c *outbound.Client) (delivery.Provider, error) {
				e, err := delivery.NewExpo(delivery.ExpoConfig{
					Devices: devices{"acme/" + m.To: {expoToken}}, AccessToken: expoAccess, BaseURL: base, Client: c,
				})
				if err != nil {
					return nil, err
				}
				return e.For("acme"), nil
			})
			return providertest.Target{Provider: e, Fake: fake.API, Close: stop}
		},
		Message:       m,
		Want:          providertest.Received{Key: m.Key, To: expoToken, Subject: m.Subject, Text: m.Text},
		Secrets:       []string{expoAccess, "janes-phone"},
		NotRecipients: []string{"somebody-else"},
	})
}
