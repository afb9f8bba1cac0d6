// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

// TestSecondProviderTakesOver has the first provider of a company reach its rate, and go
// missing: the second one sends until it is back.
func TestSecondProviderTakesOver(t *testing.T) {
	s := newScene(t, "takes-over", nil)
	s.secret("twilio", map[string]string{"accountSid": accountSID, "authToken": authToken})
	first, second := providertest.NewTwilio(accountSID, accountSID, authToken), providertest.NewTwilio(accountSID, accountSID, authToken)
	spec := func(api *providertest.API, sender string) v1alpha1.DeliveryProviderSpec {
		return v1alpha1.DeliveryProviderSpec{
			Twilio: &v1alpha1.TwilioProvider{BaseURL: s.serve(api)}, SecretRef: &v1alpha1.SecretReference{Name: "twilio"}, Sender: sender,
			RateLimit: &v1alpha1.RateLimit{PerSecond: 1, Burst: 1},
		}
	}
	p := s.provider("first", spec(first, "+15005550001"))
	spare := spec(second, "+15005550002")
	spare.RateLimit = nil
	s.provider("second", spare)
	s.use(v1alpha1.ChannelSMS, "first")
	s.company.Spec.Providers.SMS.Fallbacks = []string{"second"}
	send := func() provider.Receipt {
		t.Helper()
		route, err := s.registry.Route(t.Context(), s.name, "sms")
		s.must(err)
		m := sms()
		m.Company = s.name
		receipt, err := route.Provider.Send(hurried{t.Context()}, m)
		s.must(err)
		return receipt
	}
	if r := send(); r.Reason != "" || r.ID == "" {
		t.Errorf("the first message has %+v", r)
	}
	r, direct := send(), 1
	for ; r.Reason == "" && direct < 20; direct++ { // the turn of a slow call has come already
		r = send()
	}
	if r.Reason != ReasonSentByFallback || !strings.Contains(r.Message, "takes-over/second sent it, because takes-over/first could not: The provider's configured rate") {
		t.Errorf("the second message has %+v", r)
	}
	if a, b := first.Received(), second.Received(); len(a) != direct || len(b) != 1 || b[0].From != "+15005550002" {
		t.Errorf("the first got %+v and the second %+v", a, b)
	}
	route, err := s.registry.Route(t.Context(), s.name, "sms")
	s.must(err)
	if n, _ := route.Gate.Room(); n < 2 {
		t.Errorf("the gate of a company whose first provider is at its rate has room for %d", n)
	}
	s.must(kube.Delete(t.Context(), p))
	if r := send(); r.Reason != ReasonSentByFallback || !strings.Contains(r.Message, "There is no DeliveryProvider takes-over/first.") {
		t.Errorf("without the first: %+v", r)
	}
	s.company.Spec.Providers.SMS.Fallbacks = []string{"third"}
	s.wantReason(s.send(v1alpha1.ChannelSMS, sms()), "ProviderNotFound")
}

// answer is a provider that answers always the same.
type answer struct {
	err  error
	sent *[]provider.Message
}

func (a answer) Send(_ context.Context, m provider.Message) (provider.Receipt, error) {
	*a.sent = append(*a.sent, m)
	return provider.Receipt{ID: "x"}, a.err
}

