// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// Evidence collects what people without permission to see tokens, secrets and customers'
// data could have read during tests (logs, metrics, answers and objects), and the values
// that must not occur in it. Several stages can share it. It is safe for concurrent use. A
// nil Evidence collects nothing.
type Evidence struct {
	mu      sync.Mutex
	planted map[string]string              // descriptions by value
	kept    map[string]map[string]struct{} // contents by place
}

// Plant registers a value that must not occur in the evidence, including evidence that was
// collected before.
func (e *Evidence) Plant(value, what string) {
	if e == nil || value == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.planted == nil {
		e.planted = make(map[string]string)
	}
	e.planted[value] = what
	// The form in a URL.
	e.planted[url.QueryEscape(value)] = what
}

// Keep adds content that could be read at a place.
func (e *Evidence) Keep(where string, content []byte) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kept == nil {
		e.kept = make(map[string]map[string]struct{})
	}
	if e.kept[where] == nil {
		e.kept[where] = make(map[string]struct{})
	}
	e.kept[where][string(content)] = struct{}{}
}

// Check returns an error if any evidence contains a planted value, or if there is no
// evidence for one of the places.
func (e *Evidence) Check(wheres ...string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var failures []error
	for _, where := range wheres {
		if len(e.kept[where]) == 0 {
			failures = append(failures, fmt.Errorf("there is no evidence for %s, so it could not be searched", where))
		}
	}
	found := make(map[string]bool)
	for where, contents := range e.kept {
		for content := range contents {
			for value, what := range e.planted {
				if strings.Contains(content, value) {
					found[where+" contains "+what] = true
				}
			}
		}
	}
	for leak := range found {
		failures = append(failures, errors.New(leak))
	}
	slices.SortFunc(failures, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(failures...)
}

// The places that a stage collects evidence from.
const (
	EvidenceLog     = "a manager's log"
	EvidenceMetrics = "a metrics page"
	EvidenceEvents  = "a Kubernetes event"
	EvidenceObjects = "an object"
	EvidenceAnswers = "an answer"
)

// Collect adds the stage's current evidence (the objects with their conditions, the events
// and the log), and plants the secrets of the platform. Metrics are added when a manager
// ends.
func (s *Stage) Collect(ctx context.Context) error {
	e := s.options.Evidence
	if e == nil {
		return nil
	}
	for _, company := range s.Platform.Companies() {
		for _, user := range s.Platform.Users(company.ID) {
			e.Plant(user.Token, "the token of a user of "+company.ID)
			e.Plant(user.Email, "a customer's address")
			e.Plant(user.Mobile, "a customer's phone number")
		}
		for _, service := range s.Platform.Services(company.ID) {
			e.Plant(service.Token, "the service token of "+company.ID)
		}
		for _, webhook := range s.Platform.Webhooks(company.ID) {
			e.Plant(webhook.Secret, "the webhook secret of "+company.ID)
		}
	}
	for where, lists := range map[string][]client.ObjectList{
		EvidenceEvents: {&eventsv1.EventList{}},
		EvidenceObjects: {
			&v1alpha1.CompanyActivationList{}, &v1alpha1.NotificationRuleList{}, &v1alpha1.NotificationLayoutList{},
			&v1alpha1.DeliveryProviderList{}, &corev1.ConfigMapList{}, &coordinationv1.LeaseList{},
		},
	} {
		for _, list := range lists {
			if err := s.Kube.List(ctx, list); err != nil {
				return fmt.Errorf("collecting %T: %w", list, err)
			}
			content, err := json.Marshal(list)
			if err != nil {
				return fmt.Errorf("collecting %T: %w", list, err)
			}
			e.Keep(where, content)
		}
	}
	log, err := os.ReadFile(s.Manager.LogFile())
	if err != nil {
		return fmt.Errorf("collecting the manager's log: %w", err)
	}
	e.Keep(EvidenceLog, log)
	return nil
}

// Metrics reads the manager's metrics page.
func (m *Manager) Metrics(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.MetricsURL, nil)
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s was answered %s", m.MetricsURL, response.Status)
	}
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	return string(page), nil
}
