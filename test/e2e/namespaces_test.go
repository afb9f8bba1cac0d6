// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

const (
	// watchedNamespace is the namespace in which config/example grants the operator
	// permissions.
	watchedNamespace = "team-a"
	// forbiddenNamespace is listed in --watch-namespaces, but the operator has no
	// permissions in it.
	forbiddenNamespace = "team-without-role-binding"
)

// testCompanyInWatchedNamespace checks that the operator, with permissions in its own and
// one other namespace, does all of its work for a company whose resources are in the other
// one.
func testCompanyInWatchedNamespace(t *testing.T) {
	id := newID("watched")
	if _, err := set.Apply(t.Context(), fmt.Appendf(nil, `
apiVersion: extensions.rehive.com/v1alpha1
kind: CompanyActivation
metadata: {name: %[1]s, namespace: %[2]s}
spec: {company: %[1]s}
`, id, watchedNamespace)); err != nil {
		t.Fatal(err)
	}
	c := newCompanyWithID(t, set, id)
	if c.activation.Namespace != watchedNamespace {
		t.Fatalf("the company is in namespace %s", c.activation.Namespace)
	}
	if status := c.send(t.Context(), "1", c.text(1)); status != 200 {
		t.Fatalf("the webhook was answered %d", status)
	}
	c.waitMailed(t, c.text(1))
	c.rotate(t)
	if err := set.Platform.RemoveCompany(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	if err := set.Eventually(t.Context(), "the activation to be deleted", func() error {
		err := set.Kube.Get(t.Context(), client.ObjectKeyFromObject(c.activation), &v1alpha1.CompanyActivation{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("reading it: %w", err)
	}); err != nil {
		t.Fatal(err)
	}
}

// testUnwatchedNamespaceGetsNoToken checks that a CompanyActivation in an unwatched
// namespace has no effect: the company is activated in the operator's namespace, and its
// token is stored only there.
func testUnwatchedNamespaceGetsNoToken(t *testing.T) {
	id := newID("unwatched")
	elsewhere, err := set.Apply(t.Context(), fmt.Appendf(nil, `
apiVersion: extensions.rehive.com/v1alpha1
kind: CompanyActivation
metadata: {name: %[1]s, namespace: default}
spec: {company: %[1]s}
`, id))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = set.Kube.Delete(context.Background(), elsewhere) })
	if _, err := set.Platform.AddCompany(rehivetest.Company{ID: id}); err != nil {
		t.Fatal(err)
	}
	service, err := set.Platform.AddService(id, rehivetest.Service{Name: "Notifications", URL: set.Manager.PublicURL + "/api/"})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Platform.Activate(t.Context(), id, service.ID); err != nil {
		t.Fatal(err)
	}
	var own v1alpha1.CompanyActivation
	if err := set.Kube.Get(t.Context(), client.ObjectKey{Namespace: stage.Namespace, Name: id}, &own); err != nil {
		t.Fatal(err)
	}
	var other v1alpha1.CompanyActivation
	if err := set.Kube.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: id}, &other); err != nil {
		t.Fatal(err)
	}
	if other.Status.SecretName != "" || len(other.Finalizers) > 0 || len(other.Annotations) > 0 {
		t.Errorf("the operator touched an object outside its namespaces: %+v", other)
	}
}

// testNamespaceWithoutRightsIsIgnored checks that the log explains a missing RoleBinding.
// All other tests show that the operator works without it.
func testNamespaceWithoutRightsIsIgnored(t *testing.T) {
	log, err := os.ReadFile(set.Manager.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Ignoring a namespace of --watch-namespaces", `"namespace":"` + forbiddenNamespace + `"`, "config/components/watched-namespace"} {
		if !bytes.Contains(log, []byte(want)) {
			t.Errorf("the log does not contain %q", want)
		}
	}
}
