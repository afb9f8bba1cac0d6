// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/providers"
)

const (
	// activityInterval is how often the status is brought up to date.
	activityInterval = time.Minute
	// activityDelay is how old a message must be to be counted: most have ended by then, and
	// those that were stored concurrently are visible.
	activityDelay = 30 * time.Second
	// activityWrites is how many statuses are written per second. The others wait for the next
	// round, those that were written longest ago first.
	activityWrites = 10
	// maxUnended is how many messages are remembered that had not ended when they were
	// counted. Others are not counted.
	maxUnended = 100_000
	// maxTallies is how many rules are counted.
	maxTallies = 200_000
	day        = 24 // hours
)

// activityReporter counts sent and failed messages in the status of rules and activations.
// It reads the ledger once for all companies, what is new since the last round, and keeps
// the counts in memory: a leader begins with the last day. It writes only the fields
// status.activity, which no reconciler does. It is a manager.Runnable for the leader.
type activityReporter struct {
	client     client.Client
	ledger     ledger.Activity
	namespaces activation.Namespaces
	limits     providers.Limits
	log        logr.Logger
	now        func() time.Time
	writes     *rate.Limiter
	interval   time.Duration // activityInterval except in tests

	next    int64 // the ID up to which messages are counted
	begun   bool
	unended map[int64]struct{}
	tallies map[string]map[string]*tally // by company and rule
	tallied int                          // how many there are
	// stale are objects whose status may differ from the counts.
	staleRules     map[tallyKey]struct{}
	staleCompanies map[string]struct{}
	pending        map[string]int64
	spent          map[string]map[string]int64
	hour           int64
	written        map[any]time.Time // by tallyKey or company
}

// tallyKey is a rule, as namespace/name, of a company.
type tallyKey struct{ company, rule string }

// tally counts the messages of a rule.
type tally struct {
	hours [day]struct{ sent, failed int64 } // by hour modulo day
	hour  int64                             // the newest
	sent  time.Time                         // when the last one was
	fail  time.Time
	why   string
}

// at returns the counts of an hour; nil if it is too long ago.
func (t *tally) at(hour int64) *struct{ sent, failed int64 } {
	if hour <= t.hour-day {
		return nil
	}
	for t.hour = max(t.hour, hour-day); t.hour < hour; t.hour++ {
		t.hours[(t.hour+1)%day] = struct{ sent, failed int64 }{}
	}
	return &t.hours[hour%day]
}

func (t *tally) add(p *ledger.Progress) {
	counts := t.at(hourOf(p.UpdatedAt))
	switch p.State {
	case ledger.DeliverySent:
		if counts != nil {
			counts.sent++
		}
		if p.UpdatedAt.After(t.sent) {
			t.sent = p.UpdatedAt
		}
	case ledger.DeliveryFailed, ledger.DeliveryQuarantined:
		if counts != nil {
			counts.failed++
		}
		if p.UpdatedAt.After(t.fail) {
			t.fail, t.why = p.UpdatedAt, p.Reason
		}
	case ledger.DeliveryPending, ledger.DeliverySkipped, ledger.DeliveryCancelled:
	}
}

// lastDay returns the sums of the last day, which ends with an hour.
func (t *tally) lastDay(hour int64) (sent, failed int64) {
	for i := max(hour-day+1, t.hour-day+1); i <= t.hour; i++ {
		sent, failed = sent+t.hours[i%day].sent, failed+t.hours[i%day].failed
	}
	return sent, failed
}

func hourOf(t time.Time) int64 { return t.Unix() / int64(time.Hour/time.Second) }

