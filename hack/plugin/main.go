// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command plugin builds the kubectl plugin for release: an archive for each platform, a file
// with their checksums, and a manifest with which Krew installs it. The same sources and Go
// version give the same files.
//
//	SOURCE_DATE_EPOCH=1767225600 go run ./hack/plugin --version=v0.1.0
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// name is that of the plugin in Krew; kubectl runs it as "kubectl rehive".
	name     = "rehive"
	homepage = "https://github.com/rehive/extension-operator"
	// completion is what kubectl calls to complete the plugin's commands, on systems with a
	// shell.
	completion = "kubectl_complete-rehive"
)

// options are the program's flags.
type options struct {
	source    string // the repository
	version   string
	platforms []string
	output    string
	downloads string // the URL of the folder with the archives
	created   time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := options{}
	platforms := flag.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "comma-separated `platforms`")
	flag.StringVar(&o.source, "source", ".", "`directory` of the repository")
	flag.StringVar(&o.version, "version", "", "`version` of the plugin, such as v0.1.0")
	flag.StringVar(&o.output, "output", "dist/plugin", "`directory` for the files")
	flag.StringVar(&o.downloads, "downloads", "", "`URL` of the folder from which Krew downloads the archives; by default that of the release on GitHub")
	flag.Parse()
	o.platforms = strings.Split(*platforms, ",")
	err := o.complete()
	if err == nil {
		err = build(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		os.Exit(1)
	}
}

// complete checks the options and sets those that were not given.
func (o *options) complete() error {
	if !strings.HasPrefix(o.version, "v") {
		return errors.New("--version is required, such as v0.1.0")
	}
	if o.downloads == "" {
		o.downloads = homepage + "/releases/download/" + o.version
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return errors.New("SOURCE_DATE_EPOCH must be the time of the files in seconds, such as $(git log -1 --format=%ct)")
	}
	o.created = time.Unix(seconds, 0).UTC()
	return nil
}

// file is a file of an archive.
type file struct {
	name    string
	mode    os.FileMode
	content []byte
}

// build writes the archives, checksums.txt and the manifest of Krew.
func build(ctx context.Context, o options) (err error) {
	if err := os.MkdirAll(o.output, 0o750); err != nil {
		return fmt.Errorf("creating the output directory: %w", err)
	}
	work, err := os.MkdirTemp("", "plugin-")
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	var checksums bytes.Buffer
	var targets []platform
	for _, target := range o.platforms {
		system, architecture, _ := strings.Cut(target, "/")
		files, err := o.files(ctx, work, system, architecture)
		if err != nil {
			return err
		}
		archive, extension := tarball, ".tar.gz"
		if system == "windows" {
			archive, extension = zipped, ".zip"
		}
		content, err := archive(files, o.created)
		if err != nil {
			return fmt.Errorf("archiving the plugin for %s: %w", target, err)
		}
		archiveName := fmt.Sprintf("kubectl-%s_%s_%s_%s%s", name, o.version, system, architecture, extension)
		if err := o.write(archiveName, content); err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&checksums, "%s  %s\n", hex.EncodeToString(sum[:]), archiveName)
		targets = append(targets, newPlatform(system, architecture, o.downloads+"/"+archiveName, hex.EncodeToString(sum[:]), files))
	}
	manifest, err := yaml.Marshal(newManifest(o.version, targets))
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	return errors.Join(o.write("checksums.txt", checksums.Bytes()), o.write(name+".yaml", manifest))
}

func (o *options) write(file string, content []byte) error {
	if err := os.WriteFile(filepath.Join(o.output, file), content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// files compiles the plugin and returns the files of a platform's archive, the plugin first.
func (o *options) files(ctx context.Context, work, system, architecture string) ([]file, error) {
	plugin := file{name: "kubectl-" + name, mode: 0o755}
	others := []file{{name: "LICENSE", mode: 0o644}, {name: completion, mode: 0o755}}
	if system == "windows" {
		plugin.name += ".exe"
		others = others[:1]
	}
	binary := filepath.Join(work, system+"-"+architecture)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", //nolint:gosec // who builds a release chooses the flags
		"-ldflags=-s -w -buildid= -X main.version="+o.version, "-o", binary, "./cmd/kubectl-rehive")
	command.Dir = o.source
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+architecture, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("compiling the plugin for %s/%s: %w", system, architecture, err)
	}
	var err error
	if plugin.content, err = os.ReadFile(binary); err != nil {
		return nil, fmt.Errorf("reading the plugin: %w", err)
	}
	for i, path := range []string{"LICENSE", "cmd/kubectl-rehive/" + completion}[:len(others)] {
		if others[i].content, err = os.ReadFile(filepath.Join(o.source, path)); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	return append([]file{plugin}, others...), nil
}

// tarball archives files, which all belong to root and have the same time.
func tarball(files []file, created time.Time) ([]byte, error) {
	var content bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&content, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(compressed)
	for _, f := range files {
		err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: created})
		if err != nil {
			return nil, err
		}
		if _, err := archive.Write(f.content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(archive.Close(), compressed.Close())
	return content.Bytes(), err
}

// zipped is tarball for Windows.
func zipped(files []file, created time.Time) ([]byte, error) {
	var content bytes.Buffer
	archive := zip.NewWriter(&content)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: created}
		header.SetMode(f.mode)
		w, err := archive.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return content.Bytes(), err
}
