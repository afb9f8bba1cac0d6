// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/test/controlplane"
)

// The API server that the tests of this package share.
var (
	config *rest.Config
	kube   client.Client
)

func TestMain(m *testing.M) {
	// A second, gomega's own, is short on a machine with more to do.
	gomega.SetDefaultEventuallyTimeout(3 * time.Minute)
	controlplane.Main(m, func(c *controlplane.ControlPlane) (func() error, error) {
		config, kube = c.Config, c.Client
		return func() error { return nil }, nil
	})
}
