// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/rehive/extension-operator/test/controlplane"
)

// TestIncompleteInstallation starts without the CustomResourceDefinitions and the permissions of
// this version, as after an update that was applied in part.
func TestIncompleteInstallation(t *testing.T) {
	g := NewWithT(t)
	plane, err := controlplane.Start(controlplane.Options{WithoutCRDs: true})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(plane.Stop()).To(Succeed()) }()

	ready := make(chan error, 1)
	go func() { ready <- awaitKinds(t.Context(), plane.Config) }()
	disco, err := discovery.NewDiscoveryClientForConfig(plane.Config)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(missingKinds(t.Context(), disco)).To(HaveLen(len(kinds)))
	install := func(file string) {
		_, err := envtest.InstallCRDs(plane.Config, envtest.CRDInstallOptions{Paths: []string{"../../config/crd/bases/extensions.rehive.com_" + file + ".yaml"}, ErrorIfPathMissing: true})
		g.Expect(err).NotTo(HaveOccurred())
	}
	for _, kind := range kinds {
		g.Expect(ready).NotTo(Receive(), kind)
		install(kind)
		g.Expect(missingKinds(t.Context(), disco)).NotTo(ContainElement(HavePrefix(kind)))
	}
	g.Eventually(ready, "1m").Should(Receive(BeNil()))

	s, err := parseSettings([]string{"--public-url=https://x.example", "--namespace=own", "--watch-namespaces=team"}, environment(nil), &bytes.Buffer{})
	g.Expect(err).NotTo(HaveOccurred())
	user, err := plane.AddUser(envtest.User{Name: "operator", Groups: []string{"system:authenticated"}})
	g.Expect(err).NotTo(HaveOccurred())
	grant := func(namespace string, verbs ...string) {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "operator"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"extensions.rehive.com"}, Resources: []string{"*"}, Verbs: verbs},
		}}
		g.Expect(client.IgnoreAlreadyExists(plane.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))).To(Succeed())
		if err := plane.Client.Create(t.Context(), role); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
		g.Expect(plane.Client.Update(t.Context(), role)).To(Succeed())
		g.Expect(client.IgnoreAlreadyExists(plane.Client.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "operator"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
			Subjects:   []rbacv1.Subject{{Kind: "User", Name: "operator"}},
		}))).To(Succeed())
	}
	grant("own", "list")
	g.Eventually(func() error { _, err := permittedNamespaces(t.Context(), user.Config(), s); return err }, "1m").Should(
		MatchError("the service account may not watch companyactivations in its own namespace own: apply config/rbac of this version, or correct --namespace"))
	grant("own", "list", "watch")
	grant("team", "list")
	names := func() ([]string, error) {
		set, err := permittedNamespaces(t.Context(), user.Config(), s)
		return set.Names(), err
	}
	g.Eventually(names, "1m").Should(ConsistOf("own"), "a namespace with too few permissions is left out")
	grant("team", "list", "watch")
	g.Eventually(names, "1m").Should(ConsistOf("own", "team"))
}