func newActivityReporter(c client.Client, l ledger.Activity, namespaces activation.Namespaces, limits providers.Limits, now func() time.Time, log logr.Logger) *activityReporter {
	return &activityReporter{
		client: c, ledger: l, namespaces: namespaces, limits: limits, log: log, now: now,
		writes: rate.NewLimiter(activityWrites, activityWrites), interval: activityInterval,
		unended: make(map[int64]struct{}), tallies: make(map[string]map[string]*tally),
		staleRules: make(map[tallyKey]struct{}), staleCompanies: make(map[string]struct{}), written: make(map[any]time.Time),
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*activityReporter) NeedLeaderElection() bool { return true }

// Start works until ctx is done. An error ends a round, not the reporter.
func (r *activityReporter) Start(ctx context.Context) error {
	for {
		round, cancel := context.WithTimeout(ctx, r.interval)
		begun := time.Now()
		if err := r.round(round); err != nil && ctx.Err() == nil {
			r.log.Error(err, "Could not bring the activity in the status of rules and activations up to date; trying again within a minute")
		}
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(0, r.interval-time.Since(begun))):
		}
	}
}

// round reads what is new and writes as many statuses as the time of ctx allows.
func (r *activityReporter) round(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	return r.write(ctx)
}

// read brings the counts up to date.
func (r *activityReporter) read(ctx context.Context) (err error) {
	now := r.now()
	if !r.begun {
		if r.next, err = r.ledger.LastBefore(ctx, now.Add(-day*time.Hour)); err != nil {
			return err
		}
		if err := r.findStale(ctx); err != nil {
			return err
		}
		r.begun = true
	}
	if err := r.readUnended(ctx); err != nil {
		return err
	}
	for {
		found, err := r.ledger.ProgressAfter(ctx, r.next, now.Add(-activityDelay), ledger.MaxProgress)
		if err != nil {
			return err
		}
		for i := range found {
			r.count(&found[i])
			r.next = found[i].ID
		}
		if len(found) < ledger.MaxProgress {
			break
		}
	}
	if hour := hourOf(now); hour != r.hour {
		r.hour = hour
		for company, rules := range r.tallies {
			r.staleCompanies[company] = struct{}{}
			for rule, t := range rules {
				r.staleRules[tallyKey{company, rule}] = struct{}{}
				if hour-t.hour >= day { // its counts are 0, as those of a rule without a tally
					delete(rules, rule)
					r.tallied--
				}
			}
			if len(rules) == 0 {
				delete(r.tallies, company)
			}
		}
		maps.DeleteFunc(r.written, func(_ any, at time.Time) bool { return now.Sub(at) > time.Hour })
	}
	return r.readCompanies(ctx)
}

// readUnended counts messages that ended since they were seen pending.
func (r *activityReporter) readUnended(ctx context.Context) error {
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(r.unended)), ledger.MaxProgress/10) {
		found, err := r.ledger.ProgressOf(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			delete(r.unended, id) // count puts back what is still pending
		}
		for i := range found {
			r.count(&found[i])
		}
	}
	return nil
}

func (r *activityReporter) count(p *ledger.Progress) {
	switch {
	case p.State == ledger.DeliveryPending:
		if len(r.unended) < maxUnended {
			r.unended[p.ID] = struct{}{}
		}
		return
	case p.RuleName == "", p.State == ledger.DeliverySkipped, p.State == ledger.DeliveryCancelled:
		return
	}
	t := r.tallies[p.Company][p.RuleName]
	if t == nil {
		if r.tallied >= maxTallies {
			return
		}
		r.tallied++
		t = &tally{hour: hourOf(p.UpdatedAt)}
		if r.tallies[p.Company] == nil {
			r.tallies[p.Company] = make(map[string]*tally)
		}
		r.tallies[p.Company][p.RuleName] = t
	}
	t.add(p)
	r.staleRules[tallyKey{p.Company, p.RuleName}], r.staleCompanies[p.Company] = struct{}{}, struct{}{}
}

