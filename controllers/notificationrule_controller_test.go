// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/notify"
)

// recordedEvents is an events.EventRecorder that collects the reasons.
type recordedEvents struct{ reasons []string }

func (r *recordedEvents) Eventf(_, _ runtime.Object, _, reason, _, _ string, _ ...any) {
	r.reasons = append(r.reasons, reason)
}

func TestRuleStatus(t *testing.T) {
	f := newFixture(t)
	f.declare("shop")
	rule := f.rule("good", "transaction.execute")
	rule.Spec.Expression = "'{{ status }}' == 'Complete'"
	f.create(rule)
	f.Expect(rule.Status.ObservedGeneration).To(Equal(int64(-1)), "the API server's default")
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))
	f.Expect(verdictOf(rule, v1alpha1.TemplatesParsedCondition)).To(Equal("True/Parsed"))
	f.Expect(verdictOf(rule, v1alpha1.ExpressionParsedCondition)).To(Equal("True/Parsed"))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(BeEmpty())
	f.Expect(rule.Status.ObservedGeneration).To(Equal(rule.Generation))
	f.Expect(rule.Status.Variables).To(Equal([]string{"status", "user.email", "user.first_name"}))
}

func TestRuleErrorsHavePositions(t *testing.T) {
	f := newFixture(t)
	f.declare("shop")
	rule := f.rule("broken", "transaction.execute")
	rule.Spec.Expression = "'{{ status }}' =="
	rule.Spec.Email.Text = "first line\n  {% if %}"
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/SyntaxError"))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(Equal("True/SyntaxError"))
	f.Expect(verdictOf(rule, v1alpha1.TemplatesParsedCondition)).To(Equal("False/SyntaxError"))
	f.Expect(messageOf(rule, v1alpha1.TemplatesParsedCondition)).To(HavePrefix("spec.email.text, line 2, column 3: "))
	f.Expect(verdictOf(rule, v1alpha1.ExpressionParsedCondition)).To(Equal("False/SyntaxError"))
	f.Expect(messageOf(rule, v1alpha1.ExpressionParsedCondition)).To(HavePrefix("spec.expression"))
	f.Eventually(f.events(rule)).Should(ContainElement("InvalidRule"))
	// The admission webhook refuses with the same sentence.
	f.Expect(messageOf(rule, v1alpha1.ReadyCondition)).To(Equal(check.Rule(f.ctx, rule, nil, notify.CompileLayout).Refusal()))

	f.change(rule, func() { rule.Spec.Expression, rule.Spec.Email.Text = "", "mended" })
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(BeEmpty())
	f.Expect(rule.Status.ObservedGeneration).To(Equal(rule.Generation))
}

// TestRuleWithWarnings checks that a rule with a probable mistake is in effect, and reports
// the mistake until it is fixed.
func TestRuleWithWarnings(t *testing.T) {
	f := newFixture(t)
	f.activate(f.admin.Token)
	rule := f.rule("warned", "user.update")
	rule.Spec.Email.To = "{{ email }}"
	rule.Spec.Expression = "'{{ status }}' == 'Verified'"
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
	f.Expect(f.condition(rule, v1alpha1.WarningsCondition)()).To(Equal("True/ProbableMistakes"))
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(rule), rule)).To(Succeed())
	f.Expect(messageOf(rule, v1alpha1.WarningsCondition)).To(Equal("spec.expression, line 1, column 19: status is never 'Verified': write 'verified'; " +
		"spec.email.text, line 1, column 7: {{ user.first_name }} is not among the known fields of user.update: write {{ first_name }}, because the data is the user itself."))

	f.change(rule, func() {
		rule.Spec.Expression, rule.Spec.Email.Text = "'{{ status }}' == 'verified'", "Hello {{ first_name }}"
	})
	f.Eventually(f.condition(rule, v1alpha1.WarningsCondition)).Should(BeEmpty())
	f.Expect(f.condition(rule, v1alpha1.ReadyCondition)()).To(Equal("True/Valid"))
}

