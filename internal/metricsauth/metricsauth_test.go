// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/test/controlplane"
)

var admin *rest.Config

func TestMain(m *testing.M) {
	controlplane.Main(m, func(c *controlplane.ControlPlane) (func() error, error) {
		admin = c.Config
		return func() error { return nil }, nil
	})
}

// serviceAccount creates a service account, bound to the ClusterRole if one is named, and
// returns its token.
func serviceAccount(t *testing.T, name, clusterRole string) string {
	t.Helper()
	g := NewWithT(t)
	client, err := kubernetes.NewForConfig(admin)
	g.Expect(err).NotTo(HaveOccurred())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err = client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		_ = client.CoreV1().ServiceAccounts("default").Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	if clusterRole != "" {
		_, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}},
		}, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() {
			_ = client.RbacV1().ClusterRoleBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		})
	}
	request, err := client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	return request.Status.Token
}

// metricsReader creates the ClusterRole that config/rbac provides for Prometheus.
func metricsReader(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	raw, err := os.ReadFile("../../config/rbac/metrics_reader_role.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	g.Expect(yaml.UnmarshalStrict(raw, role)).To(Succeed())
	client, err := kubernetes.NewForConfig(admin)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		_ = client.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})
	})
	return role.Name
}

func TestFilter(t *testing.T) {
	g := NewWithT(t)
	var clock atomic.Int64
	r, err := newReviewer(admin, func() time.Time { return time.Unix(clock.Load(), 0) })
	g.Expect(err).NotTo(HaveOccurred())
	served := 0
	handler := r.filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	get := func(method, path string, authorization ...string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, path, nil)
		request.Header["Authorization"] = authorization
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer
	}

	role := metricsReader(t)
	reader, stranger := serviceAccount(t, "reader", role), serviceAccount(t, "stranger", "")
	for name, authorization := range map[string][]string{
		"no header":    nil,
		"two headers":  {"Bearer " + reader, "Bearer " + reader},
		"two tokens":   {"Bearer " + reader + ", " + reader},
		"basic":        {"Basic " + reader},
		"no token":     {"Bearer "},
		"junk":         {"Bearer junk"},
		"a bad sign":   {"Bearer " + reader + "x"},
		"token only":   {reader},
		"empty header": {""},
	} {
		answer := get(http.MethodGet, "/metrics", authorization...)
		g.Expect(answer.Code).To(Equal(http.StatusUnauthorized), name)
		g.Expect(answer.Header().Get("WWW-Authenticate")).To(HavePrefix("Bearer"), name)
	}
	g.Expect(get(http.MethodGet, "/metrics", "Bearer "+stranger).Code).To(Equal(http.StatusForbidden))
	g.Expect(served).To(BeZero())
	// The API server's authorizer learns of a new binding a moment later.
	g.Eventually(func() int { return get(http.MethodGet, "/metrics", "Bearer "+reader).Code }, "3m", "50ms").Should(Equal(http.StatusOK))
	g.Expect(get(http.MethodGet, "/metrics", "bearer "+reader).Code).To(Equal(http.StatusOK), "the scheme's name may have any case")
	g.Expect(served).To(Equal(2))
	g.Expect(get(http.MethodPost, "/metrics", "Bearer "+reader).Code).To(Equal(http.StatusForbidden), "another verb")
	g.Expect(get(http.MethodGet, "/debug/pprof/", "Bearer "+reader).Code).To(Equal(http.StatusForbidden), "another path")

	// A revoked permission works for as long as it is cached.
	client, err := kubernetes.NewForConfig(admin)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(client.RbacV1().ClusterRoleBindings().Delete(t.Context(), "reader", metav1.DeleteOptions{})).To(Succeed())
	g.Expect(get(http.MethodGet, "/metrics", "Bearer "+reader).Code).To(Equal(http.StatusOK))
	g.Eventually(func() int {
		// The API server may not know it yet, and its answer is cached again.
		clock.Add(int64(trustTime / time.Second))
		return get(http.MethodGet, "/metrics", "Bearer "+reader).Code
	}, "3m", "50ms").Should(Equal(http.StatusForbidden))
}

// TestOperatorsCredentialsAreNotUsed checks that a caller without a token does not get the
// operator's permissions.
func TestOperatorsCredentialsAreNotUsed(t *testing.T) {
	g := NewWithT(t)
	authorize, err := New(admin, logr.Discard())
	g.Expect(err).NotTo(HaveOccurred())
	handler := authorize(http.NotFoundHandler())
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Authorization", "Bearer junk")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	g.Expect(answer.Code).To(Equal(http.StatusUnauthorized))
}

func TestAPIServerUnreachable(t *testing.T) {
	g := NewWithT(t)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	authorize, err := New(&rest.Config{Host: away.URL}, logr.Discard())
	g.Expect(err).NotTo(HaveOccurred())
	handler := authorize(http.NotFoundHandler())
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Authorization", "Bearer token")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	g.Expect(answer.Code).To(Equal(http.StatusServiceUnavailable))
}
