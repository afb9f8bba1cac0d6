// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/krew/pkg/index"
	"sigs.k8s.io/yaml"
)

// TestPluginRelease builds the release of the kubectl plugin twice, which must give the same
// files, and installs it as Krew does. With PLUGIN=all it builds for all platforms.
func TestPluginRelease(t *testing.T) {
	g := NewWithT(t)
	const epoch, version, downloads = "1767225600", "v1.2.3", "https://releases.example.com/v1.2.3"
	host := runtime.GOOS + "/" + runtime.GOARCH
	arguments := []string{"run", "./hack/plugin", "--version=" + version, "--downloads=" + downloads, "--platforms=" + host}
	platforms := 1
	if os.Getenv("PLUGIN") == "all" {
		arguments, platforms = arguments[:len(arguments)-1], 6
	}
	build := func() string {
		output := t.TempDir()
		command := exec.CommandContext(t.Context(), "go", append(arguments, "--output="+output)...)
		command.Dir, command.Env = root, append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch)
		said, err := command.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(said))
		return output
	}
	first, second := build(), build()
	files, err := os.ReadDir(first)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).To(HaveLen(platforms + 2))
	read := func(directory, name string) []byte {
		content, err := os.ReadFile(filepath.Join(directory, name))
		g.Expect(err).NotTo(HaveOccurred())
		return content
	}
	for _, file := range files {
		g.Expect(bytes.Equal(read(first, file.Name()), read(second, file.Name()))).To(BeTrue(), file.Name())
	}

	var plugin index.Plugin
	g.Expect(yaml.UnmarshalStrict(read(first, "rehive.yaml"), &plugin)).To(Succeed())
	g.Expect(plugin.APIVersion + " " + plugin.Kind + " " + plugin.Name).To(Equal("krew.googlecontainertools.github.com/v1alpha2 Plugin rehive"))
	g.Expect(plugin.Spec.Version).To(Equal(version))
	g.Expect(plugin.Spec.Homepage).To(HavePrefix("https://"))
	g.Expect(len(plugin.Spec.ShortDescription)).To(BeNumerically("<=", 50), "Krew's guide")
	g.Expect(plugin.Spec.Platforms).To(HaveLen(platforms))
	checksums := string(read(first, "checksums.txt"))
	for i := range plugin.Spec.Platforms {
		p := &plugin.Spec.Platforms[i]
		archive := path.Base(p.URI)
		g.Expect(p.URI).To(Equal(downloads + "/" + archive))
		g.Expect(p.Selector.MatchLabels).To(And(HaveLen(2), HaveKey("os"), HaveKey("arch")))
		content := read(first, archive)
		sum := sha256.Sum256(content)
		g.Expect(p.Sha256).To(Equal(hex.EncodeToString(sum[:])))
		g.Expect(checksums).To(ContainSubstring(p.Sha256 + "  " + archive + "\n"))
		unpacked := unpack(g, archive, content)
		installed := t.TempDir()
		for _, operation := range p.Files {
			g.Expect(unpacked).To(HaveKey(operation.From), archive)
			g.Expect(os.WriteFile(filepath.Join(installed, operation.To, operation.From), unpacked[operation.From], 0o700)).To(Succeed())
		}
		g.Expect(unpacked).To(HaveLen(len(p.Files)), archive)
		g.Expect(unpacked).To(HaveKey("LICENSE"), archive)
		if p.Selector.MatchLabels["os"] != "windows" {
			g.Expect(unpacked).To(HaveKey("kubectl_complete-rehive"), archive)
		}
		if p.Selector.MatchLabels["os"]+"/"+p.Selector.MatchLabels["arch"] != host {
			continue
		}
		run := func(program string, args ...string) string {
			command := exec.CommandContext(t.Context(), filepath.Join(installed, program), args...)
			command.Env = append(os.Environ(), "PATH="+installed+":"+os.Getenv("PATH"))
			said, err := command.CombinedOutput()
			g.Expect(err).NotTo(HaveOccurred(), string(said))
			return string(said)
		}
		g.Expect(run(p.Bin, "--version")).To(ContainSubstring(version))
		g.Expect(run("kubectl_complete-rehive", "previ")).To(ContainSubstring("preview\t"))
		directory, err := filepath.Abs(root)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Contains(unpacked[p.Bin], []byte(directory))).To(BeFalse(), "the path of this machine")
	}
}

// unpack returns the files of an archive.
func unpack(g *WithT, name string, content []byte) map[string][]byte {
	unpacked := make(map[string][]byte)
	if strings.HasSuffix(name, ".zip") {
		archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		g.Expect(err).NotTo(HaveOccurred())
		for _, file := range archive.File {
			opened, err := file.Open()
			g.Expect(err).NotTo(HaveOccurred())
			unpacked[file.Name], err = io.ReadAll(opened)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(opened.Close()).To(Succeed())
		}
		return unpacked
	}
	compressed, err := gzip.NewReader(bytes.NewReader(content))
	g.Expect(err).NotTo(HaveOccurred())
	archive := tar.NewReader(compressed)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return unpacked
		}
		g.Expect(err).NotTo(HaveOccurred())
		unpacked[header.Name], err = io.ReadAll(archive)
		g.Expect(err).NotTo(HaveOccurred())
	}
}
