// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	const image = "registry.example.com/extension-operator@sha256:0123"
	output := filepath.Join(t.TempDir(), "dist", "install.yaml")
	if err := write("../../config/default", image, output); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	if strings.Count(text, "image: "+image+"\n") != 1 || strings.Contains(text, configuredImage) {
		t.Error("the image was not replaced")
	}
	crd, deployment := strings.Index(text, "kind: CustomResourceDefinition"), strings.Index(text, "kind: Deployment")
	if namespace := strings.Index(text, "kind: Namespace"); namespace < 0 || crd < namespace || deployment < crd {
		t.Error("the Namespace and the CRDs must come before the objects that need them")
	}
}

func TestMissingImage(t *testing.T) {
	if _, err := build("../../config/crd", "x"); err == nil {
		t.Error("an image that replaces nothing must be an error")
	}
	if _, err := build("../../config/nowhere", ""); err == nil {
		t.Error("a missing directory must be an error")
	}
}
