// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package feedback

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/tracing"
)

// ErrUnknown means that there is no such provider, that the URL isn't its own, or that it
// takes no reports.
var ErrUnknown = errors.New("no provider reports at this URL")

// Ledger is the part of the ledger that reports are recorded in.
type Ledger interface {
	ledger.FeedbackLog
	ledger.Suppressions
}

// Providers finds providers.
type Providers interface {
	// Reporter returns a DeliveryProvider and what reads its reports; nil if the
	// DeliveryProvider doesn't exist or takes no reports.
	Reporter(ctx context.Context, key types.NamespacedName) (*v1alpha1.DeliveryProvider, provider.Reporter, error)
	// UsedBy returns the companies whose messages a DeliveryProvider sends.
	UsedBy(ctx context.Context, p *v1alpha1.DeliveryProvider) ([]string, error)
}

// Companies finds the activation of an active company.
type Companies interface {
	Activation(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error)
}

// Options configure a Receiver. All fields but Registerer and Log are required.
type Options struct {
	References *References
	Providers  Providers
	Companies  Companies
	Ledger     Ledger
	// Registerer takes the metrics; none are registered if nil.
	Registerer prometheus.Registerer
	// Traces records the reports; nil records none.
	Traces *tracing.Tracer
	Log    logr.Logger
}

// Receiver records the reports of providers. It is safe for concurrent use.
type Receiver struct {
	Options
	reports *prometheus.CounterVec
}

// Results of a report, besides the outcomes that were recorded.
const (
	resultUnchanged = "unchanged" // late, repeated, or about an unknown message
	resultOptedIn   = "opted_in"
)

// New returns a receiver and registers its metrics.
func New(o Options) (*Receiver, error) {
	r := &Receiver{Options: o, reports: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "rehive_extension", Name: "feedback_reports_total",
		Help: "Reports of providers about messages that they accepted, by type of provider and result.",
	}, []string{"type", "result"})}
	for _, kind := range []string{"sendgrid", "twilio", "expo"} {
		for _, outcome := range ledger.DeliveryOutcomes {
			r.reports.WithLabelValues(kind, string(outcome))
		}
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(r.reports); err != nil {
			return nil, fmt.Errorf("registering the metrics of feedback: %w", err)
		}
	}
	return r, nil
}

// Source is a provider that reports.
type Source struct {
	r        *Receiver
	provider *v1alpha1.DeliveryProvider
	secret   string
	reporter provider.Reporter
}

// Source returns the provider that reports at a URL, by the parts of its path, or
// [ErrUnknown].
func (r *Receiver) Source(ctx context.Context, namespace, name, secret string) (*Source, error) {
	p, reporter, err := r.Providers.Reporter(ctx, types.NamespacedName{Namespace: namespace, Name: name})
	switch {
	case err != nil:
		return nil, fmt.Errorf("finding the provider of a report: %w", err)
	case p == nil || !r.References.Opens(p, secret) || reporter == nil:
		return nil, ErrUnknown
	}
	return &Source{r: r, provider: p, secret: secret, reporter: reporter}, nil
}

// URL returns the URL of a call with a reference, which may be empty, as the provider knows
// it.
func (s *Source) URL(reference string) string {
	address := s.r.References.url(s.provider, s.secret)
	if reference != "" {
		address += reference + "/"
	}
	return address
}

// Receive records what a call reports. Reports about unknown messages, and those that are
// late or repeated, change nothing. Errors are those of [provider.Reporter] and of the
// ledger.
func (s *Source) Receive(ctx context.Context, c *provider.Callback) error {
	reports, err := s.reporter.Reports(c)
	if err != nil {
		return err
	}
	kind, _ := s.provider.Spec.Type()
	var targets []Target
	var about []provider.Report
	for _, report := range reports {
		if report.OptedIn != "" {
			if err := s.optIn(ctx, report.OptedIn); err != nil {
				return err
			}
			s.r.reports.WithLabelValues(kind, resultOptedIn).Inc()
			continue
		}
		target, ok := s.r.References.Read(s.provider, report.Reference)
		if !ok {
			s.r.reports.WithLabelValues(kind, resultUnchanged).Inc()
			continue
		}
		targets, about = append(targets, target), append(about, report)
	}
	return s.record(ctx, kind, targets, about, c.Now)
}

