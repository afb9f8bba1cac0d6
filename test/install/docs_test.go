// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// TestDocumentedCommands checks what commands in the documentation name: the folders, the
// targets of make, the kinds of the API server, the objects of config/default, and the values
// of the chart.
func TestDocumentedCommands(t *testing.T) {
	g := NewWithT(t)
	installed := make(map[string]bool)
	for _, folder := range []string{"default", "migrate-ledger", "restore-ledger"} {
		for _, object := range objects(g, "../../config/"+folder) {
			installed[strings.ToLower(object.GetKind())+"/"+object.GetName()] = true
		}
	}
	// Secrets that a person creates, as the Deployments name them.
	for _, secret := range []string{"smtp-credentials", "ledger-credentials", "ledger-encryption", "unsubscribe-keys"} {
		installed["secret/rehive-extension-"+secret] = true
	}
	makefile, err := os.ReadFile("../../Makefile")
	g.Expect(err).NotTo(HaveOccurred())
	pages, err := filepath.Glob("../../docs/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	runbooks, err := filepath.Glob("../../docs/runbooks/*.md")
	g.Expect(err).NotTo(HaveOccurred())
	var (
		block  = regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)```")
		kinds  = regexp.MustCompile(`kubectl(?: -n \S+| --namespace \S+)? (?:get|delete|describe|annotate|wait|patch|label|edit) ([a-z.,]+)\b`)
		folder = regexp.MustCompile(`-k (config/\S+)`)
		target = regexp.MustCompile(`(?m)^\s*make ([a-z-]+)`)
		object = regexp.MustCompile(`\b(deployment|pod|job|persistentvolumeclaim|clusterrole|secret generic)[ /=](rehive-extension-[a-z-]+)`)
		set    = regexp.MustCompile(`--set ([^=\s]+)=(\S+)`)
	)
	server, err := discovery.NewDiscoveryClientForConfig(adminRest)
	g.Expect(err).NotTo(HaveOccurred())
	mapper := restmapper.NewShortcutExpander(k8s.RESTMapper(), server, nil)
	commands, named := 0, 0
	for _, page := range append(append(pages, runbooks...), "../../README.md") {
		text, err := os.ReadFile(page)
		g.Expect(err).NotTo(HaveOccurred())
		for _, found := range block.FindAllStringSubmatch(string(text), -1) {
			commands++
			for _, match := range folder.FindAllStringSubmatch(found[1], -1) {
				g.Expect(filepath.Join(root, match[1], "kustomization.yaml")).To(BeARegularFile(), page)
			}
			for _, match := range target.FindAllStringSubmatch(found[1], -1) {
				g.Expect(string(makefile)).To(ContainSubstring("\n"+match[1]+":"), page)
			}
			for _, match := range kinds.FindAllStringSubmatch(found[1], -1) {
				for kind := range strings.SplitSeq(match[1], ",") {
					if kind == "rehive" { // the category of all kinds of the operator
						continue
					}
					named++
					_, err := mapper.KindFor(schema.ParseGroupResource(kind).WithVersion(""))
					g.Expect(err).NotTo(HaveOccurred(), "%s: %s", page, match[0])
				}
			}
			for _, match := range object.FindAllStringSubmatch(found[1], -1) {
				kind, _, _ := strings.Cut(match[1], " ")
				g.Expect(installed).To(HaveKey(kind+"/"+match[2]), page)
			}
			if values := set.FindAllStringSubmatch(found[1], -1); len(values) > 0 {
				g.Expect(testHelmCommand(values)).To(Succeed(), page)
			}
		}
	}
	g.Expect(commands).To(BeNumerically(">", 60))
	g.Expect(named).To(BeNumerically(">", 20))
}

// testHelmCommand renders the chart with the values of a documented command.
func testHelmCommand(values [][]string) error {
	given := make(map[string]any)
	for _, value := range values {
		if err := unstructured.SetNestedField(given, value[2], strings.Split(value[1], ".")...); err != nil {
			return err
		}
	}
	text, err := yaml.Marshal(given)
	if err != nil {
		return err
	}
	_, _, err = renderChart(string(text))
	return err
}
