// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/controlplane"
)

// All tests share an API server and a catalog of its objects.
var (
	kube  client.Client
	rules *catalog.Catalog
)

func TestMain(m *testing.M) {
	controlplane.Main(m, func(c *controlplane.ControlPlane) (stop func() error, err error) {
		kube = c.Client
		objects, err := cache.New(c.Config, cache.Options{Scheme: kube.Scheme()})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		activations, err := activation.NewIndex(ctx, objects, activation.AllNamespaces())
		if err == nil {
			rules, err = catalog.New(ctx, objects, activations)
		}
		if err != nil {
			cancel()
			return nil, err
		}
		ended := make(chan error, 1)
		go func() { ended <- objects.Start(ctx) }()
		stop = func() error {
			cancel()
			return <-ended
		}
		if !objects.WaitForCacheSync(ctx) {
			return nil, errors.Join(errors.New("the cache did not fill"), stop())
		}
		return stop, nil
	})
}

// scene is a dispatcher at work for one active company.
type scene struct {
	t          *testing.T
	clock      *clocktesting.FakeClock
	store      ledger.Store
	platform   *rehivetest.Platform
	seed       rehivetest.Seeded
	activation *v1alpha1.CompanyActivation
	dispatcher *Dispatcher
}

// scenes counts the scenes, for names that differ when a test runs again.
var scenes atomic.Int32

func unique(name string) string { return fmt.Sprintf("%s-%d", name, scenes.Add(1)) }

// newScene makes a scene whose company has the token of the platform's seeded one. The
// company and its namespace have the same name, which begins with the given one.
func newScene(t *testing.T, name string) *scene {
	t.Helper()
	platform, seed, client := startPlatform(t)
	return sceneWith(t, unique(name), platform, seed, client, seed.Admin.Token)
}

func sceneWith(t *testing.T, name string, platform *rehivetest.Platform, seed rehivetest.Seeded, client *rehive.Client, token string) *scene {
	t.Helper()
	s := &scene{t: t, clock: clocktesting.NewFakeClock(time.Now()), platform: platform, seed: seed}
	var err error
	s.store, err = sqlite.Open(t.Context(), sqlitetest.NewFile(t), ledger.Options{Clock: s.clock, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.must(kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	s.activation = &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "acme"},
		Spec:       v1alpha1.CompanyActivationSpec{Company: name},
	}
	s.must(kube.Create(t.Context(), s.activation))
	s.activation.Status.CompanyInfo = v1alpha1.CompanyInfo{CompanyProfile: v1alpha1.CompanyProfile{Name: "Acme", SystemEmail: "hello@acme.example"}}
	s.must(kube.Status().Update(t.Context(), s.activation))
	s.must(activation.Save(t.Context(), kube, s.activation, activation.Credentials{Token: token}))

	dispatcher, err := New(Options{Ledger: s.store, Catalog: rules, Platform: client, Senders: senders("provider@operator.example"), Clock: s.clock, Log: testr.New(t)})
	s.must(err)
	s.dispatcher = dispatcher
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.must(dispatcher.Start(ctx)) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	s.eventually("the company to be known", func() error {
		known, err := rules.Activation(t.Context(), name)
		if err != nil {
			return err
		}
		if known.Status.CompanyInfo.Name == "" {
			return errors.New("its status is not there yet")
		}
		token, err := rules.Token(t.Context(), known)
		if err == nil && token == "" {
			err = errors.New("its token is not there yet")
		}
		return err
	})
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) eventually(what string, check func() error) {
	s.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond) // polling with a deadline
	}
}

// rule makes a rule for an event and waits until the catalog has it.
func (s *scene) rule(name, event string, change func(*v1alpha1.NotificationRuleSpec)) {
	s.t.Helper()
	rule := &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.activation.Namespace, Name: name},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: s.activation.Name},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: name,
				Event:       event,
				Email:       &v1alpha1.EmailMessage{To: "{{ to }}", Subject: "Subject", Text: "Text of {{ context.company.name }}"},
			},
		},
	}
	if change != nil {
		change(&rule.Spec)
	}
	s.must(kube.Create(s.t.Context(), rule))
	s.eventually("the catalog to have the rule", func() error {
		found, _, err := rules.Rules(s.t.Context(), s.activation, event)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(found, func(r *catalog.Rule) bool { return r.Name == name }) {
			return errors.New("it has not")
		}
		return nil
	})
}