func (s *Source) record(ctx context.Context, kind string, targets []Target, about []provider.Report, now time.Time) error {
	ids := make([]int64, len(targets))
	for i := range targets {
		ids[i] = targets[i].Delivery
	}
	found, err := s.r.Ledger.FeedbackTargets(ctx, ids)
	if err != nil {
		return fmt.Errorf("finding the messages of a report: %w", err)
	}
	byID := make(map[int64]*ledger.Delivery, len(found))
	for i := range found {
		byID[found[i].ID] = &found[i]
	}
	records := make([]ledger.Feedback, 0, len(targets))
	for i := range targets {
		d := byID[targets[i].Delivery]
		if d == nil || !targets[i].IsFor(delivery.Key(d)) {
			s.r.reports.WithLabelValues(kind, resultUnchanged).Inc()
			continue
		}
		report := &about[i]
		if report.Outcome == provider.OutcomeOpened && !s.r.recordsOpens(ctx, d.Company) {
			// That it was opened says that it was delivered.
			report.Outcome = provider.OutcomeDelivered
		}
		at := report.At
		if at.IsZero() || at.After(now) {
			at = now
		}
		records = append(records, ledger.Feedback{
			Delivery: d.ID, Company: d.Company, Outcome: ledger.DeliveryOutcome(report.Outcome), Detail: report.Detail, At: at,
			Suppress: ledger.SuppressionReason(report.Fault),
		})
	}
	return s.r.write(ctx, kind, records)
}

func (r *Receiver) write(ctx context.Context, kind string, records []ledger.Feedback) error {
	if len(records) == 0 {
		return nil
	}
	changed, err := r.Ledger.RecordFeedback(ctx, records)
	for i, is := range changed {
		result := resultUnchanged
		if is {
			result = string(records[i].Outcome)
		}
		r.reports.WithLabelValues(kind, result).Inc()
	}
	r.trace(ctx, kind, records, changed)
	if err != nil {
		return err
	}
	return nil
}

// trace records the reports that changed something.
func (r *Receiver) trace(ctx context.Context, kind string, records []ledger.Feedback, changed []bool) {
	if r.Traces == nil {
		return
	}
	outcomes, ids := map[int64]ledger.DeliveryOutcome{}, []int64(nil)
	for i, is := range changed {
		if is {
			ids, outcomes[records[i].Delivery] = append(ids, records[i].Delivery), records[i].Outcome
		}
	}
	if len(ids) == 0 {
		return
	}
	targets, err := r.Ledger.FeedbackTargets(ctx, ids)
	if err != nil {
		r.Log.V(1).Info("Reports are missing in traces", "reason", err.Error())
	}
	for i := range targets {
		d := &targets[i]
		message := tracing.Message{Delivery: d.ID, Rule: d.RuleName, Channel: d.Channel}
		r.Traces.Event(d.Company, d.EventID).Reported(message, kind, string(outcomes[d.ID]))
	}
}

// recordsOpens reports whether a company has its customers' opens recorded. If that can't be
// found out, it has not.
func (r *Receiver) recordsOpens(ctx context.Context, company string) bool {
	a, err := r.Companies.Activation(ctx, company)
	return err == nil && a != nil && a.Spec.RecordOpens
}

// optIn ends the suppressions of a recipient who asked for messages again, at all companies
// that the provider sends for.
func (s *Source) optIn(ctx context.Context, recipient string) error {
	companies, err := s.r.Providers.UsedBy(ctx, s.provider)
	if err != nil {
		return fmt.Errorf("finding the companies of a provider: %w", err)
	}
	_, channel := s.provider.Spec.Type()
	for _, company := range companies {
		if _, err := s.r.Ledger.EndSuppressions(ctx, company, string(channel), recipient, ledger.SuppressedStop); err != nil {
			return fmt.Errorf("ending a suppression: %w", err)
		}
	}
	return nil
}

// PushOutcomes records the outcomes of push messages.
func (r *Receiver) PushOutcomes(ctx context.Context, outcomes []expo.Outcome, now time.Time) error {
	records := make([]ledger.Feedback, 0, len(outcomes))
	for _, o := range outcomes {
		f := ledger.Feedback{Delivery: o.Delivery, Company: o.Company, Outcome: ledger.OutcomeDelivered, At: now}
		switch {
		case o.Delivered:
		case o.Reason == "DeviceNotRegistered":
			f.Outcome, f.Detail = ledger.OutcomeBounced, "The app was removed from the user's devices."
		default:
			f.Outcome, f.Detail = ledger.OutcomeBlocked, "Apple or Google refused the message ("+o.Reason+")."
		}
		records = append(records, f)
	}
	return r.write(ctx, "expo", records)
}
