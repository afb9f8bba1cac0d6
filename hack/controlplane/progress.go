// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// reportEvery is how often progress is reported.
const reportEvery = 10 * time.Second

// report writes the current activity, immediately and then every ten seconds with the
// elapsed time, until the returned function is called. say is called from another
// goroutine.
func report(w io.Writer, say func() string) (stop func()) {
	start := time.Now()
	fmt.Fprintf(w, "controlplane: %s\n", say())
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(w, "controlplane: %s (%s)\n", say(), time.Since(start).Round(time.Second))
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}
