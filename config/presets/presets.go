// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package presets contains the NotificationTemplates and NotificationLayouts of this
// project, with one directory for each template. A platform team can install them with
// kubectl apply -k config/presets and change them.
package presets

import (
	"embed"
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

//go:embed */template.yaml layouts/*.yaml
var files embed.FS

// Templates returns the templates, sorted by name.
func Templates() ([]v1alpha1.NotificationTemplate, error) {
	return read[v1alpha1.NotificationTemplate]("*/template.yaml")
}

// Layouts returns the layouts, sorted by name.
func Layouts() ([]v1alpha1.NotificationLayout, error) {
	return read[v1alpha1.NotificationLayout]("layouts/*.yaml")
}

func read[T any](pattern string) ([]T, error) {
	paths, err := fs.Glob(files, pattern)
	if err != nil {
		return nil, err
	}
	all := make([]T, len(paths))
	for i, path := range paths {
		raw, err := files.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := yaml.UnmarshalStrict(raw, &all[i]); err != nil {
			return nil, fmt.Errorf("reading the preset %s: %w", path, err)
		}
	}
	return all, nil
}