func (s *scene) accept(id, event, data string) {
	s.t.Helper()
	_, err := s.store.AcceptEvent(s.t.Context(), ledger.Event{Company: s.activation.Spec.Company, ID: id, Name: event, Data: []byte(data), ReceivedAt: s.clock.Now()})
	s.must(err)
}

// deliveries waits until an event has led to n deliveries and returns them in
// the order of their rules.
func (s *scene) deliveries(id string, n int) []ledger.Delivery {
	s.t.Helper()
	var found []ledger.Delivery
	s.eventually("the deliveries of "+id, func() (err error) {
		found, err = s.store.ListDeliveries(s.t.Context(), ledger.DeliveryFilter{Company: s.activation.Spec.Company, EventID: id, Limit: 1000})
		if err == nil && len(found) != n {
			err = fmt.Errorf("there are %d, want %d", len(found), n)
		}
		return err
	})
	slices.SortFunc(found, func(a, b ledger.Delivery) int {
		return strings.Compare(a.RuleName+" "+a.Recipient, b.RuleName+" "+b.Recipient)
	})
	return found
}

// drained waits until no event is pending.
func (s *scene) drained() {
	s.t.Helper()
	s.eventually("all events to be decided", func() error {
		stats, err := s.store.Stats(s.t.Context())
		if err == nil && stats.PendingEvents > 0 {
			err = fmt.Errorf("%d are pending", stats.PendingEvents)
		}
		return err
	})
}

func TestDispatchRecordsEveryDecision(t *testing.T) {
	s := newScene(t, "every-decision")
	s.rule("a-sends", "user.update", nil)
	s.rule("b-declines", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Expression = "'{{ status }}' == 'x'" })
	s.rule("c-faults", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Expression = "{{ status }} == 1" })
	s.rule("d-broken", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Email.Text = "{% if %}" })
	s.rule("e-nobody", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Email.To = "{{ missing }}" })
	s.rule("f-malformed", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Email.To = "{{ to }}, {{ status }}" })
	s.rule("g-other-event", "user.create", nil)
	s.rule("h-disabled", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Enabled, r.Email.Text = new(bool), "{% if %}" })

	s.accept("1", "user.update", `{"to":"zoe@example.com","status":"verified"}`)
	got := s.deliveries("1", 8)
	want := []struct {
		rule      string
		state     ledger.DeliveryState
		reason    string
		recipient string
	}{
		{"a-sends", ledger.DeliveryPending, "", "zoe@example.com"},
		{"b-declines", ledger.DeliverySkipped, "ExpressionFalse", ""},
		{"c-faults", ledger.DeliveryFailed, "ExpressionFault", ""},
		{"d-broken", ledger.DeliveryFailed, "RuleInvalid", ""},
		{"e-nobody", ledger.DeliverySkipped, "NoRecipient", ""},
		{"f-malformed", ledger.DeliveryFailed, "MalformedRecipient", "verified"},
		{"f-malformed", ledger.DeliveryPending, "", "zoe@example.com"},
		{"h-disabled", ledger.DeliverySkipped, "RuleDisabled", ""},
	}
	for i, delivery := range got {
		w := want[i]
		if delivery.RuleName != s.activation.Namespace+"/"+w.rule || delivery.State != w.state || delivery.Reason != w.reason || delivery.Recipient != w.recipient {
			t.Errorf("delivery %d is %s %s %q to %q, want %+v", i, delivery.RuleName, delivery.State, delivery.Reason, delivery.Recipient, w)
		}
	}
	if got[0].Content.Text != "Text of Acme" || got[0].Content.From != "<hello@acme.example>" {
		t.Errorf("the content is %+v", got[0].Content)
	}
	if !strings.Contains(got[3].Message, "spec.email.text, line 1, column 1") {
		t.Errorf("the message does not say where the rule is broken: %s", got[3].Message)
	}
}

func TestDispatchEventWithoutRules(t *testing.T) {
	s := newScene(t, "no-rules")
	s.accept("1", "nobody.wants.it", `{}`)
	s.drained()
	s.deliveries("1", 0)
}

