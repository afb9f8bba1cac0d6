// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// installDownloader puts a fake go command first in PATH, whose "go install" installs the
// given shell script as setup-envtest, because the real one needs the internet.
func installDownloader(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	fakeGo := "#!/bin/sh\ncat >\"$GOBIN/setup-envtest\" <<'END'\n#!/bin/sh\n" + script + "\nEND\nchmod +x \"$GOBIN/setup-envtest\"\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(fakeGo), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv(noDownloadVariable, "")
}

func workDirectory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "assets")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDownload(t *testing.T) {
	// setup-envtest leaves its directory read-only and prints it without a line end.
	installDownloader(t, `
[ "$1 $2 $3" = "list 1.36.x --bin-dir" ] && exit
[ "$1 $2 $3 $5 $6" = "use 1.36.x --bin-dir --print path" ] || exit 9
into=$4/k8s/1.36.2-here
mkdir -p "$into" && cd "$into" && touch etcd kube-apiserver kubectl && chmod 555 etcd kube-apiserver kubectl . && printf %s "$into"`)
	dir := workDirectory(t)
	if err := (versions{kubernetes: "v1.36.3"}).download(t.Context(), dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	if gone := missing(dir, complete); len(gone) > 0 {
		t.Errorf("%s isn't in the directory", list(gone))
	}
}

func TestDownloadOffline(t *testing.T) {
	installDownloader(t, `echo "no such host" >&2; exit 2`)
	err := versions{kubernetes: "v1.36.3"}.download(t.Context(), workDirectory(t), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "asking for Kubernetes 1.36.x") || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got error %v, want one with the request and the cause", err)
	}
}

func TestDownloadSwitchedOff(t *testing.T) {
	installDownloader(t, "exit 0")
	t.Setenv(noDownloadVariable, "1")
	err := versions{kubernetes: "v1.36.3"}.download(t.Context(), workDirectory(t), io.Discard)
	if err == nil || !strings.Contains(err.Error(), noDownloadVariable) {
		t.Errorf("got error %v, want one that names %s", err, noDownloadVariable)
	}
}
