// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/notify"
)

// TestWebhook applies objects to an API server that calls the webhook.
func TestWebhook(t *testing.T) {
	r := serve(t)
	t.Run("refusals", testRefusals)
	t.Run("warnings", testWarnings)
	t.Run("layouts", testLayouts)
	t.Run("updates", testUpdates)
	t.Run("tests", testRuleTests)
	t.Run("scope", testScope)
	t.Run("large templates", testLargeTemplates)
	t.Run("slow and broken checks", func(t *testing.T) { testUnchecked(t, r) })
	t.Run("webhook away", func(t *testing.T) {
		r.stop()
		g := NewWithT(t)
		g.Expect(plane.Client.Create(t.Context(), rule("away", withText("{% if %}")))).To(Succeed())
	})
}

func testRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		object client.Object
		field  string
		want   string
	}{
		"template": {
			rule("refused", withText("Hello\n  {% iff status %}\n")), "spec.email.text",
			"spec.email.text, line 2, column 3: Invalid block tag on line 2: 'iff'. Did you forget to register or load this tag?\n" +
				"spec.email.text:\n    2 |   {% iff status %}\n      |   ^",
		},
		"expression": {
			rule("refused", func(r *v1alpha1.NotificationRule) { r.Spec.Expression = "'{{ status }}' !== 'Complete'" }), "spec.expression",
			"spec.expression, line 1, column 16: write != (=== and !== are JavaScript).\n" +
				"spec.expression:\n    1 | '{{ status }}' !== 'Complete'\n      |                ^",
		},
		"both": {
			rule("refused", withText("{{ a b }}"), func(r *v1alpha1.NotificationRule) { r.Spec.Expression = "1 +" }), "spec.expression", "; spec.email.text, line 1, column 1: ",
		},
		"recipient": {
			rule("refused", func(r *v1alpha1.NotificationRule) { r.Spec.Email.To = "joe" }), "spec.email.to", "spec.email.to: contains a recipient that ",
		},
		"region": {
			rule("refused", func(r *v1alpha1.NotificationRule) {
				r.Spec.Email, r.Spec.SMS = nil, &v1alpha1.SMSMessage{To: "1", DefaultRegion: "XX", Message: "m"}
			}), "spec.sms.defaultRegion", "spec.sms.defaultRegion: there is no region of this code",
		},
		"missing layout": {
			rule("refused", func(r *v1alpha1.NotificationRule) {
				r.Spec.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "none"}
			}), "spec.email.layoutRef", "spec.email.layoutRef: the NotificationLayout none does not exist in this namespace.",
		},
		"two channels": {
			rule("refused", func(r *v1alpha1.NotificationRule) { r.Spec.SMS = &v1alpha1.SMSMessage{To: "1", Message: "m"} }), "spec", "exactly one channel must be set",
		},
		"layout": {
			&v1alpha1.NotificationLayout{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "refused"},
				Spec:       v1alpha1.NotificationLayoutSpec{HTML: "<html>\n{{ contents }}</html>"},
			}, "spec.html", "spec.html: the layout does not contain the message: print it with {{ content }}.",
		},
		"template preset": {
			&v1alpha1.NotificationTemplate{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "refused"},
				Spec:       v1alpha1.NotificationTemplateSpec{NotificationSpec: v1alpha1.NotificationSpec{DisplayName: "T", SMS: &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "a\nb {{ x|nofilter }}"}}},
			}, "spec.sms.message", "spec.sms.message, line 2, column 3: Invalid filter: 'nofilter'.\nspec.sms.message:\n    2 | b {{ x|nofilter }}\n      |   ^",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := plane.Client.Create(t.Context(), test.object)
			g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			g.Expect(err.Error()).To(ContainSubstring(test.want))
			var status apierrors.APIStatus
			g.Expect(errors.As(err, &status)).To(BeTrue())
			var fields []string
			details := status.Status().Details
			shown := fmt.Sprintf("The %s %q is invalid:", details.Kind, details.Name)
			for _, cause := range details.Causes {
				fields = append(fields, cause.Field)
				g.Expect(cause.Message).NotTo(HavePrefix(cause.Field), "kubectl writes the field before it")
				shown += " " + cause.Field + ": " + cause.Message
			}
			if name != "two channels" {
				// kubectl shows the causes, not the message, so the line must be in them.
				g.Expect(shown).To(MatchRegexp(`^The Notification\w+ "refused" is invalid: spec`))
				if _, excerpt, found := strings.Cut(test.want, ":\n"); found {
					g.Expect(shown).To(ContainSubstring("\n" + excerpt))
				}
				g.Expect(fields).To(ContainElement(test.field))
				g.Expect(isRefused(err)).To(BeTrue())
			}
			if r, is := test.object.(*v1alpha1.NotificationRule); is && name != "two channels" {
				// The reconciler's message, which a test of the controllers compares.
				g.Expect(err.Error()).To(ContainSubstring(check.Rule(t.Context(), r, nil, notify.CompileLayout).Refusal()))
			}
		})
	}
}

