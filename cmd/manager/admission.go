// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/admission"
	"github.com/rehive/extension-operator/internal/clusterapi"
	clusterserver "github.com/rehive/extension-operator/internal/clusterapi/server"
	"github.com/rehive/extension-operator/internal/httpserver"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/namespaces"
)

// addAdmission adds the server that the API server calls to the manager, if it has an
// address: the admission webhook, and the operations of kubectl rehive.
func addAdmission(ctx context.Context, mgr manager.Manager, s *settings, watched namespaces.Set, store ledger.Store, activations *activation.Index) error {
	if s.admissionAddress == "" {
		return nil
	}
	log := ctrl.Log.WithName("admission")
	client, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	measured, err := admission.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	self := ownUserName(ctx, client)
	keeper := admission.NewKeeper(admission.KeeperOptions{
		Client: client, Configuration: s.admissionConfiguration, Namespace: s.namespace, Watched: watched,
		Self: self, CertDir: s.admissionCertDir, Metrics: measured, Log: log,
	})
	mux := http.NewServeMux()
	mux.Handle(admission.Path, admission.New(admission.Options{
		Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Watched: watched, Self: self, Metrics: measured, Log: log,
	}).Handler())
	mux.Handle(clusterapi.Prefix, clusterserver.New(clusterserver.Options{
		Kubernetes: client, Cache: mgr.GetClient(), Activations: activations, Watched: watched, Ledger: store, Log: ctrl.Log.WithName("clusterapi"),
	}))
	// HTTP/2 has more ways to occupy a server, and the API server works without it.
	server, err := httpserver.New("admission", s.admissionAddress, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: keeper.GetCertificate,
	}, mux)
	if err != nil {
		return err
	}
	for _, runnable := range []manager.Runnable{keeper, server} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("adding the admission webhook to the manager: %w", err)
		}
	}
	return nil
}

// ownUserName returns the name by which the API server knows the manager; empty if it
// can't be learned.
func ownUserName(ctx context.Context, client kubernetes.Interface) string {
	ctx, cancel := context.WithTimeout(ctx, apiServerTimeout)
	defer cancel()
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		ctrl.Log.WithName("admission").Error(err, "Could not learn the operator's own user name: what the API writes is checked twice")
		return ""
	}
	return review.Status.UserInfo.Username
}

// splitAddress splits --admission-address.
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("--admission-address must be host:port or :port, such as :9443, not %q", address)
	}
	return host, port, nil
}