// An outage of the platform delays a message whose fee can't be known; it is
// neither dropped nor guessed.
func TestDispatchOutageDelays(t *testing.T) {
	s := newScene(t, "outage")
	s.rule("fee", "transaction.execute", func(r *v1alpha1.NotificationRuleSpec) { r.Email.Text = "fee {{ computed.fee }}" })
	remove := s.platform.InjectFault(rehivetest.Fault{Path: "/3/admin/transactions/", Kind: rehivetest.FaultStatus, Status: 503})

	s.accept("1", "transaction.execute", `{"to":"zoe@example.com","id":"00000000-0000-0000-0000-000000000001","fee":-5,"amount":1}`)
	// Time passes between two attempts only: during one, its lease would end.
	later := func() {
		e, err := s.store.StoredEvent(t.Context(), s.activation.Spec.Company, "1")
		s.must(err)
		if e.NextAttemptAt.Sub(s.clock.Now()) < lease/2 {
			s.clock.Step(lease / 4)
		}
	}
	s.eventually("the platform to be asked twice", func() error {
		later()
		asked := 0
		for _, request := range s.platform.Requests() {
			if request.Path == "/3/admin/transactions/" {
				asked++
			}
		}
		if asked < 2 {
			return fmt.Errorf("asked %d times", asked)
		}
		return nil
	})
	s.deliveries("1", 0)
	remove()
	s.eventually("the event to be decided", func() error {
		later()
		stats, err := s.store.Stats(t.Context())
		if err == nil && stats.PendingEvents > 0 {
			err = errors.New("it is pending")
		}
		return err
	})
	if got := s.deliveries("1", 1)[0]; got.Content.Text != "fee -5" {
		t.Errorf("the text is %q", got.Content.Text)
	}
}

// An event whose company left between its webhook and its decision is dropped.
func TestDispatchInactiveCompany(t *testing.T) {
	s := newScene(t, "inactive")
	s.rule("sends", "user.update", nil)
	s.activation.Spec.State = v1alpha1.ActivationInactive
	s.must(kube.Update(t.Context(), s.activation))
	s.eventually("the catalog to know", func() error {
		if _, err := rules.Activation(t.Context(), s.activation.Spec.Company); !errors.Is(err, catalog.ErrNotActive) {
			return fmt.Errorf("it is active (%w)", err)
		}
		return nil
	})
	s.accept("1", "user.update", `{"to":"zoe@example.com"}`)
	s.drained()
	s.deliveries("1", 0)
}

// An activation that was only declared gets nothing that came for the company before the
// platform activates it.
func TestDispatchDeclaredSuccessor(t *testing.T) {
	s := newScene(t, "succeeded")
	company := s.activation.Spec.Company
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: unique("successor")}}
	s.must(kube.Create(t.Context(), namespace))
	successor := &v1alpha1.CompanyActivation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "zz-acme"}, Spec: v1alpha1.CompanyActivationSpec{Company: company},
	}
	s.must(kube.Create(t.Context(), successor))
	s.must(kube.Delete(t.Context(), s.activation))
	s.eventually("the company to have no activation in force", func() error {
		if _, err := rules.Activation(t.Context(), company); !errors.Is(err, catalog.ErrNotActive) {
			return fmt.Errorf("it has (%w)", err)
		}
		return nil
	})
	s.activation = successor
	s.rule("sends", "user.update", nil)
	s.accept("1", "user.update", `{"to":"zoe@example.com"}`)
	s.drained()
	s.deliveries("1", 0)

	s.must(activation.Save(t.Context(), kube, successor, activation.Credentials{Token: s.seed.Admin.Token}))
	s.eventually("the company to be active", func() error {
		_, err := rules.Activation(t.Context(), company)
		return err
	})
	s.accept("2", "user.update", `{"to":"zoe@example.com"}`)
	s.deliveries("2", 1)
}