func testWarnings(t *testing.T) {
	g := NewWithT(t)
	c, heard := user(t)
	r := rule("warned", func(r *v1alpha1.NotificationRule) {
		r.Spec.Event, r.Spec.Expression = "transaction.executed", "'{{ amount }}' > 5"
	})
	g.Expect(c.Create(t.Context(), r, client.DryRunAll)).To(Succeed())
	g.Expect(heard.take()).To(And(
		ContainSubstring("spec.event: no event transaction.executed is known: did you mean transaction.execute?"),
		ContainSubstring("spec.expression, line 1, column 1: amount in quotes is text"),
	))
	g.Expect(c.Create(t.Context(), rule("warned", withText("{{ user.firstname }}")), client.DryRunAll)).To(Succeed())
	g.Expect(heard.take()).To(Equal("spec.email.text, line 1, column 1: {{ user.firstname }} is not among the known fields of transaction.execute: did you mean {{ user.first_name }}?"))
	g.Expect(c.Create(t.Context(), rule("right"), client.DryRunAll)).To(Succeed())
	g.Expect(heard.take()).To(BeEmpty())
}

// testLayouts applies a rule and its layout as GitOps tools do: a dry run of both, then
// both.
func testLayouts(t *testing.T) {
	g := NewWithT(t)
	c, heard := user(t)
	r := rule("wrapped", func(r *v1alpha1.NotificationRule) {
		r.Spec.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "frame"}
	})
	layout := &v1alpha1.NotificationLayout{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "frame"}, Spec: v1alpha1.NotificationLayoutSpec{Text: "{{ content }}"},
	}
	for _, object := range []client.Object{layout, r} {
		g.Expect(c.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll)).To(Succeed())
	}
	g.Expect(heard.take()).To(Equal("spec.email.layoutRef: the NotificationLayout frame does not exist in this namespace."))
	g.Expect(c.Create(t.Context(), layout)).To(Succeed())
	g.Expect(c.Create(t.Context(), r)).To(Succeed())
	g.Expect(heard.take()).To(BeEmpty())

	// A layout of another channel can't be used.
	other := rule("misfit", func(r *v1alpha1.NotificationRule) {
		r.Spec.Email = nil
		r.Spec.SMS = &v1alpha1.SMSMessage{To: "+27840000000", Message: "m", LayoutRef: &v1alpha1.NotificationLayoutReference{Name: "frame"}}
	})
	g.Expect(c.Create(t.Context(), other)).To(MatchError(ContainSubstring("the NotificationLayout frame is for the channel email")))
}

