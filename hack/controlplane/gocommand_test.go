// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestLinesCountPackages(t *testing.T) {
	var l lines
	for _, piece := range []string{"go: downloading x v1\nk8s.io/a", "pi/core/v1\nunicode\n", "# k8s.io/broken\n", "k8s.io/unfin"} {
		if _, err := l.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	count, last := l.packages()
	if count != 2 || last != "# k8s.io/broken" {
		t.Errorf("got %d packages and last line %q", count, last)
	}
	if tail := l.tail(); !strings.HasSuffix(tail, "k8s.io/api/core/v1\nunicode\n# k8s.io/broken\nk8s.io/unfin") {
		t.Errorf("got tail %q", tail)
	}
}

func TestCommandErrorHasOutput(t *testing.T) {
	_, err := command(t.Context(), &lines{}, nil, "sh", "-c", "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3")
	if err == nil {
		t.Fatal("want an error")
	}
	for _, part := range []string{"exit status 3", "line 3", "line 7"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q doesn't say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %q contains more than the last lines", err)
	}
}

// A firewall that drops packets makes a download hang; it must time out so that the next
// source is tried.
func TestCommandTimesOut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := command(ctx, &lines{}, nil, "sleep", "600"); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("got error %v, want one about time", err)
	}
}