// A rule that is changed decides by its new text, a deleted one not at all.
func TestDispatchFollowsTheRules(t *testing.T) {
	s := newScene(t, "follows")
	s.rule("changing", "user.update", nil)
	s.accept("1", "user.update", `{"to":"zoe@example.com"}`)
	s.deliveries("1", 1)

	var rule v1alpha1.NotificationRule
	key := client.ObjectKey{Namespace: s.activation.Namespace, Name: "changing"}
	s.must(kube.Get(t.Context(), key, &rule))
	rule.Spec.Email.Text = "changed"
	s.must(kube.Update(t.Context(), &rule))
	id := 1
	s.eventually("the new text", func() error {
		id++
		s.accept(fmt.Sprint(id), "user.update", `{"to":"zoe@example.com"}`)
		if text := s.deliveries(fmt.Sprint(id), 1)[0].Content.Text; text != "changed" {
			return fmt.Errorf("the text is %q", text)
		}
		return nil
	})
	s.must(kube.Delete(t.Context(), &rule))
	s.eventually("the catalog to forget it", func() error {
		found, _, err := rules.Rules(t.Context(), s.activation, "user.update")
		if err == nil && len(found) > 0 {
			err = errors.New("it has not")
		}
		return err
	})
	s.accept("last", "user.update", `{"to":"zoe@example.com"}`)
	s.drained()
	s.deliveries("last", 0)
}

// A rule with a layout sends nothing unwrapped: not before the layout is there, and
// not with a layout that is broken. A changed layout wraps the next message.
func TestDispatchWrapsInTheLayout(t *testing.T) {
	s := newScene(t, "layouts")
	s.rule("wrapped", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		r.Email.HTML, r.Email.LayoutRef = "<p>{{ to }}</p>", &v1alpha1.NotificationLayoutReference{Name: "brand"}
	})
	id := 0
	next := func() ledger.Delivery {
		id++
		s.accept(fmt.Sprint(id), "user.update", `{"to":"zoe@example.com","content":"forged"}`)
		return s.deliveries(fmt.Sprint(id), 1)[0]
	}
	if d := next(); d.State != ledger.DeliveryFailed || d.Reason != "RuleInvalid" || !strings.Contains(d.Message, "NotificationLayout brand") {
		t.Errorf("without the layout: %s %s: %s", d.State, d.Reason, d.Message)
	}

	layout := &v1alpha1.NotificationLayout{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.activation.Namespace, Name: "brand"},
		Spec:       v1alpha1.NotificationLayoutSpec{HTML: "<body>{{ content }}</body>", Text: "{{ content }} -- {{ context.company.name }}"},
	}
	s.must(kube.Create(t.Context(), layout))
	s.eventually("the layout", func() error {
		if d := next(); d.Content.HTML != "<body><p>zoe@example.com</p></body>" || d.Content.Text != "Text of Acme -- Acme" {
			return fmt.Errorf("the delivery is %s %s %+v", d.State, d.Reason, d.Content)
		}
		return nil
	})
	layout.Spec.Text = "new: {{ content }}"
	s.must(kube.Update(t.Context(), layout))
	s.eventually("the changed layout", func() error {
		if text := next().Content.Text; text != "new: Text of Acme" {
			return fmt.Errorf("the text is %q", text)
		}
		return nil
	})
	layout.Spec.Text = "{% if %}"
	s.must(kube.Update(t.Context(), layout))
	s.eventually("the broken layout", func() error {
		if d := next(); d.Reason != "RuleInvalid" {
			return fmt.Errorf("the delivery is %s %s", d.State, d.Reason)
		}
		return nil
	})
}