// testUpdates has a rule that was broken before there was a webhook.
func testUpdates(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	asOperator, err := client.New(operator(), client.Options{Scheme: plane.Client.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	broken := rule("broken", withText("{% if %}"))
	broken.Finalizers = []string{"example.com/wait"}
	g.Expect(asOperator.Create(ctx, broken)).To(Succeed(), "the operator's own objects aren't checked")

	c, heard := user(t)
	patch := func(change func(*v1alpha1.NotificationRule), o ...client.PatchOption) error {
		changed := broken.DeepCopy()
		change(changed)
		return c.Patch(ctx, changed, client.MergeFrom(broken), o...)
	}
	g.Expect(patch(func(r *v1alpha1.NotificationRule) { r.Labels = map[string]string{"a": "b"} })).To(Succeed())
	changed := broken.DeepCopy()
	changed.Status.Variables = []string{"x"}
	g.Expect(c.Status().Patch(ctx, changed, client.MergeFrom(broken))).To(Succeed())
	g.Expect(heard.take()).To(BeEmpty())

	// Earlier mistakes may remain when something else changes.
	disabled := false
	g.Expect(patch(func(r *v1alpha1.NotificationRule) { r.Spec.Enabled = &disabled })).To(Succeed())
	g.Expect(heard.take()).To(ContainSubstring("spec.email.text, line 1, column 1: "))
	g.Expect(patch(func(r *v1alpha1.NotificationRule) { r.Spec.Email.Subject = "{{ x" + " y }}" })).To(MatchError(And(
		ContainSubstring("denied the request: spec.email.subject, line 1, column 1: "), Not(ContainSubstring("spec.email.text")))))
	g.Expect(patch(func(r *v1alpha1.NotificationRule) { r.Spec.Email.Text = "right" }, client.DryRunAll)).To(Succeed())

	// Server-side apply, with and without a change.
	apply := func(text string, o ...client.ApplyOption) error {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "NotificationRule",
			"metadata": map[string]any{"namespace": namespace, "name": "broken"},
			"spec":     map[string]any{"email": map[string]any{"text": text}},
		}}
		return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), append(o, client.FieldOwner("test"), client.ForceOwnership)...)
	}
	g.Expect(apply("{% if %}")).To(Succeed())
	g.Expect(apply("{% for %}", client.DryRunAll)).To(MatchError(ContainSubstring("denied the request: spec.email.text")))
	g.Expect(apply("{% for %}")).To(MatchError(ContainSubstring("denied the request: spec.email.text")))

	// Deleting, and removing the finalizer, always work.
	g.Expect(c.Delete(ctx, broken)).To(Succeed())
	g.Expect(c.Get(ctx, client.ObjectKeyFromObject(broken), broken)).To(Succeed())
	g.Expect(patch(func(r *v1alpha1.NotificationRule) { r.Finalizers = nil })).To(Succeed())
	g.Expect(apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(broken), broken))).To(BeTrue())
}

// testRuleTests applies a rule whose tests fail, which is refused, and one whose tests
// pass, which is stored with its events unchanged.
func testRuleTests(t *testing.T) {
	g := NewWithT(t)
	apply := func(expected string) error {
		object := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal([]byte(`
apiVersion: extensions.rehive.com/v1alpha1
kind: NotificationRule
metadata: {name: tested, namespace: rehive-system}
spec:
  companyRef: {name: shop}
  displayName: Tested
  event: transaction.execute
  expression: "'{{ status }}' == 'Complete' and '{{ parent }}' == 'None'"
  email: {to: "{{ user.email }}", subject: "Note {{ note }}", text: "You received {{ amount|money:2 }}"}
  tests:
  - name: a payment
    event: {changes: {amount: 2500, parent: null, note: null, metadata: {a: [1, null]}}}
    expect:
      recipients: [lena@example.com]
      subject: {equals: Note None}
      text: {equals: "`+expected+`"}
  - name: pending
    event: {changes: {status: Pending}}
    expect: {sent: false, reason: ExpressionFalse}
`), object)).To(Succeed())
		return plane.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"))
	}
	g.Expect(apply("You paid 25.00")).To(MatchError(ContainSubstring(
		`denied the request: spec.tests[0]: the test "a payment" fails: text, line 1: is "You received 25.00" and must be "You paid 25.00".` +
			"\nspec.tests[0]:\n- You paid 25.00\n+ You received 25.00")))
	g.Expect(apply("You received 25.00")).To(Succeed())
	var stored v1alpha1.NotificationRule
	g.Expect(plane.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "tested"}, &stored)).To(Succeed())
	g.Expect(stored.Spec.Tests).To(HaveLen(2))
	g.Expect(stored.Spec.Tests[0].Event.Changes.Raw).To(MatchJSON(`{"amount":2500,"parent":null,"note":null,"metadata":{"a":[1,null]}}`))
	generation := stored.Generation
	g.Expect(apply("You received 25.00")).To(Succeed())
	g.Expect(plane.Client.Get(t.Context(), client.ObjectKeyFromObject(&stored), &stored)).To(Succeed())
	g.Expect(stored.Generation).To(Equal(generation))

	wrong := stored.DeepCopy()
	wrong.Spec.Tests[1].Expect.Sent = nil
	g.Expect(plane.Client.Update(t.Context(), wrong)).To(MatchError(ContainSubstring("reason must not be set unless sent is false")))
}

