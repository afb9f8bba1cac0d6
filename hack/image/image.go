// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is the numeric user and group that the manager runs as.
const user = "65532"

// platformImage is the image for one platform.
type platformImage struct {
	platform v1.Platform
	image    v1.Image
}

// file is a file of a layer.
type file struct {
	path    string
	mode    int64
	content []byte
}

// labels describe the image, after the OCI's annotations.
func labels(version string, created time.Time) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         "Rehive extension operator",
		"org.opencontainers.image.description":   "Sends the notifications of companies on the wallet platform Rehive from your own cluster.",
		"org.opencontainers.image.source":        "https://github.com/rehive/extension-operator",
		"org.opencontainers.image.documentation": "https://github.com/rehive/extension-operator/tree/main/docs",
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.version":       version,
		"org.opencontainers.image.created":       created.Format(time.RFC3339),
	}
}

// newImage builds the image of one platform: a layer that rarely changes, and the manager.
func newImage(binary, platform, version string, created time.Time) (platformImage, error) {
	manager, err := os.ReadFile(binary)
	if err != nil {
		return platformImage{}, fmt.Errorf("reading the manager: %w", err)
	}
	var layers []v1.Layer
	for _, files := range [][]file{
		{
			{path: "etc/group", mode: 0o644, content: []byte("nonroot:x:" + user + ":\n")},
			{path: "etc/passwd", mode: 0o644, content: []byte("nonroot:x:" + user + ":" + user + ":nonroot:/:/sbin/nologin\n")},
			{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities()},
		},
		{{path: "manager", mode: 0o755, content: manager}},
	} {
		layer, err := newLayer(files, created)
		if err != nil {
			return platformImage{}, err
		}
		layers = append(layers, layer)
	}
	image, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), layers...)
	if err != nil {
		return platformImage{}, fmt.Errorf("adding the layers: %w", err)
	}
	system, architecture, _ := strings.Cut(platform, "/")
	config, err := image.ConfigFile()
	if err != nil {
		return platformImage{}, fmt.Errorf("reading the image's configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = system, architecture, v1.Time{Time: created}
	config.History = []v1.History{{Created: v1.Time{Time: created}}, {Created: v1.Time{Time: created}}}
	config.Config = v1.Config{
		User:       user + ":" + user,
		Entrypoint: []string{"/manager"},
		WorkingDir: "/",
		Env:        []string{"PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Labels:     labels(version, created),
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return platformImage{}, fmt.Errorf("setting the image's configuration: %w", err)
	}
	annotated, ok := mutate.Annotations(image, labels(version, created)).(v1.Image)
	if !ok {
		return platformImage{}, fmt.Errorf("annotating the image: unexpected type")
	}
	return platformImage{platform: v1.Platform{OS: system, Architecture: architecture}, image: annotated}, nil
}

// newIndex combines the images of all platforms.
func newIndex(images []platformImage, version string, created time.Time) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i.image, Descriptor: v1.Descriptor{Platform: &i.platform}})
	}
	annotated, _ := mutate.Annotations(index, labels(version, created)).(v1.ImageIndex)
	return annotated
}

// newLayer archives files, with their directories, which all belong to root and have the
// same time.
func newLayer(files []file, created time.Time) (v1.Layer, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	made := make(map[string]bool)
	for _, f := range files {
		parts := strings.Split(f.path, "/")
		for i := 1; i < len(parts); i++ {
			directory := strings.Join(parts[:i], "/") + "/"
			if made[directory] {
				continue
			}
			made[directory] = true
			if err := writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory, Mode: 0o755, ModTime: created}); err != nil {
				return nil, fmt.Errorf("archiving %s: %w", directory, err)
			}
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: created}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", f.path, err)
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", f.path, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("archiving: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("compressing a layer: %w", err)
	}
	return layer, nil
}

// authorities returns Mozilla's list of certificate authorities as PEM. It comes with a Go
// module, so that it does not depend on the machine that builds the image.
func authorities() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // a PEM file cannot express which certificates it is trusted for
		}
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer never fails
	}
	return text.Bytes()
}
