// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command installer writes a kustomization, with the image to run, as one file that kubectl
// can apply without this repository.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// configuredImage is the image that config/manager names.
const configuredImage = "image: rehive/extension-operator:"

func main() {
	overlay := flag.String("overlay", "config/default", "`directory` of the kustomization")
	image := flag.String("image", "", "`image` to run, such as registry.example.com/extension-operator:v0.1.0; by default the kustomization's")
	output := flag.String("output", "dist/install.yaml", "`file` to write")
	flag.Parse()
	if err := write(*overlay, *image, *output); err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func write(overlay, image, output string) error {
	content, err := build(overlay, image)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o750); err != nil {
		return fmt.Errorf("creating the directory of the installer: %w", err)
	}
	if err := os.WriteFile(output, content, 0o600); err != nil {
		return fmt.Errorf("writing the installer: %w", err)
	}
	return nil
}

// build renders a kustomization in the order in which kubectl applies it.
func build(overlay, image string) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), overlay)
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", overlay, err)
	}
	content, err := resources.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", overlay, err)
	}
	if image == "" {
		return content, nil
	}
	lines := strings.SplitAfter(string(content), "\n")
	replaced := false
	for i, line := range lines {
		if trimmed := strings.TrimLeft(line, " -"); strings.HasPrefix(trimmed, configuredImage) {
			lines[i] = strings.TrimSuffix(line, trimmed) + "image: " + image + "\n"
			replaced = true
		}
	}
	if !replaced {
		return nil, errors.New("the kustomization does not run rehive/extension-operator, so --image replaces nothing")
	}
	return []byte(strings.Join(lines, "")), nil
}
