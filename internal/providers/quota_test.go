// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
	"github.com/rehive/extension-operator/internal/phone"
)

// spending is a provider under the quotas of a real ledger.
type spending struct {
	*testing.T
	quotas *Quotas
	store  ledger.Store
	sent   atomic.Int64
	fail   error
}

func (s *spending) Send(context.Context, provider.Message) (provider.Receipt, error) {
	if s.fail != nil {
		return provider.Receipt{}, s.fail
	}
	s.sent.Add(1)
	return provider.Receipt{}, nil
}

func newSpending(t *testing.T, limits string) *spending {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlitetest.NewFile(t), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s := &spending{T: t, store: store, quotas: &Quotas{Limits: DefaultLimits(), Ledger: store, Log: testr.New(t)}}
	if err := s.quotas.Limits.Parse(limits); err != nil {
		t.Fatal(err)
	}
	return s
}

// try sends one message and returns the reason why it wasn't.
func (s *spending) try(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel, to string) string {
	s.Helper()
	_, err := s.quotas.charged(a, channel, s).Send(s.Context(), provider.Message{Key: "a", To: to})
	var classed *provider.Error
	if errors.As(err, &classed) {
		if strings.Contains(err.Error(), to) {
			s.Errorf("the error repeats the recipient: %v", err)
		}
		return classed.Reason
	}
	if err != nil {
		s.Fatal(err)
	}
	return ""
}

func (s *spending) want(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel, to, want string) {
	s.Helper()
	if got := s.try(a, channel, to); got != want {
		s.Errorf("to %s: got %q, want %q", to, got, want)
	}
}

func TestExpensiveNumbers(t *testing.T) {
	s := newSpending(t, "sms.recipient=3")
	shop := tenant("shop", "")
	for _, number := range []string{"+19002345678", "+448431234567", "+870773111632", "+881612345678", "+88213300000", "+979123456789", "+447012345678", "+49900112345678"} {
		for range 5 {
			s.want(shop, v1alpha1.ChannelSMS, number, ReasonNumberNotAllowed)
		}
	}
	if s.sent.Load() != 0 {
		t.Errorf("%d were sent", s.sent.Load())
	}
	s.want(shop, v1alpha1.ChannelSMS, "+27820000001", "")
	s.quotas.Kinds = []phone.Kind{phone.Satellite}
	s.want(shop, v1alpha1.ChannelSMS, "+881612345678", "")
	s.want(shop, v1alpha1.ChannelSMS, "+19002345678", ReasonNumberNotAllowed)

	s.quotas.Countries = []string{"ZA", "US"}
	s.want(shop, v1alpha1.ChannelSMS, "+27820000001", "")
	s.want(shop, v1alpha1.ChannelSMS, "+4915112345678", ReasonNumberNotAllowed)
	s.want(shop, v1alpha1.ChannelSMS, "+999123456", ReasonNumberNotAllowed) // of no country
	shop.Spec.Quotas.SMS = &v1alpha1.SMSQuota{Countries: []string{"US", "DE"}}
	s.want(shop, v1alpha1.ChannelSMS, "+14155552671", "")
	s.want(shop, v1alpha1.ChannelSMS, "+27820000001", ReasonNumberNotAllowed)
	s.want(shop, v1alpha1.ChannelSMS, "+4915112345678", ReasonNumberNotAllowed)
}

