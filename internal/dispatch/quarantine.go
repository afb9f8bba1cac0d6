// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/ledger"
)

const (
	// maxReports is how many reports wait for their events; more are only counted.
	maxReports = 64
	// reportEvery is how often a company gets an event at most.
	reportEvery = time.Minute
)

// QuarantineReporter says on a company's CompanyActivation, and in a metric, that work
// of the company was quarantined. It is a manager.Runnable.
type QuarantineReporter struct {
	// Catalog finds the activations.
	Catalog *catalog.Catalog
	// Recorder records the events.
	Recorder events.EventRecorder
	Log      logr.Logger

	count   *prometheus.CounterVec
	reports chan ledger.Quarantined
}

// NewQuarantineReporter returns a reporter and registers its metric.
func NewQuarantineReporter(c *catalog.Catalog, recorder events.EventRecorder, registerer prometheus.Registerer, log logr.Logger) (*QuarantineReporter, error) {
	r := &QuarantineReporter{
		Catalog: c, Recorder: recorder, Log: log,
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rehive_extension",
			Name:      "quarantined_total",
			Help:      "Events and messages that were quarantined, because trying them again did harm or would, by kind and reason.",
		}, []string{"kind", "reason"}),
		reports: make(chan ledger.Quarantined, maxReports),
	}
	for _, kind := range []string{"event", "message"} { // the first one is then an increase
		for _, reason := range []string{ledger.ReasonUnfinished, ledger.ReasonTooManyAttempts} {
			r.count.WithLabelValues(kind, reason)
		}
	}
	if err := registerer.Register(r.count); err != nil {
		return nil, fmt.Errorf("registering the metric of quarantined work: %w", err)
	}
	return r, nil
}

// Report takes what the ledger quarantined. It does not block.
func (r *QuarantineReporter) Report(q ledger.Quarantined) {
	r.count.WithLabelValues(kindOf(q), q.Reason).Inc()
	select {
	case r.reports <- q:
	default: // the log and the metric say it too
	}
}

func kindOf(q ledger.Quarantined) string {
	if q.Channel == "" {
		return "event"
	}
	return "message"
}

// NeedLeaderElection says that every replica reports what it quarantined.
func (r *QuarantineReporter) NeedLeaderElection() bool { return false }

// Start records events until ctx is done.
func (r *QuarantineReporter) Start(ctx context.Context) error {
	last := make(map[string]time.Time) // by company
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-r.reports:
			now := time.Now()
			for company, at := range last {
				if now.Sub(at) >= reportEvery {
					delete(last, company)
				}
			}
			if _, recently := last[q.Company]; recently {
				continue
			}
			last[q.Company] = now
			r.record(ctx, q)
		}
	}
}

func (r *QuarantineReporter) record(ctx context.Context, q ledger.Quarantined) {
	a, err := r.Catalog.Activation(ctx, q.Company)
	if err != nil {
		r.Log.Info("No event says that work was quarantined", "company", q.Company, "reason", err.Error())
		return
	}
	r.Recorder.Eventf(a, nil, corev1.EventTypeWarning, "Quarantined", "Quarantine", "%s", note(q))
}

const (
	// maxNotedID and maxNotedMessage bound the parts of a note, in bytes: the API server
	// refuses events with a note of more than 1024 bytes.
	maxNotedID      = 128
	maxNotedMessage = 512
)

// note says what was quarantined, with the ID by which webhooks, the API and the log name the
// event, and what a person can do.
func note(q ledger.Quarantined) string {
	what, where := "event "+shortened(strconv.Quote(q.EventID), maxNotedID), "GET /api/admin/quarantine/ lists quarantined events, and a call releases them"
	if q.Channel != "" {
		what = fmt.Sprintf("message %d of %s", q.Key, what)
		where = "GET /api/admin/logs/?state=quarantined lists quarantined messages, and sending one again releases it"
	}
	return fmt.Sprintf("Quarantined %s (%s): %s %s.", what, q.Reason, shortened(q.Message, maxNotedMessage), where)
}

// shortened cuts a text from outside to a number of bytes.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
