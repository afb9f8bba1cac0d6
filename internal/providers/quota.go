// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/phone"
)

// Why a message is not sent although a provider could send it.
const (
	ReasonQuotaExceeded    = "QuotaExceeded"
	ReasonQuotaUnknown     = "QuotaUnknown"
	ReasonNumberNotAllowed = "NumberNotAllowed"
)

// Unlimited is the limit of a quota that isn't counted.
const Unlimited = -1

// ChannelLimits are how many messages of a channel a company may send on one day (UTC).
// Each may be Unlimited; 0 is none.
type ChannelLimits struct{ Company, Recipient, Country int64 }

// Limits are the limits of each channel. Channels that aren't in it are unlimited.
type Limits map[v1alpha1.Channel]ChannelLimits

// DefaultLimits returns the limits of an operator that sets none.
func DefaultLimits() Limits {
	return Limits{
		v1alpha1.ChannelEmail: {Company: 1_000_000, Recipient: Unlimited, Country: Unlimited},
		v1alpha1.ChannelSMS:   {Company: 10_000, Recipient: 50, Country: 5_000},
		v1alpha1.ChannelPush:  {Company: Unlimited, Recipient: Unlimited, Country: Unlimited},
	}
}

// Parse changes limits as text such as "sms.company=500,sms.country=unlimited" says.
func (l Limits) Parse(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		limit := int64(Unlimited)
		if value = strings.TrimSpace(value); value != "unlimited" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("%q is not a limit such as sms.company=500 or sms.company=unlimited", part)
			}
			limit = n
		}
		channel, scope, _ := strings.Cut(strings.TrimSpace(name), ".")
		limits, known := l[v1alpha1.Channel(channel)]
		switch {
		case known && scope == ledger.ScopeCompany:
			limits.Company = limit
		case known && scope == ledger.ScopeRecipient:
			limits.Recipient = limit
		case known && scope == ledger.ScopeCountry && channel == string(v1alpha1.ChannelSMS):
			limits.Country = limit
		default:
			return fmt.Errorf("there is no quota %q: there are email, sms and push, each with .company and .recipient, and sms.country", name)
		}
		l[v1alpha1.Channel(channel)] = limits
	}
	return nil
}

// Of returns the limits of a company's channel: the operator's, or its own where those
// are lower.
func (l Limits) Of(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel) ChannelLimits {
	limits, known := l[channel]
	if !known {
		limits = ChannelLimits{Unlimited, Unlimited, Unlimited}
	}
	var own *v1alpha1.ChannelQuota
	switch channel {
	case v1alpha1.ChannelEmail:
		own = a.Spec.Quotas.Email
	case v1alpha1.ChannelSMS:
		if sms := a.Spec.Quotas.SMS; sms != nil {
			own = &sms.ChannelQuota
			limits.Country = lower(limits.Country, sms.PerCountry)
		}
	case v1alpha1.ChannelPush:
		own = a.Spec.Quotas.Push
	}
	if own != nil {
		limits.Company = lower(limits.Company, own.PerDay)
		limits.Recipient = lower(limits.Recipient, own.PerRecipient)
	}
	return limits
}

func lower(limit int64, own *int64) int64 {
	if own == nil || limit != Unlimited && limit < *own {
		return limit
	}
	return *own
}

// Quotas guard the money that messages cost. They count what is handed to providers,
// sent again or not, and refuse SMS to numbers that aren't allowed. They are safe for
// concurrent use.
type Quotas struct {
	Limits Limits
	Ledger ledger.Quotas
	// Countries are the ISO 3166 codes of the countries that SMS may be sent to; all if
	// empty. Kinds are the kinds of numbers that may be, beside ordinary ones.
	Countries []string
	Kinds     []phone.Kind
	Log       logr.Logger

	mu     sync.Mutex
	blocks map[blockKey]*block
}

// charged returns a provider that charges one company's messages of a channel to its quotas.
func (q *Quotas) charged(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel, p provider.Provider) provider.Provider {
	limits := q.Limits.Of(a, channel)
	if channel != v1alpha1.ChannelSMS && limits == (ChannelLimits{Unlimited, Unlimited, Unlimited}) {
		return p
	}
	return metered{next: p, quotas: q, company: a, channel: channel, limits: limits}
}

// metered is a provider that charges each message to the company's quotas.
type metered struct {
	next    provider.Provider
	quotas  *Quotas
	company *v1alpha1.CompanyActivation
	channel v1alpha1.Channel
	limits  ChannelLimits
}

// Send implements [provider.Provider].
func (m metered) Send(ctx context.Context, message provider.Message) (provider.Receipt, error) {
	country := ""
	if m.channel == v1alpha1.ChannelSMS {
		var err error
		if country, err = m.quotas.permit(m.company, message.To); err != nil {
			return provider.Receipt{}, err
		}
	}
	giveBack, err := m.charge(ctx, message.To, country)
	if err != nil {
		return provider.Receipt{}, err
	}
	receipt, err := m.next.Send(ctx, message)
	var classed *provider.Error
	if errors.As(err, &classed) && !provider.IsUnknown(err) {
		giveBack()
	}
	return receipt, err
}

// noCountry stands for the country of a number that has none.
const noCountry = "none"

