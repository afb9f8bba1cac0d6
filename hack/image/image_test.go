// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// maxSize is the limit on the compressed image of a platform.
const maxSize = 60 << 20

// TestImage builds the image for this platform twice, which must give one digest, reads
// what is in it and runs its binary. With IMAGE=all it does so for all platforms.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the manager")
	}
	platforms := []string{"linux/" + runtime.GOARCH}
	if os.Getenv("IMAGE") == "all" {
		platforms = []string{"linux/amd64", "linux/arm64"}
	}
	var digests []string
	var index v1.ImageIndex
	output := t.TempDir()
	for _, directory := range []string{filepath.Join(output, "first"), filepath.Join(output, "second")} {
		if err := build(context.Background(), options{source: "../..", platforms: platforms, version: "v1.2.3", output: directory}); err != nil {
			t.Fatal(err)
		}
		read, err := layout.ImageIndexFromPath(filepath.Join(directory, "oci"))
		if err != nil {
			t.Fatal(err)
		}
		digest, err := read.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests, index = append(digests, digest.String()), read
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds have the digests %s and %s", digests[0], digests[1])
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(platforms) {
		t.Fatalf("the image has %d platforms, not %d", len(manifest.Manifests), len(platforms))
	}
	for i, descriptor := range manifest.Manifests {
		if got := descriptor.Platform.String(); got != platforms[i] {
			t.Errorf("the platform is %s, not %s", got, platforms[i])
		}
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, image, descriptor.Platform.Architecture)
		checkSBOM(t, filepath.Join(output, "first", "sbom-"+strings.ReplaceAll(platforms[i], "/", "-")+".spdx.json"))
	}
}

func checkImage(t *testing.T, image v1.Image, architecture string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/manager" {
		t.Errorf("the image runs %v as %s", config.Config.Entrypoint, config.Config.User)
	}
	if config.Config.Labels["org.opencontainers.image.version"] != "v1.2.3" {
		t.Errorf("the labels are %v", config.Config.Labels)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	files := make(map[string][]byte)
	for _, layer := range layers {
		compressed, err := layer.Size()
		if err != nil {
			t.Fatal(err)
		}
		size += compressed
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(content)
		for {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if header.Uid != 0 || header.Mode&0o022 != 0 {
				t.Errorf("%s belongs to %d with mode %o", header.Name, header.Uid, header.Mode)
			}
			if header.Typeflag == tar.TypeReg {
				if files[header.Name], err = io.ReadAll(archive); err != nil {
					t.Fatal(err)
				}
			}
		}
		content.Close()
	}
	if size > maxSize {
		t.Errorf("the image has %d MiB", size>>20)
	}
	if len(files) != 4 {
		t.Errorf("the image has %d files, not 4", len(files))
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(files["etc/ssl/certs/ca-certificates.crt"]) || strings.Count(string(files["etc/ssl/certs/ca-certificates.crt"]), "BEGIN") < 100 {
		t.Error("the certificates cannot be read")
	}
	binary := filepath.Join(t.TempDir(), "manager")
	if err := os.WriteFile(binary, files["manager"], 0o700); err != nil {
		t.Fatal(err)
	}
	program, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the manager is not static")
		}
	}
	if architecture != runtime.GOARCH {
		return
	}
	command := exec.Command(binary, "--help")
	command.Env = []string{}
	help, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(help), "-public-url") {
		t.Errorf("the manager does not run: %v\n%s", err, help)
	}
}

func checkSBOM(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		SPDXVersion string
		Packages    []spdxPackage
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string)
	for _, p := range document.Packages {
		names[p.Name] = p.Version
	}
	if document.SPDXVersion != "SPDX-2.3" || names["github.com/rehive/extension-operator"] != "v1.2.3" || names["modernc.org/sqlite"] == "" || names["stdlib"] == "" {
		t.Errorf("the SBOM lists %v", names)
	}
}
