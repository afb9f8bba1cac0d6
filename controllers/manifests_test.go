// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func render(g *WithT, folder string) resmap.ResMap {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl does: namespaces first
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	g.Expect(err).NotTo(HaveOccurred())
	return resources
}

// TestInstallations has the API server judge what `kubectl apply -k` would create.
func TestInstallations(t *testing.T) {
	t.Run("default", func(t *testing.T) {
		// A SQLite ledger has one writer.
		testInstallation(t, "../config/default", 1, appsv1.RecreateDeploymentStrategyType)
	})
	t.Run("postgres", func(t *testing.T) {
		testInstallation(t, "../config/postgres", 2, appsv1.RollingUpdateDeploymentStrategyType)
	})
}

func testInstallation(t *testing.T, folder string, replicas int32, strategy appsv1.DeploymentStrategyType) {
	t.Helper()
	g := NewWithT(t)
	ctx := t.Context()
	namespace, deployments := "rehive-system", 0
	for _, resource := range render(g, folder).Resources() {
		raw, err := resource.AsYAML()
		g.Expect(err).NotTo(HaveOccurred())
		var object unstructured.Unstructured
		g.Expect(yaml.Unmarshal(raw, &object.Object)).To(Succeed())
		switch object.GetKind() {
		case "Namespace":
			g.Expect(object.GetName()).To(Equal(namespace))
			g.Expect(client.IgnoreAlreadyExists(k8s.Create(ctx, &object))).To(Succeed())
			continue
		case "CustomResourceDefinition":
			continue // envtest installed them
		case "Deployment":
			deployments++
			var deployment appsv1.Deployment
			g.Expect(yaml.UnmarshalStrict(raw, &deployment)).To(Succeed())
			g.Expect(*deployment.Spec.Replicas).To(Equal(replicas))
			g.Expect(deployment.Spec.Strategy.Type).To(Equal(strategy))
			// The namespace enforces the restricted profile on pods only.
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "manager"},
				Spec:       deployment.Spec.Template.Spec,
			}
			g.Expect(k8s.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		}
		g.Expect(k8s.Create(ctx, &object, client.DryRunAll)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
	}
	g.Expect(deployments).To(Equal(1))
}

func TestSamplesRender(t *testing.T) {
	g := NewWithT(t)
	g.Expect(render(g, "../config/samples").Size()).To(BeNumerically(">=", 2))
}
