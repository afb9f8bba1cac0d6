// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/test/controlplane"
)

// The API server that the tests of this package share.
var (
	config *rest.Config
	k8s    client.Client
)

func TestMain(m *testing.M) {
	controlplane.Main(m, func(c *controlplane.ControlPlane) (func() error, error) {
		config, k8s = c.Config, c.Client
		return func() error { return nil }, nil
	})
}