// readCompanies reads what waits and what was charged.
func (r *activityReporter) readCompanies(ctx context.Context) error {
	pending, err := r.ledger.PendingByCompany(ctx)
	if err != nil {
		return err
	}
	spent, err := r.ledger.SpentByCompany(ctx)
	if err != nil {
		return err
	}
	for _, counted := range []map[string]int64{pending, r.pending} {
		for company := range counted {
			if pending[company] != r.pending[company] {
				r.staleCompanies[company] = struct{}{}
			}
		}
	}
	// Companies with the same charges may have other quotas now.
	for _, charged := range []map[string]map[string]int64{spent, r.spent} {
		for company := range charged {
			r.staleCompanies[company] = struct{}{}
		}
	}
	r.pending, r.spent = pending, spent
	return nil
}

// findStale finds the statuses that a former leader wrote, once.
func (r *activityReporter) findStale(ctx context.Context) error {
	var activations v1alpha1.CompanyActivationList
	if err := r.client.List(ctx, &activations, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing CompanyActivations: %w", err)
	}
	companies := make(map[types.NamespacedName]string, len(activations.Items))
	for i := range activations.Items {
		a := &activations.Items[i]
		companies[client.ObjectKeyFromObject(a)] = a.Spec.Company
		if a.Status.Activity.ObservedTime != nil {
			r.staleCompanies[a.Spec.Company] = struct{}{}
		}
	}
	var rules v1alpha1.NotificationRuleList
	if err := r.client.List(ctx, &rules, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing NotificationRules: %w", err)
	}
	for i := range rules.Items {
		rule := &rules.Items[i]
		company := companies[types.NamespacedName{Namespace: rule.Namespace, Name: rule.Spec.CompanyRef.Name}]
		if rule.Status.Activity.ObservedTime != nil && company != "" {
			r.staleRules[tallyKey{company, rule.Namespace + "/" + rule.Name}] = struct{}{}
		}
	}
	return nil
}

// write writes statuses that are out of date, those first that were written longest ago.
func (r *activityReporter) write(ctx context.Context) error {
	var queue []any
	for key := range r.staleRules {
		queue = append(queue, key)
	}
	for company := range r.staleCompanies {
		queue = append(queue, company)
	}
	slices.SortFunc(queue, func(a, b any) int { return r.written[a].Compare(r.written[b]) })
	var failures []error
	for _, one := range queue {
		var err error
		switch one := one.(type) {
		case tallyKey:
			err = r.writeRule(ctx, one)
		case string:
			err = r.writeCompany(ctx, one)
		}
		if errors.Is(err, errRoundOver) || ctx.Err() != nil {
			break // the next round continues, and a write that was interrupted is not a failure
		}
		if err != nil {
			if failures = append(failures, err); len(failures) > 3 {
				break // the API server is probably away
			}
			continue
		}
		if key, isRule := one.(tallyKey); isRule {
			delete(r.staleRules, key)
		} else {
			delete(r.staleCompanies, one.(string))
		}
	}
	return errors.Join(failures...)
}

func (r *activityReporter) writeRule(ctx context.Context, key tallyKey) error {
	namespace, name, _ := strings.Cut(key.rule, "/")
	rule := &v1alpha1.NotificationRule{}
	if err := r.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, rule); err != nil {
		return client.IgnoreNotFound(err)
	}
	var want v1alpha1.RuleActivity
	if t := r.tallies[key.company][key.rule]; t != nil {
		want.SentLastDay, want.FailedLastDay = t.lastDay(hourOf(r.now()))
		want.LastSentTime, want.LastFailureTime, want.LastFailureReason = seconds(t.sent), seconds(t.fail), t.why
	}
	// Only the status knows messages that are older than a day.
	old := &rule.Status.Activity
	if isOlder(want.LastSentTime, old.LastSentTime) {
		want.LastSentTime = old.LastSentTime
	}
	if isOlder(want.LastFailureTime, old.LastFailureTime) {
		want.LastFailureTime, want.LastFailureReason = old.LastFailureTime, old.LastFailureReason
	}
	if sameRuleActivity(&want, old) {
		return nil
	}
	return r.patch(ctx, key, rule, map[string]any{
		"sentLastDay": want.SentLastDay, "failedLastDay": want.FailedLastDay,
		"lastSentTime": want.LastSentTime, "lastFailureTime": want.LastFailureTime, "lastFailureReason": orNull(want.LastFailureReason),
	})
}

