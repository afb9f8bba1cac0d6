// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rehive/extension-operator/internal/httpserver"
	"github.com/rehive/extension-operator/internal/metricsauth"
)

// metricsServer returns what serves /metrics: nothing if the address is 0. controller-runtime's
// server for them bounds neither connections nor the memory of each.
func metricsServer(cluster *rest.Config, s *settings) ([]manager.Runnable, error) {
	if s.metricsAddress == "" || s.metricsAddress == "0" {
		return nil, nil
	}
	log := ctrl.Log.WithName("metrics")
	handler := promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	var runnables []manager.Runnable
	var config *tls.Config
	if s.metricsAuth {
		authorize, err := metricsauth.New(cluster, log)
		if err != nil {
			return nil, err
		}
		handler = authorize(handler)
		var watcher *certwatcher.CertWatcher
		if config, watcher, err = metricsTLS(s.metricsCertDir); err != nil {
			return nil, err
		}
		if watcher != nil {
			runnables = append(runnables, watcher)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", handler)
	server, err := httpserver.New("metrics", s.metricsAddress, config, mux)
	if err != nil {
		return nil, err
	}
	return append(runnables, server), nil
}

// metricsTLS returns the configuration for serving metrics over TLS. The certificate is
// tls.crt and tls.key in a directory, read again by the watcher when they change. Without a
// directory there is no watcher, and the certificate is self-signed and created at each start,
// so that it encrypts but does not authenticate the server.
func metricsTLS(dir string) (*tls.Config, *certwatcher.CertWatcher, error) {
	// For a page of metrics, HTTP/2 has no advantage, only its denial-of-service attacks.
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if dir == "" {
		certificate, err := selfSigned(time.Now())
		if err != nil {
			return nil, nil, fmt.Errorf("creating a certificate for the metrics: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
		return config, nil, nil
	}
	watcher, err := certwatcher.New(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, nil, fmt.Errorf("--metrics-cert-dir: %w", err)
	}
	config.GetCertificate = watcher.GetCertificate
	return config, watcher, nil
}

// selfSigned creates a certificate for localhost. A handshake with its ECDSA key costs a
// tenth of one with an RSA key, which matters because anybody may begin one.
func selfSigned(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "rehive-extension-operator metrics"},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