// permit refuses an SMS to a number that the operator or the company doesn't allow.
func (q *Quotas) permit(a *v1alpha1.CompanyActivation, number string) (country string, err error) {
	country, kind := phone.Classify(number)
	if kind != phone.Ordinary && !slices.Contains(q.Kinds, kind) {
		return "", provider.Permanent(ReasonNumberNotAllowed, fmt.Sprintf("The recipient is a %s number, to which SMS are not allowed (--sms-allow-numbers).", kind))
	}
	if country == "" {
		country = noCountry
	}
	if country == noCountry && kind != phone.Ordinary {
		return country, nil // the operator allows this kind, which is in no country
	}
	if len(q.Countries) > 0 && !slices.Contains(q.Countries, country) {
		return "", provider.Permanent(ReasonNumberNotAllowed, fmt.Sprintf("SMS to %s are not allowed (--sms-countries).", country))
	}
	if own := a.Spec.Quotas.SMS; own != nil && len(own.Countries) > 0 && !slices.Contains(own.Countries, country) {
		return "", provider.Permanent(ReasonNumberNotAllowed, fmt.Sprintf("SMS to %s are not allowed by spec.quotas.sms.countries of the CompanyActivation.", country))
	}
	return country, nil
}

// charge charges a message. giveBack undoes that.
func (m metered) charge(ctx context.Context, recipient, country string) (giveBack func(), err error) {
	channel := string(m.channel)
	if m.limits.Recipient == Unlimited && (m.limits.Country == Unlimited || country == "") {
		if m.limits.Company == Unlimited {
			return func() {}, nil
		}
		return m.quotas.takeOfBlock(ctx, m.company.Spec.Company, ledger.Quota{Channel: channel, Scope: ledger.ScopeCompany, Limit: m.limits.Company})
	}
	quotas := make([]ledger.Quota, 0, 3)
	if m.limits.Company != Unlimited {
		quotas = append(quotas, ledger.Quota{Channel: channel, Scope: ledger.ScopeCompany, Limit: m.limits.Company})
	}
	if m.limits.Country != Unlimited && country != "" {
		quotas = append(quotas, ledger.Quota{Channel: channel, Scope: ledger.ScopeCountry, Key: country, Limit: m.limits.Country})
	}
	if m.limits.Recipient != Unlimited {
		quotas = append(quotas, ledger.Quota{Channel: channel, Scope: ledger.ScopeRecipient, Key: ledger.RecipientKey(channel, recipient), Limit: m.limits.Recipient})
	}
	c, err := m.quotas.spend(ctx, m.company.Spec.Company, 1, quotas)
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
		defer cancel()
		if err := m.quotas.Ledger.GiveBack(ctx, c); err != nil {
			m.quotas.Log.Error(err, "Giving back what was charged for a message that was not sent failed", "company", m.company.Spec.Company)
		}
	}, nil
}

const giveBackTimeout = 5 * time.Second

// spend charges the ledger. Its errors are classed as those of a provider.
func (q *Quotas) spend(ctx context.Context, company string, n int64, quotas []ledger.Quota) (ledger.Charge, error) {
	c, exceeded, err := q.Ledger.Spend(ctx, company, n, quotas...)
	switch {
	case err != nil:
		q.Log.Error(err, "Charging a message to a quota failed; retrying", "company", company)
		return c, provider.Transient(ReasonQuotaUnknown, "The company's quota could not be checked.", 0)
	case exceeded == nil:
		return c, nil
	}
	of := "to send"
	switch exceeded.Scope {
	case ledger.ScopeRecipient:
		of = "to send to one recipient"
	case ledger.ScopeCountry:
		of = "to send to the country " + exceeded.Key
	}
	return c, provider.Permanent(ReasonQuotaExceeded, fmt.Sprintf("The company's quota of %d messages a day on the channel %s %s is used up. It is reset at midnight UTC; the message can be sent again then.",
		exceeded.Limit, exceeded.Channel, of))
}

// maxBlock is how many messages are charged at once where only the company's quota of a
// channel counts, so that the ledger isn't written for each. The unused rest of a block is
// lost to the company for the day when the process ends.
const maxBlock = 64

type blockKey struct{ company, channel string }

// block is what is charged already and not used yet.
type block struct {
	mu   sync.Mutex
	day  int64
	left int64
}

func (q *Quotas) takeOfBlock(ctx context.Context, company string, quota ledger.Quota) (giveBack func(), err error) {
	b := q.block(blockKey{company, quota.Channel})
	b.mu.Lock()
	defer b.mu.Unlock()
	today := time.Now().Unix() / int64((24 * time.Hour).Seconds())
	if b.day != today {
		b.day, b.left = today, 0
	}
	if b.left == 0 {
		n := min(maxBlock, max(1, quota.Limit/100))
		_, exceeded, err := q.Ledger.Spend(ctx, company, n, quota)
		if err != nil || exceeded != nil {
			// The last messages of a quota go one by one.
			if _, err := q.spend(ctx, company, 1, []ledger.Quota{quota}); err != nil {
				return nil, err
			}
			n = 1
		}
		b.left = n
	}
	b.left--
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.day == today {
			b.left++
		}
	}, nil
}

func (q *Quotas) block(key blockKey) *block {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.blocks == nil {
		q.blocks = make(map[blockKey]*block)
	}
	b := q.blocks[key]
	if b == nil {
		b = new(block)
		q.blocks[key] = b
	}
	return b
}