// TestRuleTests reports tests that fail, and leaves the rule in force: they may fail because
// the operator was upgraded.
func TestRuleTests(t *testing.T) {
	f := newFixture(t)
	f.activate(f.admin.Token)
	rule := f.rule("tested", "user.update")
	rule.Spec.Email.To, rule.Spec.Email.Text = "{{ email }}", "Hello {{ first_name }}"
	greeting := "Hello Lena"
	rule.Spec.Tests = []v1alpha1.RuleTest{{Name: "greets", Expect: v1alpha1.RuleTestExpectation{Text: &v1alpha1.TextExpectation{Equals: &greeting}}}}
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.TestsPassedCondition)).Should(Equal("True/Passed"))

	f.change(rule, func() { rule.Spec.Email.Text = "Dear {{ first_name }}" })
	f.Eventually(f.condition(rule, v1alpha1.TestsPassedCondition)).Should(Equal("False/TestsFailed"))
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(rule), rule)).To(Succeed())
	f.Expect(messageOf(rule, v1alpha1.TestsPassedCondition)).To(Equal(`spec.tests[0]: the test "greets" fails: text, line 1: is "Dear Lena" and must be "Hello Lena".`))
	f.Expect(verdictOf(rule, v1alpha1.ReadyCondition)).To(Equal("True/Valid"))
	f.Eventually(f.events(rule)).Should(ContainElement("TestsFailed"))

	f.change(rule, func() { rule.Spec.Tests = nil })
	f.Eventually(f.condition(rule, v1alpha1.TestsPassedCondition)).Should(BeEmpty())
}

func TestRuleWithMissingActivation(t *testing.T) {
	f := newFixture(t)
	rule := f.rule("early", "transaction.execute")
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/CompanyActivationNotFound"))
	f.Expect(messageOf(rule, v1alpha1.ReadyCondition)).To(ContainSubstring("the CompanyActivation shop"))
	f.Expect(verdictOf(rule, v1alpha1.TemplatesParsedCondition)).To(Equal("True/Parsed"), "it must be parsed anyway")
	f.declare("shop")
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))
}

func TestDisabledRule(t *testing.T) {
	f := newFixture(t)
	f.declare("shop")
	rule, disabled := f.rule("off", "transaction.execute"), false
	rule.Spec.Enabled = &disabled
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Disabled"))
}

// TestMutedRule checks that the status of a rule says that it is muted, by whom and why, and
// that this ends by itself.
func TestMutedRule(t *testing.T) {
	f := newFixture(t)
	f.activate(f.admin.Token)
	rule := f.rule("muted", "transaction.execute")
	rule.Spec.MutedUntil, rule.Spec.MutedBy, rule.Spec.MuteReason = &metav1.Time{Time: time.Now().Add(time.Hour)}, "alice", "wrong amounts"
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Muted"))
	f.Expect(messageOf(rule, v1alpha1.ReadyCondition)).To(MatchRegexp(`^The rule is valid, but muted: spec\.mutedUntil is 20\S+Z, set by alice: wrong amounts\.$`))

	f.change(rule, func() { rule.Spec.MutedUntil.Time = time.Now().Add(3 * time.Second) })
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
}

// TestRuleThatCannotMatch checks that the status of a rule says why it can't match events.
func TestRuleThatCannotMatch(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	sms := f.rule("sms", "transaction.execute")
	sms.Spec.Email, sms.Spec.SMS = nil, &v1alpha1.SMSMessage{To: "{{ user.mobile }}", Message: "Hello"}
	f.create(sms)
	f.Eventually(f.condition(sms, v1alpha1.ReadyCondition)).Should(Equal("False/NoProvider"))
	f.Expect(verdictOf(sms, v1alpha1.StalledCondition)).To(Equal("True/NoProvider"))
	f.Expect(messageOf(sms, v1alpha1.ReadyCondition)).To(Equal("No provider can send the messages of this rule: name a DeliveryProvider in spec.providers.sms " +
		"of the CompanyActivation shop, or a default one with the operator's flag --default-sms-provider."))
	f.change(a, func() {
		a.Spec.Providers.SMS = &v1alpha1.DeliveryProviderReference{Name: "twilio"}
	})
	f.Eventually(f.condition(sms, v1alpha1.ReadyCondition)).Should(Equal("False/ProviderNotReady"))
	f.Expect(messageOf(sms, v1alpha1.ReadyCondition)).To(HavePrefix("The DeliveryProvider twilio doesn't exist. "))

	silent := f.rule("silent", "")
	f.create(silent)
	f.Eventually(f.condition(silent, v1alpha1.ReadyCondition)).Should(Equal("False/NoEvent"))
	f.Expect(verdictOf(silent, v1alpha1.StalledCondition)).To(BeEmpty())
}

