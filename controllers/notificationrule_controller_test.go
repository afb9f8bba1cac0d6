// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	f.Eventually(f.condition(sms, v1alpha1.ReadyCondition)).Should(Equal(validButAwaiting))

	silent := f.rule("silent", "")
	f.create(silent)
	f.Eventually(f.condition(silent, v1alpha1.ReadyCondition)).Should(Equal("False/NoEvent"))
	f.Expect(verdictOf(silent, v1alpha1.StalledCondition)).To(BeEmpty())
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
