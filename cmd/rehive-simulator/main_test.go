// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRunServesUntilStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"--listen=127.0.0.1:0", "--extension-url=http://127.0.0.1:1/api/"}, w)
		_ = w.Close()
	}()
	var said strings.Builder
	buffer := make([]byte, 1<<16)
	for !strings.Contains(said.String(), `{"active":true}`) {
		n, err := r.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			t.Fatalf("ended early: %v, said %s", err, said.String())
		}
	}
	control := strings.Fields(strings.SplitN(said.String(), "Control API:", 2)[1])[0]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, control+"companies/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(string(body), `"demo"`) {
		t.Errorf("the companies are %s", body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--listen=here"}, {"--retry-compression=0"}, {"--throttle=-1"}, {"--workers=0"}, {"--extension-url=nope"},
		{"--seed=false", "--extension-url=http://127.0.0.1/"}, {"extra"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}
