// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// fieldOwner is the field manager of applied objects.
const fieldOwner = client.FieldOwner("stage")

// install applies a kustomization in the order of its dependencies and waits until its
// kinds are served. It returns the number of objects.
func (s *Stage) install(ctx context.Context, dir string) (int, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return 0, fmt.Errorf("building: %w", err)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", resource.CurId(), err)
		}
		if resource.GetKind() == "CustomResourceDefinition" {
			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := yaml.Unmarshal(text, crd); err != nil {
				return 0, fmt.Errorf("reading %s: %w", resource.CurId(), err)
			}
			crds = append(crds, crd)
		}
		if resource.GetKind() == "ValidatingWebhookConfiguration" {
			if text, err = s.redirectWebhook(text); err != nil {
				return 0, err
			}
		}
		if _, err := s.Apply(ctx, text); err != nil {
			return 0, err
		}
	}
	if err := envtest.WaitForCRDs(s.Config, crds, envtest.CRDInstallOptions{MaxTime: defaultTimeout, PollInterval: 50 * time.Millisecond}); err != nil {
		return 0, fmt.Errorf("waiting for the kinds to be served: %w", err)
	}
	return resources.Size(), nil
}

// redirectWebhook makes the API server call the manager at its address, because Services
// don't work here.
func (s *Stage) redirectWebhook(text []byte) ([]byte, error) {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := yaml.Unmarshal(text, configuration); err != nil {
		return nil, fmt.Errorf("reading the ValidatingWebhookConfiguration: %w", err)
	}
	for i := range configuration.Webhooks {
		at := &configuration.Webhooks[i].ClientConfig
		url := "https://" + s.admission + *at.Service.Path
		at.Service, at.URL = nil, &url
	}
	return yaml.Marshal(configuration)
}

// Apply applies one object's YAML like `kubectl apply --server-side`.
func (s *Stage) Apply(ctx context.Context, text []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, object); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	if err := s.Kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership); err != nil {
		return nil, fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return object, nil
}
