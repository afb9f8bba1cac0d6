// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/providers"
	"github.com/rehive/extension-operator/test/controlplane"
)

// TestActivity checks that the statuses show what a real ledger contains.
func TestActivity(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	const namespace, company = "activity", "activity_shop"
	g.Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
	holder := &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop"}, Spec: v1alpha1.CompanyActivationSpec{Company: company}}
	rule := &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "payment"},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef:       v1alpha1.CompanyActivationReference{Name: "shop"},
			NotificationSpec: v1alpha1.NotificationSpec{DisplayName: "Payment", SMS: &v1alpha1.SMSMessage{To: "+15005550006", Message: "m"}},
		},
	}
	g.Expect(k8s.Create(ctx, holder)).To(Succeed())
	g.Expect(k8s.Create(ctx, rule)).To(Succeed())
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "ledger.db"), ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(store.Close()).To(Succeed()) })
	message := func(rule, to string) ledger.NewDelivery {
		return ledger.NewDelivery{RuleName: rule, Channel: ledger.ChannelSMS, Recipient: to, Content: ledger.Content{Text: "m"}}
	}
	_, err = store.AcceptEvent(ctx, ledger.Event{Company: company, ID: "1", Name: "transaction.execute", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	events, err := store.ClaimEvents(ctx, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	const name = namespace + "/payment"
	g.Expect(store.CompleteEvent(ctx, events[0], []ledger.NewDelivery{
		message(name, "+15005550006"), message(name, "+15005550007"), message(name, "+15005550008"), message(namespace+"/deleted", "+15005550006"),
	})).To(Succeed())
	claimed, err := store.ClaimDeliveries(ctx, ledger.Claim{Limit: 4, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(4))
	g.Expect(store.MarkSent(ctx, claimed[0], "")).To(Succeed())
	g.Expect(store.FailDelivery(ctx, claimed[1], "Refused", "No.")).To(Succeed())
	g.Expect(store.FailDelivery(ctx, claimed[3], "Refused", "No.")).To(Succeed())
	_, _, err = store.Spend(ctx, company, 3, ledger.Quota{Channel: ledger.ChannelSMS, Scope: ledger.ScopeCompany, Limit: 10})
	g.Expect(err).NotTo(HaveOccurred())

	now := time.Now().Add(activityDelay + time.Second)
	leader := func() *activityReporter {
		return newActivityReporter(k8s, store, activation.AllNamespaces(), providers.DefaultLimits(), func() time.Time { return now }, logr.Discard())
	}
	first := leader()
	observe := func(r *activityReporter) (v1alpha1.RuleActivity, v1alpha1.CompanyActivity) {
		t.Helper()
		g.Expect(r.round(ctx)).To(Succeed())
		g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(rule), rule)).To(Succeed())
		g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(holder), holder)).To(Succeed())
		return rule.Status.Activity, holder.Status.Activity
	}
	ofRule, ofCompany := observe(first)
	g.Expect([]int64{ofRule.SentLastDay, ofRule.FailedLastDay}).To(Equal([]int64{1, 1}))
	g.Expect(ofRule.LastSentTime.Time).To(BeTemporally("~", time.Now(), time.Minute))
	g.Expect(ofRule.LastFailureReason).To(Equal("Refused"))
	g.Expect([]int64{ofCompany.Pending, ofCompany.SentLastDay, ofCompany.FailedLastDay}).To(Equal([]int64{1, 1, 2}), "with the rule that was deleted")
	limit := providers.DefaultLimits()[v1alpha1.ChannelSMS].Company
	g.Expect(ofCompany.Charged).To(Equal([]v1alpha1.ChargedMessages{{Channel: "sms", Messages: 3, Limit: &limit}}))
	g.Expect(ofCompany.QuotaUse).To(Equal("sms 3/10000"))

	// An unchanged status is not written again, not even by the next leader.
	second := leader()
	for _, r := range []*activityReporter{first, second} {
		now = now.Add(time.Second)
		againRule, againCompany := observe(r)
		g.Expect(againRule.ObservedTime.Time).To(BeTemporally("==", ofRule.ObservedTime.Time))
		g.Expect(againCompany.ObservedTime.Time).To(BeTemporally("==", ofCompany.ObservedTime.Time))
	}

	// The company gets a lower quota, while nothing is sent.
	lower := int64(5)
	before := holder.DeepCopy()
	holder.Spec.Quotas.SMS = &v1alpha1.SMSQuota{ChannelQuota: v1alpha1.ChannelQuota{PerDay: &lower}}
	g.Expect(k8s.Patch(ctx, holder, client.MergeFrom(before))).To(Succeed())
	_, ofCompany = observe(second)
	g.Expect(ofCompany.QuotaUse).To(Equal("sms 3/5"))

	// A message that ends later is counted then, and a reconciler that has read an older
	// status leaves the counts alone.
	older := rule.DeepCopy()
	g.Expect(store.MarkSent(ctx, claimed[2], "")).To(Succeed())
	ofRule, ofCompany = observe(second)
	g.Expect(ofRule.SentLastDay).To(Equal(int64(2)))
	g.Expect([]int64{ofCompany.Pending, ofCompany.SentLastDay}).To(Equal([]int64{0, 2}))
	changed := older.DeepCopy()
	changed.Status.ObservedGeneration = 7
	g.Expect(k8s.Status().Patch(ctx, changed, client.MergeFrom(older))).To(Succeed())
	ofRule, _ = observe(second)
	g.Expect(rule.Status.ObservedGeneration).To(Equal(int64(7)))
	g.Expect(ofRule.SentLastDay).To(Equal(int64(2)))

	// After a day without messages, the counts are 0, and the last ones are still known.
	for _, r := range []*activityReporter{second, leader()} {
		now = now.Add(25 * time.Hour)
		ofRule, ofCompany = observe(r)
		g.Expect([]int64{ofRule.SentLastDay, ofRule.FailedLastDay, ofCompany.SentLastDay, ofCompany.FailedLastDay}).To(Equal([]int64{0, 0, 0, 0}))
		g.Expect(ofRule.LastSentTime).NotTo(BeNil())
		g.Expect(ofRule.LastFailureReason).To(Equal("Refused"))
	}
}