// TestRuleFollowsItsProvider checks that a rule says why its providers can't send, and is in
// effect again as soon as one of them can.
func TestRuleFollowsItsProvider(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	f.change(a, func() { a.Spec.Providers.SMS = &v1alpha1.DeliveryProviderReference{Name: "sms"} })
	rule := f.rule("code", "transaction.execute")
	rule.Spec.Email, rule.Spec.SMS = nil, &v1alpha1.SMSMessage{To: "{{ user.mobile }}", Message: "Hello"}
	f.create(rule)
	email := f.rule("mail", "transaction.execute")
	f.create(email)
	ready, message := f.condition(rule, v1alpha1.ReadyCondition), func() string {
		f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(rule), rule)).To(Succeed())
		return messageOf(rule, v1alpha1.ReadyCondition)
	}
	f.Eventually(ready).Should(Equal("False/ProviderNotReady"))
	right := secrets.add("right-" + f.namespace)
	_, p := f.twilio(right)
	f.create(p)
	f.Eventually(message).Should(HavePrefix("The DeliveryProvider sms can't send (SecretNotFound): "))
	f.Expect(message()).To(HaveSuffix(" Messages of this rule stay pending until that is fixed."))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(Equal("True/ProviderNotReady"))
	operators := &notificationRuleReconciler{Client: k8s, defaults: map[v1alpha1.Channel]types.NamespacedName{v1alpha1.ChannelSMS: client.ObjectKeyFromObject(p)}}
	problem, err := operators.providerProblem(f.ctx, &v1alpha1.CompanyActivation{}, v1alpha1.ChannelSMS)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(problem.message).To(Equal(fmt.Sprintf("The operator's DeliveryProvider %s/sms can't send (SecretNotFound): its status says why. Messages of this rule stay pending until that is fixed.", f.namespace)))
	secret := f.providerSecret("twilio", map[string]string{"accountSid": twilioSID, "authToken": secrets.add("wrong-" + f.namespace)})
	f.Eventually(message).Should(HavePrefix("The DeliveryProvider sms can't send (CredentialsRefused): "))
	f.change(secret, func() { secret.StringData = map[string]string{"authToken": right} })
	f.Eventually(ready).Should(Equal(validButAwaiting))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(BeEmpty())

	f.change(p, func() { p.Spec = v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}} })
	f.Eventually(message).Should(HavePrefix("The DeliveryProvider sms has the type expo, which doesn't send sms. "))
	_, second := f.twilio(right)
	second.Name = "second"
	f.create(second)
	f.change(a, func() { a.Spec.Providers.SMS.Fallbacks = []string{"second"} })
	f.Eventually(ready).Should(Equal(validButAwaiting))
	f.Expect(k8s.Delete(f.ctx, second)).To(Succeed())
	f.Eventually(message).Should(ContainSubstring("has the type expo, which doesn't send sms. The DeliveryProvider second doesn't exist. "))
	f.Expect(f.condition(email, v1alpha1.ReadyCondition)()).To(Equal(validButAwaiting))
}

// TestRulesOfProvider checks that a change of a provider concerns the rules that send through
// it, and no others.
func TestRulesOfProvider(t *testing.T) {
	g := NewWithT(t)
	company := func(namespace string, sms *v1alpha1.DeliveryProviderReference) *v1alpha1.CompanyActivation {
		a := &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop"}}
		a.Spec.Providers.SMS = sms
		return a
	}
	var objects []client.Object
	for namespace, sms := range map[string]*v1alpha1.DeliveryProviderReference{
		"own": {Name: "twilio"}, "second": {Name: "other", Fallbacks: []string{"twilio"}}, "none": nil, "none-too": nil,
	} {
		objects = append(objects, company(namespace, sms))
		for name, spec := range map[string]v1alpha1.NotificationSpec{"sms": {SMS: &v1alpha1.SMSMessage{}}, "email": {Email: &v1alpha1.EmailMessage{}}} {
			objects = append(objects, &v1alpha1.NotificationRule{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				Spec:       v1alpha1.NotificationRuleSpec{CompanyRef: v1alpha1.CompanyActivationReference{Name: "shop"}, NotificationSpec: spec},
			})
		}
	}
	listing := fake.NewClientBuilder().WithScheme(k8s.Scheme()).WithObjects(objects...).
		WithIndex(&v1alpha1.CompanyActivation{}, ActivationProviderField, providerIndex).
		WithIndex(&v1alpha1.NotificationRule{}, RuleActivationField, func(o client.Object) []string {
			return []string{o.(*v1alpha1.NotificationRule).Spec.CompanyRef.Name}
		}).Build()
	r := &notificationRuleReconciler{Client: listing, defaults: map[v1alpha1.Channel]types.NamespacedName{
		v1alpha1.ChannelSMS: {Namespace: "system", Name: "default"},
	}}
	for key, want := range map[types.NamespacedName][]string{
		{Namespace: "own", Name: "twilio"}:     {"own/sms"},
		{Namespace: "second", Name: "twilio"}:  {"second/sms"},
		{Namespace: "none", Name: "twilio"}:    nil,
		{Namespace: "system", Name: "default"}: {"none/sms", "none-too/sms"},
		{Namespace: "none", Name: "default"}:   nil,
	} {
		var got []string
		for _, request := range r.rulesOfProvider(t.Context(), &v1alpha1.DeliveryProvider{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}) {
			got = append(got, request.String())
		}
		g.Expect(got).To(ConsistOf(want), "%s", key)
	}
}