func sameRuleActivity(a, b *v1alpha1.RuleActivity) bool {
	return a.SentLastDay == b.SentLastDay && a.FailedLastDay == b.FailedLastDay && a.LastFailureReason == b.LastFailureReason &&
		a.LastSentTime.Equal(b.LastSentTime) && a.LastFailureTime.Equal(b.LastFailureTime)
}

func (r *activityReporter) writeCompany(ctx context.Context, company string) error {
	a, err := r.namespaces.Find(ctx, r.client, company)
	if err != nil || a == nil {
		return err
	}
	want := v1alpha1.CompanyActivity{Pending: r.pending[company]}
	hour := hourOf(r.now())
	for _, t := range r.tallies[company] {
		sent, failed := t.lastDay(hour)
		want.SentLastDay, want.FailedLastDay = want.SentLastDay+sent, want.FailedLastDay+failed
	}
	want.Charged, want.QuotaUse = r.quotaUse(a)
	old := &a.Status.Activity
	if want.Pending == old.Pending && want.SentLastDay == old.SentLastDay && want.FailedLastDay == old.FailedLastDay && want.QuotaUse == old.QuotaUse &&
		equality.Semantic.DeepEqual(want.Charged, old.Charged) {
		return nil
	}
	charged := want.Charged
	if charged == nil {
		charged = []v1alpha1.ChargedMessages{}
	}
	return r.patch(ctx, company, a, map[string]any{
		"pending": want.Pending, "sentLastDay": want.SentLastDay, "failedLastDay": want.FailedLastDay, "charged": charged, "quotaUse": orNull(want.QuotaUse),
	})
}

// quotaUse returns what counts towards a company's quotas of today, and a summary of it.
func (r *activityReporter) quotaUse(a *v1alpha1.CompanyActivation) (charged []v1alpha1.ChargedMessages, summary string) {
	spent := r.spent[a.Spec.Company]
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(spent)) {
		one := v1alpha1.ChargedMessages{Channel: v1alpha1.Channel(name), Messages: spent[name]}
		part := fmt.Sprintf("%s %d", name, one.Messages)
		if limit := r.limits.Of(a, one.Channel).Company; limit != providers.Unlimited {
			one.Limit = &limit
			part += fmt.Sprintf("/%d", limit)
		}
		charged, parts = append(charged, one), append(parts, part)
	}
	return charged, strings.Join(parts, ", ")
}

// errRoundOver means that a write must wait for the next round.
var errRoundOver = errors.New("the time of this round is over")

// patch writes status.activity and nothing else.
func (r *activityReporter) patch(ctx context.Context, key any, object client.Object, activity map[string]any) error {
	if err := r.writes.Wait(ctx); err != nil {
		return errRoundOver
	}
	activity["observedTime"] = metav1.NewTime(r.now())
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.GetUID()}, // not of a successor with the name
		"status":   map[string]any{"activity": activity},
	})
	if err != nil {
		return fmt.Errorf("encoding a status: %w", err)
	}
	target := object.DeepCopyObject().(client.Object) // the response replaces it
	err = r.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, body))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("writing the activity of %s: %w", client.ObjectKeyFromObject(object), err)
	}
	r.written[key] = r.now()
	return nil
}

// seconds returns a time as the API server keeps it; nil for no time.
func seconds(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

// isOlder reports whether a is before b, or there is only b.
func isOlder(a, b *metav1.Time) bool { return b != nil && (a == nil || a.Before(b)) }

// orNull returns what removes an empty field in a merge patch.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