// hungLedger never answers.
type hungLedger struct{ ledger.Activity }

func (hungLedger) LastBefore(ctx context.Context, _ time.Time) (int64, error) {
	<-ctx.Done()
	return 0, fmt.Errorf("reading the log: %w", ctx.Err())
}

// TestActivityOfHungLedger expects a log entry about a ledger that does not answer within a
// round, and none when the manager stops.
func TestActivityOfHungLedger(t *testing.T) {
	g := NewWithT(t)
	ctx, stop := context.WithCancel(t.Context())
	entries := make(chan string)
	log := funcr.New(func(_, entry string) {
		select {
		case entries <- entry:
		case <-ctx.Done():
			t.Errorf("logged after the end: %s", entry)
		}
	}, funcr.Options{})
	r := newActivityReporter(k8s, hungLedger{}, activation.AllNamespaces(), providers.DefaultLimits(), time.Now, log)
	r.interval = 10 * time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- r.Start(ctx) }()
	g.Eventually(entries, "1m").Should(Receive(ContainSubstring("reading the log: context deadline exceeded")))
	stop()
	g.Eventually(ended, "1m").Should(Receive(Succeed()))
}

// busyLedger has one sent message of each of many companies, and one more in each round.
type busyLedger struct {
	ledger.Activity
	companies int
	rounds    int
}

func (b *busyLedger) LastBefore(context.Context, time.Time) (int64, error) { return 0, nil }

func (b *busyLedger) ProgressOf(context.Context, []int64) ([]ledger.Progress, error) { return nil, nil }

func (b *busyLedger) ProgressAfter(_ context.Context, after int64, _ time.Time, limit int) (found []ledger.Progress, err error) {
	for id := after + 1; id <= int64(b.rounds*b.companies) && len(found) < limit; id++ {
		n := id % int64(b.companies)
		found = append(found, ledger.Progress{ID: id, Company: fmt.Sprint("company", n), RuleName: fmt.Sprint("busy/rule", n), State: ledger.DeliverySent, UpdatedAt: time.Now()})
	}
	return found, nil
}

func (b *busyLedger) PendingByCompany(context.Context) (map[string]int64, error) {
	pending := make(map[string]int64)
	for n := range b.companies {
		pending[fmt.Sprint("company", n)] = int64(b.rounds)
	}
	return pending, nil
}

func (b *busyLedger) SpentByCompany(context.Context) (map[string]map[string]int64, error) {
	return nil, nil // nothing was charged
}

// TestActivityOfManyCompanies counts what is written when 10,000 companies are active at once:
// fewer than 20 statuses per second, and none again before all others had their turn.
func TestActivityOfManyCompanies(t *testing.T) {
	g := NewWithT(t)
	const companies, sample = 10_000, 60
	written := make(map[string]int)
	var objects []client.Object
	for n := range sample { // the others were deleted
		objects = append(objects,
			&v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: "busy", Name: fmt.Sprint("company", n)}, Spec: v1alpha1.CompanyActivationSpec{Company: fmt.Sprint("company", n)}},
			&v1alpha1.NotificationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "busy", Name: fmt.Sprint("rule", n)}})
	}
	c := fake.NewClientBuilder().WithScheme(controlplane.Scheme()).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.CompanyActivation{}, &v1alpha1.NotificationRule{}).
		WithIndex(&v1alpha1.CompanyActivation{}, activation.CompanyField, func(o client.Object) []string {
			return []string{o.(*v1alpha1.CompanyActivation).Spec.Company}
		}).
		WithInterceptorFuncs(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			// The manager's cache has an index, and this client looks at every object.
			var options client.ListOptions
			options.ApplyOptions(opts)
			if options.FieldSelector != nil {
				company, _ := options.FieldSelector.RequiresExactMatch(activation.CompanyField)
				var n int
				if _, err := fmt.Sscanf(company, "company%d", &n); err != nil || n >= sample {
					return err
				}
			}
			return c.List(ctx, list, opts...)
		}, SubResourcePatch: func(ctx context.Context, c client.Client, subresource string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			written[o.GetName()]++
			return c.SubResource(subresource).Patch(ctx, o, p, opts...)
		}}).Build()
	busy := &busyLedger{companies: companies}
	r := newActivityReporter(c, busy, activation.AllNamespaces(), providers.DefaultLimits(), time.Now, logr.Discard())
	begin := time.Now()
	total := 0
	for total < 2*sample { // every object is due again in each round
		busy.rounds++
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		g.Expect(r.round(ctx)).To(Succeed())
		cancel()
		total = 0
		for _, n := range written {
			total += n
		}
		g.Expect(time.Since(begin)).To(BeNumerically("<", 5*time.Minute), "%d statuses were written", total)
	}
	g.Expect(float64(total) / time.Since(begin).Seconds()).To(BeNumerically("<", 20))
	g.Expect(written).To(HaveLen(2*sample), "some were written again before others were at all")
}
