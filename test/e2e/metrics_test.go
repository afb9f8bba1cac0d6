// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// testMetricsOfDashboardAndAlerts checks that the running manager exports each metric that
// the dashboard and the alerts name, and that the operator's own metrics follow Prometheus'
// naming rules.
func testMetricsOfDashboardAndAlerts(t *testing.T) {
	// The metrics of requests to an endpoint exist once there was one.
	if status := newCompany(t, "measured").send(t.Context(), "measured", "-"); status != http.StatusOK {
		t.Fatalf("the webhook was answered %d", status)
	}
	page, err := set.Manager.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "rehive_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}

	// Metrics that exist only once there is a provider that was held back or refused push.
	later := []string{"rehive_extension_provider_held_back_total", "rehive_extension_push_undelivered_total"}
	metric := regexp.MustCompile(`\b(rehive_extension|controller_runtime|process|go)_[a-z_]+`)
	for _, file := range []string{"prometheus/rules.yaml", "grafana-dashboard/rehive-extension.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "config", "components", file))
		if err != nil {
			t.Fatal(err)
		}
		names := metric.FindAllString(string(text), -1)
		slices.Sort(names)
		names = slices.Compact(names)
		if len(names) < 10 {
			t.Errorf("%s names only %d metrics", file, len(names))
		}
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(later, name) })
		// A manager that was just started has the metrics of its controllers once they run.
		NewWithT(t).Eventually(exportedMetrics).WithArguments(t).WithTimeout(4*time.Minute).Should(ContainElements(names), file)
	}
}

// exportedMetrics returns the names of all metrics that the manager exports.
func exportedMetrics(t *testing.T) ([]string, error) {
	page, err := set.Manager.Metrics(t.Context())
	var exported []string
	for line := range strings.Lines(page) {
		if name := strings.FieldsFunc(line, func(r rune) bool { return r == '{' || r == ' ' }); !strings.HasPrefix(line, "#") && len(name) > 0 {
			exported = append(exported, name[0])
		}
	}
	return exported, err
}