// TestProviderChangesThatRulesIgnore checks that rules aren't examined for changes of a provider
// that don't change whether they can send.
func TestProviderChangesThatRulesIgnore(t *testing.T) {
	g := NewWithT(t)
	with := func(status metav1.ConditionStatus, reason, message string) *v1alpha1.DeliveryProvider {
		p := &v1alpha1.DeliveryProvider{Spec: v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}}}
		setReady(p, verdict{status, reason, message}, false)
		return p
	}
	ready, outage, refused := with("True", "Verified", "Good."), with("Unknown", "ProviderUnavailable", "Later."), with("False", "CredentialsRefused", "No.")
	r := &notificationRuleReconciler{}
	watched := r.providerFaultChanged()
	changed := func(before, after *v1alpha1.DeliveryProvider) bool {
		return watched.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
	g.Expect(changed(ready, outage)).To(BeFalse())
	g.Expect(changed(outage, ready)).To(BeFalse())
	g.Expect(changed(ready, refused)).To(BeTrue())
	g.Expect(changed(refused, outage)).To(BeTrue())
	g.Expect(changed(refused, refused)).To(BeFalse())
	g.Expect(changed(refused, with("False", "SecretNotFound", "No."))).To(BeTrue())
	otherwise := with("False", "CredentialsRefused", "No: 17.")
	g.Expect(changed(refused, otherwise)).To(BeTrue())
	r.defaults = map[v1alpha1.Channel]types.NamespacedName{v1alpha1.ChannelPush: {}}
	g.Expect(changed(refused, otherwise)).To(BeFalse(), "the rules of all companies don't say it")
	g.Expect(changed(ready, otherwise)).To(BeTrue())
	moved := ready.DeepCopy()
	moved.Spec = v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{}}
	g.Expect(changed(ready, moved)).To(BeTrue())
	g.Expect(watched.Create(event.CreateEvent{Object: ready, IsInInitialList: true})).To(BeFalse())
	g.Expect(watched.Create(event.CreateEvent{Object: ready})).To(BeTrue())
	g.Expect(watched.Delete(event.DeleteEvent{Object: ready})).To(BeTrue())
}

// TestJudgeRuleStaysWithinLimits uses more variables than fit into a status.
func TestJudgeRuleStaysWithinLimits(t *testing.T) {
	g := NewWithT(t)
	rule := &v1alpha1.NotificationRule{}
	judgeRule(rule, companyState{}, &notify.Compiled{
		Problems: slices.Repeat(notify.Problems{{Field: "spec.email.html", Line: 1, Column: 1, Message: strings.Repeat("ü", 300)}}, 100),
	}, time.Now())
	for _, condition := range rule.Status.Conditions {
		g.Expect(len([]rune(condition.Message))).To(BeNumerically("<=", maxMessageRunes))
	}
}

// TestOverwrittenVerdict checks that the verdict about a rule is restored at once after somebody
// overwrote it. A verdict that was older than another one in the cache is the same case.
func TestOverwrittenVerdict(t *testing.T) {
	f := newFixture(t)
	f.declare("shop")
	rule := f.rule("receipt", "transaction.execute")
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))
	before := rule.DeepCopy()
	set(rule, v1alpha1.ReadyCondition, verdict{metav1.ConditionTrue, "Fine", "Somebody says so."})
	f.Expect(k8s.Status().Patch(f.ctx, rule, client.MergeFrom(before))).To(Succeed())
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))
}