// A message that isn't sent is recorded on the rule's own channel.
func TestDispatchRecordsTheChannel(t *testing.T) {
	s := newScene(t, "own-channel")
	s.rule("a-sms", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		r.Email, r.SMS = nil, &v1alpha1.SMSMessage{To: "{{ to }}, {{ mobile }}", Message: "Hello"}
	})
	s.rule("b-push", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		r.Email, r.Push = nil, &v1alpha1.PushMessage{ToUser: "{{ id }}", Message: "Hello"}
	})
	s.rule("c-push", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		r.Email, r.Push = nil, &v1alpha1.PushMessage{ToUser: "{{ missing }}", Message: "Hello"}
	})
	s.accept("1", "user.update", `{"to":"zoe@example.com","mobile":"+27 82 000 0001","id":"11111111-2222-3333-4444-555555555555"}`)
	var got []string
	for _, d := range s.deliveries("1", 4) {
		got = append(got, strings.TrimSpace(fmt.Sprintln(d.Channel, d.State, d.Recipient, d.Reason)))
	}
	want := []string{
		"sms pending +27820000001", "sms failed zoe@example.com MalformedRecipient",
		"push pending 11111111-2222-3333-4444-555555555555", "push skipped  NoRecipient",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A user gets what the rules, the company and the user want, in the app too, and the
// log says why not.
func TestDispatchPreferencesAndInAppCopies(t *testing.T) {
	const zoe, joe = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-2222-3333-4444-555555555555"
	s := newScene(t, "preferences")
	choice := func(r *v1alpha1.NotificationRuleSpec) { r.PreferenceEnabled, r.SystemEnabled = true, true }
	s.rule("a-choice", "user.update", choice)
	s.rule("b-no-choice", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.SystemEnabled = true })
	s.rule("c-push", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		choice(r)
		r.Email, r.Push = nil, &v1alpha1.PushMessage{ToUser: "{{ id }}", Title: "Title", Message: "Hello"}
	})
	for _, name := range []string{"a-choice", "b-no-choice"} {
		var rule v1alpha1.NotificationRule
		s.must(kube.Get(t.Context(), client.ObjectKey{Namespace: s.activation.Namespace, Name: name}, &rule))
		s.must(s.store.SetPreference(t.Context(), ledger.Preference{Company: s.activation.Spec.Company, UserID: zoe, Rule: ledger.Rule{Name: rule.Namespace + "/" + rule.Name}}))
	}
	s.activation.Spec.PushEnabled = new(bool)
	s.must(kube.Update(t.Context(), s.activation))
	s.eventually("the catalog to know", func() error {
		known, err := rules.Activation(t.Context(), s.activation.Spec.Company)
		if err == nil && known.IsPushEnabled() {
			err = errors.New("push is enabled")
		}
		return err
	})
	for user, want := range map[string][]string{
		zoe: {
			"a-choice email skipped OptedOut", "a-choice system skipped OptedOut",
			"b-no-choice email pending", "b-no-choice system pending",
			"c-push push skipped PushDisabled", "c-push system pending",
		},
		joe: {
			"a-choice email pending", "a-choice system pending",
			"b-no-choice email pending", "b-no-choice system pending",
			"c-push push skipped PushDisabled", "c-push system pending",
		},
	} {
		s.accept(user, "user.update", `{"to":"user@example.com","id":"`+user+`"}`)
		var got []string
		for _, d := range s.deliveries(user, len(want)) {
			got = append(got, strings.TrimSpace(fmt.Sprintln(strings.TrimPrefix(d.RuleName, s.activation.Namespace+"/"), d.Channel, d.State, d.Reason)))
			if d.UserID != user || (d.Recipient != user && d.Channel != ledger.ChannelEmail) || (d.State == ledger.DeliverySkipped) != (d.Message != "") {
				t.Errorf("the delivery is %+v", d)
			}
			if d.State == ledger.DeliveryPending && d.Channel == ledger.ChannelSystem && d.Content.From+d.Content.HTML != "" {
				t.Errorf("the in-app message holds %+v", d.Content)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got  %q\nwant %q", user, got, want)
		}
	}
}

// A company without a system email sends in the name of its provider's sender.
func TestDispatchSenderOfTheProvider(t *testing.T) {
	s := newScene(t, "sender")
	s.rule("sends", "user.update", nil)
	s.activation.Status.CompanyInfo.SystemEmail = ""
	s.must(kube.Status().Update(t.Context(), s.activation))
	id := 0
	s.eventually("the provider's sender", func() error {
		id++
		s.accept(fmt.Sprint(id), "user.update", `{"to":"zoe@example.com"}`)
		if from := s.deliveries(fmt.Sprint(id), 1)[0].Content.From; from != "<provider@operator.example>" {
			return fmt.Errorf("the sender is %q", from)
		}
		return nil
	})
}

// senders are the sender of every company's provider.
type senders string

func (s senders) EmailSender(context.Context, *v1alpha1.CompanyActivation) (string, error) {
	return string(s), nil
}
