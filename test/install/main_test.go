// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install tests how the operator is installed: kustomizations, the Helm chart, the
// image, dashboards and alerts. It is a module of its own, so that the operator does not
// depend on Helm.
package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/rehive/extension-operator/test/controlplane"
)

// k8s and adminRest reach the API server as an administrator.
var (
	k8s       client.Client
	adminRest *rest.Config
)

// root is the repository.
const root = "../.."

// operatorNamespace is where config/default installs the operator.
const operatorNamespace = "rehive-system"

func TestMain(m *testing.M) {
	controlplane.Main(m, func(c *controlplane.ControlPlane) (func() error, error) {
		k8s, adminRest = c.Client, c.Config
		crds, err := foreignCRDs()
		if err != nil {
			return nil, err
		}
		if _, err := envtest.InstallCRDs(c.Config, envtest.CRDInstallOptions{Paths: crds, ErrorIfPathMissing: true, MaxTime: controlplane.StartTimeout}); err != nil {
			return nil, fmt.Errorf("installing the kinds of other projects: %w", err)
		}
		// A dry run does not create the namespace that the other objects are in.
		for _, name := range []string{operatorNamespace, "team-a"} {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
			if err := c.Client.Create(context.Background(), namespace); err != nil {
				return nil, err
			}
		}
		return func() error { return nil }, nil
	})
}

// foreignCRDs returns the files with the kinds of other projects that config/components
// and the chart create. They come with the projects' Go modules; see crds/go.mod.
func foreignCRDs() ([]string, error) {
	files := map[string][]string{
		"github.com/cert-manager/cert-manager": {
			"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml",
		},
		"github.com/prometheus-operator/prometheus-operator": {
			"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
			"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		},
		"sigs.k8s.io/gateway-api": {"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
	}
	var paths []string
	for module, names := range files {
		command := exec.Command("go", "mod", "download", "-json", module)
		command.Dir = "crds"
		var stderr strings.Builder
		command.Stderr = &stderr
		output, err := command.Output()
		var downloaded struct{ Dir, Error string }
		if decoded := json.Unmarshal(output, &downloaded); err != nil || decoded != nil || downloaded.Error != "" {
			return nil, fmt.Errorf("downloading the module %s: %w\n%s%s", module, errors.Join(err, decoded), downloaded.Error, stderr.String())
		}
		for _, name := range names {
			paths = append(paths, filepath.Join(downloaded.Dir, name))
		}
	}
	return paths, nil
}