func TestQuotas(t *testing.T) {
	s := newSpending(t, "sms.company=5,sms.country=4,sms.recipient=2")
	shop, bank := tenant("shop", ""), tenant("bank", "")
	const joe, ann, bob = "+27820000001", "+27820000002", "+27820000003"
	s.want(shop, v1alpha1.ChannelSMS, joe, "")
	s.want(shop, v1alpha1.ChannelSMS, joe, "")
	s.want(shop, v1alpha1.ChannelSMS, joe, ReasonQuotaExceeded) // sent again is sent

	// A message that wasn't sent is not charged; one that may have been sent is.
	for _, err := range []error{provider.Transient("Unreachable", "", 0), provider.Permanent("Refused", ""), provider.Misconfigured("Login", "")} {
		s.fail = err
		for range 3 {
			if got := s.try(shop, v1alpha1.ChannelSMS, ann); got == ReasonQuotaExceeded {
				t.Errorf("%v was charged", err)
			}
		}
	}
	s.fail = provider.Unknown("")
	s.want(shop, v1alpha1.ChannelSMS, ann, provider.ReasonOutcomeUnknown)
	s.fail = nil
	s.want(shop, v1alpha1.ChannelSMS, ann, "")
	s.want(shop, v1alpha1.ChannelSMS, ann, ReasonQuotaExceeded)
	s.want(shop, v1alpha1.ChannelSMS, bob, ReasonQuotaExceeded) // the country's
	s.want(shop, v1alpha1.ChannelSMS, "+14155552671", "")
	s.want(shop, v1alpha1.ChannelSMS, "+14155552672", ReasonQuotaExceeded) // the company's
	s.want(bank, v1alpha1.ChannelSMS, joe, "")
	s.want(shop, v1alpha1.ChannelEmail, "joe@example.com", "")

	// A company can have less, and not more.
	one, many := int64(1), int64(1000)
	bank.Spec.Quotas.SMS = &v1alpha1.SMSQuota{ChannelQuota: v1alpha1.ChannelQuota{PerDay: &one}}
	s.want(bank, v1alpha1.ChannelSMS, ann, ReasonQuotaExceeded)
	bank.Spec.Quotas.SMS = &v1alpha1.SMSQuota{ChannelQuota: v1alpha1.ChannelQuota{PerRecipient: &many}, PerCountry: &many}
	s.want(bank, v1alpha1.ChannelSMS, joe, "")
	s.want(bank, v1alpha1.ChannelSMS, joe, ReasonQuotaExceeded)
	spent, err := s.store.Spent(t.Context(), "bank")
	if err != nil || spent["sms"] != 2 {
		t.Errorf("spent %v, %v", spent, err)
	}
}

// TestQuotaOfOneMailbox writes one address in several ways, which mail servers deliver to
// one mailbox.
func TestQuotaOfOneMailbox(t *testing.T) {
	s := newSpending(t, "email.recipient=1")
	shop := tenant("shop", "")
	for _, same := range [][]string{
		{"joe@example.com", "JOE@example.com", "Joe@example.com", "\uff4aoe@example.com", "\uff2aoe@example.com"},
		{"andr\u00e9@example.com", "andre\u0301@example.com", "ANDR\u00c9@example.com"},
		{"stra\u00dfe@example.com", "STRASSE@example.com"},
	} {
		s.want(shop, v1alpha1.ChannelEmail, same[0], "")
		for _, other := range same {
			s.want(shop, v1alpha1.ChannelEmail, other, ReasonQuotaExceeded)
		}
	}
	for _, other := range []string{"jo.e@example.com", "joe+2@example.com", "joe@example.org"} {
		s.want(shop, v1alpha1.ChannelEmail, other, "")
	}
}

// TestQuotaOfEmails has many emails go at once: exactly as many as the company may, and
// the ledger is written far less often.
func TestQuotaOfEmails(t *testing.T) {
	const limit = 1000
	s := newSpending(t, "email.company=1000")
	counting := &counting{Quotas: s.quotas.Ledger}
	s.quotas.Ledger = counting
	shop := tenant("shop", "")
	var group sync.WaitGroup
	var refused atomic.Int64
	for range 8 {
		group.Go(func() {
			for range limit / 4 {
				if s.try(shop, v1alpha1.ChannelEmail, "joe@example.com") == ReasonQuotaExceeded {
					refused.Add(1)
				}
			}
		})
	}
	group.Wait()
	if s.sent.Load() != limit || refused.Load() != limit {
		t.Errorf("%d were sent, %d refused", s.sent.Load(), refused.Load())
	}
	if n := counting.spent.Load() - 2*refused.Load(); n > limit/5 {
		t.Errorf("the ledger was written %d times for %d emails", n, limit)
	}
}

type counting struct {
	ledger.Quotas
	spent atomic.Int64
}

func (c *counting) Spend(ctx context.Context, company string, n int64, quotas ...ledger.Quota) (ledger.Charge, *ledger.Quota, error) {
	c.spent.Add(1)
	return c.Quotas.Spend(ctx, company, n, quotas...)
}

func TestParseLimits(t *testing.T) {
	l := DefaultLimits()
	if err := l.Parse(" sms.company = 7, push.recipient=3,email.company=unlimited,,sms.country=0"); err != nil {
		t.Fatal(err)
	}
	if l["sms"] != (ChannelLimits{7, 50, 0}) || l["push"] != (ChannelLimits{Unlimited, 3, Unlimited}) || l["email"].Company != Unlimited {
		t.Errorf("got %+v", l)
	}
	for _, wrong := range []string{"sms", "sms.company", "sms.company=", "sms.company=-1", "sms.company=a", "fax.company=1", "email.country=1", "sms.all=1", "sms.company=99999999999999999999"} {
		if err := DefaultLimits().Parse(wrong); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
}
