// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/delivery/smtp"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

func tenant(name, systemEmail string, domains ...string) *v1alpha1.CompanyActivation {
	return &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "rehive-system", Name: name},
		Spec:       v1alpha1.CompanyActivationSpec{Company: name, SenderDomains: domains},
		Status:     v1alpha1.CompanyActivationStatus{CompanyInfo: v1alpha1.CompanyInfo{CompanyProfile: v1alpha1.CompanyProfile{Name: "The " + name, SystemEmail: systemEmail}}},
	}
}

func domainsOf(trust bool, companies ...*v1alpha1.CompanyActivation) *Domains {
	d := newDomains(trust)
	synced := make(chan struct{})
	close(synced)
	d.synced = synced
	for _, a := range companies {
		d.put(a)
	}
	return d
}

// TestDomains asks whether the first company may send from a domain.
func TestDomains(t *testing.T) {
	for name, test := range map[string]struct {
		shop     *v1alpha1.CompanyActivation
		others   []*v1alpha1.CompanyActivation
		domain   string
		distrust bool
		want     bool
	}{
		"granted":                          {shop: tenant("shop", "", "shop.example"), domain: "shop.example", want: true},
		"below a granted one":              {shop: tenant("shop", "", "shop.example"), domain: "mail.shop.example", want: true},
		"ends like a granted one":          {shop: tenant("shop", "", "shop.example"), domain: "evilshop.example"},
		"above a granted one":              {shop: tenant("shop", "", "mail.shop.example"), domain: "shop.example"},
		"granted, claimed by another":      {shop: tenant("shop", "", "shop.example"), others: []*v1alpha1.CompanyActivation{tenant("thief", "a@shop.example")}, domain: "shop.example", want: true},
		"granted to both":                  {shop: tenant("shop", "", "shop.example"), others: []*v1alpha1.CompanyActivation{tenant("sister", "", "shop.example")}, domain: "shop.example", want: true},
		"granted, the operator's":          {shop: tenant("shop", "", "operator.example"), domain: "operator.example", want: true},
		"of the system email":              {shop: tenant("shop", "Shop <hello@Shop.example>"), domain: "shop.example", want: true},
		"of the system email, not trusted": {shop: tenant("shop", "hello@shop.example"), domain: "shop.example", distrust: true},
		"below the system email":           {shop: tenant("shop", "hello@shop.example"), domain: "mail.shop.example"},
		"another":                          {shop: tenant("shop", "hello@shop.example"), domain: "bank.example"},
		"no system email":                  {shop: tenant("shop", ""), domain: "shop.example"},
		"a malformed system email":         {shop: tenant("shop", "a@shop.example, b@bank.example"), domain: "bank.example"},
		"a mailbox provider":               {shop: tenant("shop", "shop@gmail.com"), domain: "gmail.com"},
		"a mailbox provider in a country":  {shop: tenant("shop", "shop@yahoo.co.uk"), domain: "yahoo.co.uk"},
		"below a mailbox provider":         {shop: tenant("shop", "shop@mail.gmail.com"), domain: "mail.gmail.com"},
		"a public suffix":                  {shop: tenant("shop", "shop@co.za"), domain: "co.za"},
		"a hosting suffix":                 {shop: tenant("shop", "shop@github.io"), domain: "github.io"},
		"a single label":                   {shop: tenant("shop", "shop@localhost"), domain: "localhost"},
		"the operator's":                   {shop: tenant("shop", "a@operator.example"), domain: "operator.example"},
		"below the operator's":             {shop: tenant("shop", "a@eu.operator.example"), domain: "eu.operator.example"},
		"granted to another":               {shop: tenant("shop", "a@bank.example"), others: []*v1alpha1.CompanyActivation{tenant("bank", "", "bank.example")}, domain: "bank.example"},
		"claimed by another":               {shop: tenant("shop", "a@bank.example"), others: []*v1alpha1.CompanyActivation{tenant("bank", "hello@bank.example")}, domain: "bank.example"},
		"below one granted to another":     {shop: tenant("shop", "a@eu.bank.example"), others: []*v1alpha1.CompanyActivation{tenant("bank", "", "bank.example")}, domain: "eu.bank.example"},
		"above one that is another's":      {shop: tenant("shop", "a@bank.example"), others: []*v1alpha1.CompanyActivation{tenant("bank", "hello@mail.bank.example")}, domain: "bank.example"},
		"a sister's":                       {shop: tenant("shop", "a@shop.group.example"), others: []*v1alpha1.CompanyActivation{tenant("sister", "a@sister.group.example")}, domain: "shop.group.example", want: true},
		"while another claims the suffix":  {shop: tenant("shop", "a@shop.example"), others: []*v1alpha1.CompanyActivation{tenant("thief", "a@example")}, domain: "shop.example", want: true},
	} {
		d := domainsOf(!test.distrust, append(test.others, test.shop)...)
		got, err := d.Allows(t.Context(), test.shop, test.domain, "operator.example")
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// TestDomainsFollow changes and removes the objects that block a domain.
func TestDomainsFollow(t *testing.T) {
	shop, bank := tenant("shop", "a@bank.example"), tenant("bank", "a@bank.example")
	again := bank.DeepCopy() // of the same company, in another namespace
	again.Namespace = "bank"
	d := domainsOf(true, bank, again)
	ask := func(a *v1alpha1.CompanyActivation, want bool) {
		t.Helper()
		if got, err := d.Allows(t.Context(), a, "bank.example", ""); err != nil || got != want {
			t.Errorf("%s: got %v, %v", a.Name, got, err)
		}
	}
	ask(bank, true)
	d.put(shop)
	ask(bank, false)
	ask(shop, false)
	granted := bank.DeepCopy()
	granted.Spec.SenderDomains = []string{"bank.example"}
	d.put(granted)
	ask(bank, true)
	ask(shop, false)
	for _, a := range []*v1alpha1.CompanyActivation{bank, again} {
		d.drop(types.NamespacedName{Namespace: a.Namespace, Name: a.Name})
	}
	ask(shop, true)
	d.drop(types.NamespacedName{Namespace: shop.Namespace, Name: shop.Name})
	if len(d.known)+len(d.exact)+len(d.below) != 0 {
		t.Errorf("left over: %v, %v, %v", d.known, d.exact, d.below)
	}
}

// TestSharedMailServer sends through the mail server of --smtp-address.
func TestSharedMailServer(t *testing.T) {
	for name, test := range map[string]struct {
		from, operator          string
		domains                 []string
		envelope, header, reply string // empty: it waits
	}{
		"the system email's domain":    {from: "Shop <hello@shop.example>", operator: "ops@operator.example", envelope: "hello@shop.example", header: `"Shop" <hello@shop.example>`},
		"a granted domain":             {from: "<a@bank.example>", operator: "ops@operator.example", domains: []string{"bank.example"}, envelope: "a@bank.example", header: "<a@bank.example>"},
		"another's domain":             {from: "Other Bank <a@bank.example>", operator: "Operator <ops@operator.example>", envelope: "ops@operator.example", header: `"The shop" <ops@operator.example>`, reply: "<a@bank.example>"},
		"the operator's own":           {from: "Operator <ops@operator.example>", operator: "Operator <ops@operator.example>", envelope: "ops@operator.example", header: `"Operator" <ops@operator.example>`},
		"the operator's, another name": {from: "Security <ops@operator.example>", operator: "Operator <ops@operator.example>", envelope: "ops@operator.example", header: `"The shop" <ops@operator.example>`},
		"the operator's, another box":  {from: "ceo@operator.example", operator: "Operator <ops@operator.example>", envelope: "ops@operator.example", header: `"The shop" <ops@operator.example>`, reply: "<ceo@operator.example>"},
		"no sender of the operator":    {from: "a@bank.example"},
	} {
		server, err := smtptest.Start(smtptest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		mailServer, err := smtp.New(smtp.Config{Host: server.Host(), Port: server.Port(), TLS: smtp.Plaintext, From: test.operator})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = mailServer.Close() })
		shop := tenant("shop", "hello@shop.example", test.domains...)
		r := NewRegistry(RegistryOptions{
			Companies: companies{&scene{T: t, company: shop}},
			Fallback:  delivery.ByChannel{"email": delivery.NewGuard(mailServer, delivery.GuardConfig{})},
			Domains:   domainsOf(true, shop, tenant("bank", "hello@bank.example")), EmailFrom: test.operator,
		})
		t.Cleanup(r.Close)
		route, err := r.Route(t.Context(), "shop", "email")
		if err != nil {
			t.Fatal(err)
		}
		if route.Gate == nil {
			t.Errorf("%s: the provider lost its gate", name)
		}
		m := message()
		m.From = test.from
		_, err = route.Provider.Send(t.Context(), m)
		if test.envelope == "" {
			if !provider.IsMisconfigured(err) || strings.Contains(fmt.Sprint(err), "bank") || len(server.Messages()) != 0 {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sent := server.Messages()[0]
		content, err := sent.Parse()
		if err != nil {
			t.Fatal(err)
		}
		if sent.From != test.envelope || content.Header.Get("From") != test.header || content.Header.Get("Reply-To") != test.reply {
			t.Errorf("%s: from %s, %s, answers to %q", name, sent.From, content.Header.Get("From"), content.Header.Get("Reply-To"))
		}
	}
}

// TestSharedDeliveryProvider sends through the operator's default, and then through the
// company's own, which may use any sender.
func TestSharedDeliveryProvider(t *testing.T) {
	const name = "shared"
	fake := providertest.NewSendGrid(apiKey)
	s := newScene(t, name, func(o *RegistryOptions) {
		o.Defaults = map[v1alpha1.Channel]types.NamespacedName{v1alpha1.ChannelEmail: {Namespace: name, Name: "mail"}}
	})
	s.company.Status.CompanyInfo.Name, s.company.Spec.CompanyInfo.Name = "Shop", "The shop"
	s.registry.Domains, s.registry.EmailFrom = domainsOf(true, s.company), "other@operator.example"
	s.secret("sendgrid", map[string]string{"apiKey": apiKey})
	spec := v1alpha1.DeliveryProviderSpec{
		SendGrid: &v1alpha1.SendGridProvider{BaseURL: s.serve(fake)}, SecretRef: &v1alpha1.SecretReference{Name: "sendgrid"}, Sender: "ops@operator.example",
	}
	s.provider("mail", spec)
	s.provider("own", spec)
	s.must(s.send(v1alpha1.ChannelEmail, message()))
	s.use(v1alpha1.ChannelEmail, "mail") // to name the operator's is not to own it
	s.must(s.send(v1alpha1.ChannelEmail, message()))
	s.use(v1alpha1.ChannelEmail, "own")
	s.must(s.send(v1alpha1.ChannelEmail, message()))
	for i, want := range []struct{ from, replyTo string }{
		{"The shop <ops@operator.example>", "shop@example.com"}, {"The shop <ops@operator.example>", "shop@example.com"}, {"<shop@example.com>", ""},
	} {
		if got := fake.Received()[i]; got.From != want.from || got.ReplyTo != want.replyTo {
			t.Errorf("message %d: got %+v", i, got)
		}
	}
}