// testScope applies objects in a namespace that the operator doesn't watch.
func testScope(t *testing.T) {
	g := NewWithT(t)
	elsewhere := rule("elsewhere", withText("{% if %}"))
	elsewhere.Namespace = unwatched
	g.Expect(dryRun(t, elsewhere)).To(Succeed())
}

// testLargeTemplates applies the largest possible templates, in forms that are costly to
// parse. Their check must end well within its time limit on a machine that does nothing
// else, so the time of the processor is measured.
func testLargeTemplates(t *testing.T) {
	c, _ := user(t)
	for name, text := range map[string]string{
		"variables": strings.Repeat("{{ a }}", 262144/7),
		"unknown":   strings.Repeat("{{ a.b.c.d.e.f.g.h }}", 262144/21),
		"filters":   "{{ a" + strings.Repeat("|upper", 262144/6-2) + "}}",
		"nesting":   strings.Repeat("{% if a %}", 12000) + strings.Repeat("{% endif %}", 12000),
		"unclosed":  strings.Repeat("{% if a %}", 26000),
		"newlines":  strings.Repeat("\n", 262000) + "{% if %}",
		"text":      strings.Repeat("a", 262144),
		"braces":    strings.Repeat("{", 262144),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			large := rule("large", withText(text))
			took := metertest.Measure(func() { check.Rule(t.Context(), large.DeepCopy(), nil, notify.CompileLayout) })
			g.Expect(took).To(BeNumerically("<", judgeTime/2*time.Duration(metertest.Slowdown)))
			err := c.Create(t.Context(), large, client.DryRunAll)
			t.Logf("%s: %.100v", took, err)
			g.Expect(err == nil || isRefused(err)).To(BeTrue(), "%v", err)
			if err != nil {
				g.Expect(len(err.Error())).To(BeNumerically("<", 8<<10))
			}
		})
	}
}

// testUnchecked replaces the check by one that hangs, fails or panics.
func testUnchecked(t *testing.T, r *replica) {
	g := NewWithT(t)
	c, heard := user(t)
	judge := r.webhook.check
	defer func() { r.webhook.check = judge }()

	release := make(chan struct{})
	hanging := make(chan struct{}, 100)
	r.webhook.check = func(context.Context, string, []byte, []byte, bool) (judgment, error) {
		hanging <- struct{}{}
		<-release
		return judgment{refusal: "too late"}, nil
	}
	g.Expect(c.Create(t.Context(), rule("slow"), client.DryRunAll)).To(Succeed())
	g.Expect(heard.take()).To(Equal("accepted unchecked, because it takes longer than 2s. Its condition Ready reports whether it works."))
	// Abandoned checks still occupy slots, of which a namespace has half.
	for range concurrentReviews {
		g.Expect(c.Create(t.Context(), rule("slow"), client.DryRunAll)).To(Succeed())
	}
	g.Expect(heard.take()).To(ContainSubstring("accepted unchecked, because the operator is busy."))
	for range concurrentReviews / 2 {
		<-hanging
	}
	g.Expect(hanging).To(BeEmpty())
	close(release)

	r.webhook.check = func(context.Context, string, []byte, []byte, bool) (judgment, error) { panic("customer data") }
	g.Eventually(func() string {
		g.Expect(c.Create(t.Context(), rule("panics"), client.DryRunAll)).To(Succeed())
		return heard.take()
	}).WithTimeout(3 * time.Minute).Should(Equal("accepted unchecked, because the check failed. Its condition Ready reports whether it works."))
}
