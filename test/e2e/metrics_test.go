// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// testMetricsOfDashboardAndAlerts checks that the running manager exports each metric that
// the dashboard and the alerts name, and that the operator's own metrics follow Prometheus'
// naming rules.
func testMetricsOfDashboardAndAlerts(t *testing.T) {
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

	exported := make(map[string]bool)
	for line := range strings.Lines(page) {
		if name := strings.FieldsFunc(line, func(r rune) bool { return r == '{' || r == ' ' }); !strings.HasPrefix(line, "#") && len(name) > 0 {
			exported[name[0]] = true
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
		for _, name := range names {
			if !exported[name] && !slices.Contains(later, name) {
				t.Errorf("%s names %s, which the manager does not export", file, name)
			}
		}
	}
}
