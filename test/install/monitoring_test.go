// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// alerts is the PrometheusRule of config/components/prometheus.
type alerts struct {
	Spec struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Expr        string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
}

// promtool runs promtool. It skips the test if it is not installed, except in CI.
func promtool(t *testing.T, folder string, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is not installed (Debian: apt-get install prometheus)")
		}
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	command := exec.Command(path, arguments...)
	command.Dir = folder
	output, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// TestAlerts has promtool check the alerts and run their tests.
func TestAlerts(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("../../config/components/prometheus/rules.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	var rules alerts
	g.Expect(yaml.Unmarshal(text, &rules)).To(Succeed())
	tests, err := os.ReadFile("testdata/alerts_test.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	for _, rule := range rules.Spec.Groups[0].Rules {
		g.Expect(string(tests)).To(ContainSubstring("- alertname: "+rule.Alert+"\n"), "an alert without a test")
		g.Expect(rule.Labels["severity"]).To(BeElementOf("warning", "critical"), rule.Alert)
		// The address is that of a page in this repository, which says what to do.
		_, page, found := strings.Cut(rule.Annotations["runbook_url"], "/blob/main/")
		g.Expect(found).To(BeTrue(), rule.Alert)
		runbook, err := os.ReadFile(filepath.Join(root, page))
		g.Expect(err).NotTo(HaveOccurred(), rule.Alert)
		g.Expect(string(runbook)).To(And(ContainSubstring(rule.Alert), ContainSubstring("## What to do")), page)
	}

	var object struct{ Spec any }
	g.Expect(yaml.Unmarshal(text, &object)).To(Succeed())
	groups, err := yaml.Marshal(object.Spec)
	g.Expect(err).NotTo(HaveOccurred())
	folder := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(folder, "rules.yaml"), groups, 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(folder, "alerts_test.yaml"), tests, 0o600)).To(Succeed())
	promtool(t, folder, "check", "rules", "rules.yaml")
	promtool(t, folder, "test", "rules", "alerts_test.yaml")
}

// TestRunbooks finds pages of alerts that were removed.
func TestRunbooks(t *testing.T) {
	g := NewWithT(t)
	rules, err := os.ReadFile("../../config/components/prometheus/rules.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(pages)).To(BeNumerically(">", 10))
	for _, page := range pages {
		if filepath.Base(page) != "README.md" {
			g.Expect(string(rules)).To(ContainSubstring("/docs/runbooks/"+filepath.Base(page)+"\n"), page)
		}
	}
}

// TestDashboard has promtool parse every query of the dashboard, as the expression of a
// recording rule.
func TestDashboard(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("../../config/components/grafana-dashboard/rehive-extension.json")
	g.Expect(err).NotTo(HaveOccurred())
	var dashboard struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	g.Expect(json.Unmarshal(text, &dashboard)).To(Succeed())
	g.Expect(dashboard.UID).To(Equal("rehive-extension"))
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	ids := make(map[int]bool)
	for _, panel := range dashboard.Panels {
		g.Expect(ids[panel.ID]).To(BeFalse(), "two panels have the same id")
		ids[panel.ID] = true
		if panel.Type != "row" {
			g.Expect(panel.Targets).NotTo(BeEmpty(), panel.Title)
		}
		for _, target := range panel.Targets {
			expression := strings.NewReplacer("$__rate_interval", "5m", "$namespace", "n").Replace(target.Expr)
			g.Expect(expression).NotTo(ContainSubstring("$"), panel.Title)
			rules = append(rules, rule{Record: "a:b", Expr: expression})
		}
	}
	g.Expect(len(rules)).To(BeNumerically(">", 10))
	groups, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	g.Expect(err).NotTo(HaveOccurred())
	folder := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(folder, "rules.yaml"), groups, 0o600)).To(Succeed())
	promtool(t, folder, "check", "rules", "--lint=none", "rules.yaml")
}