// TestOnlyWhatDidNotArriveIsPassedOn answers for the first provider in each way that there is.
func TestOnlyWhatDidNotArriveIsPassedOn(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		passed bool
	}{
		"accepted":       {nil, false},
		"circuit open":   {provider.HeldBack(delivery.ReasonCircuitOpen, "It is left alone.", time.Minute), true},
		"busy":           {provider.HeldBack(delivery.ReasonBusy, "It is busy.", time.Second), true},
		"misconfigured":  {provider.Misconfigured("CredentialsRefused", "The password is wrong."), true},
		"throttled":      {provider.Transient(provider.ReasonThrottled, "It asks to wait.", time.Minute), true},
		"refused":        {provider.Permanent("RecipientRefused", "Nobody is there."), false},
		"unknown":        {provider.Unknown("It never answered."), false},
		"transient":      {provider.Transient("ServerError", "It failed.", 0), false},
		"greylisted":     {provider.Deferred("Greylisted", "It asks to wait.", time.Minute), false},
		"any other":      {errors.New("broken pipe"), false},
		"after the time": {context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			var first, second []provider.Message
			f := failover{channel: v1alpha1.ChannelEmail, members: []member{
				{key: types.NamespacedName{Namespace: "a", Name: "one"}, sender: "Shop <one@shop.example>", route: delivery.Route{Provider: answer{test.err, &first}}},
				{key: types.NamespacedName{Namespace: "a", Name: "two"}, sender: "Shop <two@shop.example>", route: delivery.Route{Provider: answer{nil, &second}}},
			}}
			for _, from := range []string{"one@shop.example", "rule@shop.example"} {
				receipt, err := f.Send(t.Context(), provider.Message{From: from})
				switch {
				case test.passed && (err != nil || receipt.Reason != ReasonSentByFallback):
					t.Errorf("%+v, %v", receipt, err)
				case !test.passed && !errors.Is(err, test.err):
					t.Errorf("%v", err)
				}
			}
			switch {
			case len(first) != 2 || test.passed != (len(second) == 2) || !test.passed && len(second) > 0:
				t.Errorf("the first got %d and the second %d", len(first), len(second))
			case test.passed && (second[0].From != "Shop <two@shop.example>" || second[1].From != "rule@shop.example"):
				t.Errorf("the second sends as %q and %q", second[0].From, second[1].From)
			}
		})
	}
	var sent []provider.Message
	through := func(errs ...error) failover {
		f := failover{channel: v1alpha1.ChannelSMS}
		for i, err := range errs {
			f.members = append(f.members, member{key: types.NamespacedName{Namespace: "a", Name: strconv.Itoa(i)}, route: delivery.Route{Provider: answer{err, &sent}}})
		}
		return f
	}
	// If none can send, the one that can first says when.
	late, soon := provider.HeldBack("Late", "Late.", time.Minute), provider.HeldBack("Soon", "Soon.", time.Second)
	for _, order := range [][]error{{late, soon}, {soon, late}, {provider.Misconfigured("Never", "Never."), soon}} {
		if _, err := through(order...).Send(t.Context(), provider.Message{}); !errors.Is(err, soon) {
			t.Errorf("%v", err)
		}
	}
	// If a later one can, it says why the first one could not.
	receipt, err := through(late, soon, nil).Send(t.Context(), provider.Message{})
	if err != nil || receipt.Message != "The DeliveryProvider a/2 sent it, because a/0 could not: Late." {
		t.Errorf("%+v, %v", receipt, err)
	}
}

// asked is a provider that can be asked about messages.
type asked struct {
	id  string
	err error
}

func (a asked) Find(context.Context, provider.Message) (provider.Receipt, bool, error) {
	return provider.Receipt{ID: a.id}, a.id != "", a.err
}

func TestFailoverIsAsked(t *testing.T) {
	yes, no, silent := asked{id: "1"}, asked{}, asked{err: errors.New("down")}
	for _, test := range []struct {
		name    string
		askers  []provider.Asker
		can     bool
		found   bool
		unknown bool
	}{
		{"none has it", []provider.Asker{no, no}, true, false, false},
		{"the second has it", []provider.Asker{no, yes}, true, true, false},
		{"the first doesn't say", []provider.Asker{silent, no}, true, false, true},
		{"the first doesn't say, the second has it", []provider.Asker{silent, yes}, true, true, false},
		{"one can't be asked", []provider.Asker{no, nil}, false, false, false},
	} {
		f := failover{}
		for _, a := range test.askers {
			f.members = append(f.members, member{route: delivery.Route{Asker: a}})
		}
		route := f.route()
		if (route.Asker != nil) != test.can {
			t.Errorf("%s: can be asked: %t", test.name, route.Asker != nil)
		}
		if route.Asker == nil {
			continue
		}
		_, found, err := route.Asker.Find(t.Context(), provider.Message{})
		if found != test.found || (err != nil) != test.unknown {
			t.Errorf("%s: %t, %v", test.name, found, err)
		}
	}
}
