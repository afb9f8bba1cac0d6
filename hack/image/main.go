// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// The image program builds the operator's container image without a container daemon: one
// static binary, the certificates of the public authorities, and nothing of a distribution.
// The same sources and Go version give the same digest.
//
//	go run . --version=v0.1.0                              writes an OCI layout to dist/image
//	go run . --version=v0.1.0 --push=registry.example.com/rehive/extension-operator
package main

import (
	"context"
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

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// options are the program's flags.
type options struct {
	source    string // the repository
	platforms []string
	version   string
	output    string
	push      string
	created   time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := options{}
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "comma-separated `platforms`")
	flag.StringVar(&o.source, "source", "../..", "`directory` of the repository")
	flag.StringVar(&o.version, "version", "dev", "`version` of the operator, also the tag")
	flag.StringVar(&o.output, "output", "../../dist/image", "`directory` for the OCI layout and the SBOMs")
	flag.StringVar(&o.push, "push", "", "`repository` to push the image to, such as registry.example.com/rehive/extension-operator")
	flag.Parse()
	o.platforms = strings.Split(*platforms, ",")
	err := build(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// build compiles the manager for each platform and writes the image.
func build(ctx context.Context, o options) (err error) {
	if o.created, err = created(ctx, o.source); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "image-")
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.MkdirAll(o.output, 0o750); err != nil {
		return fmt.Errorf("creating the output directory: %w", err)
	}
	var images []platformImage
	for _, platform := range o.platforms {
		binary := filepath.Join(work, strings.ReplaceAll(platform, "/", "-"))
		if err := compile(ctx, o, platform, binary); err != nil {
			return err
		}
		image, err := newImage(binary, platform, o.version, o.created)
		if err != nil {
			return fmt.Errorf("building the image for %s: %w", platform, err)
		}
		images = append(images, image)
		sbom, err := newSBOM(binary, o.version, o.created)
		if err != nil {
			return fmt.Errorf("listing the modules for %s: %w", platform, err)
		}
		file := filepath.Join(o.output, "sbom-"+strings.ReplaceAll(platform, "/", "-")+".spdx.json")
		if err := os.WriteFile(file, sbom, 0o600); err != nil {
			return fmt.Errorf("writing the SBOM: %w", err)
		}
	}
	index := newIndex(images, o.version, o.created)
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("building the image: %w", err)
	}
	if err := write(index, filepath.Join(o.output, "oci")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.output, "digest"), []byte(digest.String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the digest: %w", err)
	}
	fmt.Println(digest)
	if o.push == "" {
		return nil
	}
	tag, err := name.NewTag(o.push + ":" + o.version)
	if err != nil {
		return fmt.Errorf("--push: %w", err)
	}
	if err := remote.WriteIndex(tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing %s: %w", tag, err)
	}
	return nil
}

// write replaces an OCI layout.
func write(index v1.ImageIndex, directory string) error {
	if err := os.RemoveAll(directory); err != nil {
		return fmt.Errorf("removing the previous image: %w", err)
	}
	if _, err := layout.Write(directory, index); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

// created returns the time that the image states: $SOURCE_DATE_EPOCH, or that of the last
// commit.
func created(ctx context.Context, source string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		output, err := exec.CommandContext(ctx, "git", "-C", source, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("reading the time of the last commit (or set SOURCE_DATE_EPOCH): %w", err)
		}
		text = strings.TrimSpace(string(output))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH must be a number of seconds, not %q", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// compile builds a static manager. Neither paths nor the state of the checkout are in it.
func compile(ctx context.Context, o options, platform, binary string) error {
	system, architecture, _ := strings.Cut(platform, "/")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X main.version="+o.version, "-o", binary, "./cmd/manager")
	command.Dir = o.source
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+architecture, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("compiling the manager for %s: %w", platform, err)
	}
	return nil
}
