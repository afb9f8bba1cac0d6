// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const collectorSecret = "a-planted-collector-token"

// A collector that is away or misbehaves delays nobody, and fills neither memory nor the log.
func TestRudeCollectors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	flood := func(w http.ResponseWriter) {
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		for range 1 << 10 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	var elsewhere sync.Map // what a redirect led to
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere.Store(r.URL.Path, true) }))
	defer other.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"absent": nil,
		"hangs":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hangs in its answer": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"gigabyte": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			flood(w)
		},
		"gigabyte with an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			flood(w)
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) },
		"asks for a century": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3153600000")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"closes": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"repeats credentials": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "invalid token "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/stolen", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			url := "http://" + closed.Addr().String()
			if handler != nil {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					handler(w, r)
				}))
				defer server.Close()
				url = server.URL
			}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization="+collectorSecret)
			var mu sync.Mutex
			var lines []string
			log := funcr.New(func(prefix, args string) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, prefix+args)
			}, funcr.Options{})
			registry := prometheus.NewRegistry()
			tracer, err := New(t.Context(), Options{Version: "v1", Log: log, Registerer: registry})
			g.Expect(err).NotTo(HaveOccurred())
			counted := func(results ...string) (sum float64) {
				for _, result := range results {
					sum += testutil.ToFloat64(tracer.exporter.spans.WithLabelValues(result))
				}
				return sum
			}

			const events = defaultQueue + 1024 // two batches more
			for i := range events {
				_, span := tracer.Event("shop", fmt.Sprint(i)).Process(t.Context(), "transaction.execute", 1, false)
				span.End()
			}
			g.Expect(counted(resultExported, resultFailed, resultDropped)).To(BeNumerically(">=", events-defaultQueue), "the queue is bounded, and spans are counted")
			if strings.HasPrefix(name, "hangs") {
				g.Expect(counted(resultDropped)).To(BeNumerically(">", 0), "nobody waits for the collector")
			} else {
				g.Eventually(counted).WithArguments(resultExported, resultFailed).WithTimeout(3*time.Minute).Should(BeNumerically(">", 0), "the collector was asked")
			}

			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begun := time.Now()
			_ = tracer.Shutdown(ctx) // an error says that spans were lost
			g.Expect(time.Since(begun)).To(BeNumerically("<", exportTimeout), "the manager stops")
			g.Expect(counted(resultExported, resultFailed, resultDropped)).To(BeNumerically("<=", events), "once")
			mu.Lock()
			defer mu.Unlock()
			g.Expect(len(lines)).To(BeNumerically("<=", 1), "%v", lines)
			for _, line := range lines {
				g.Expect(len(line)).To(BeNumerically("<", 1024))
				g.Expect(line).NotTo(ContainSubstring(collectorSecret))
			}
			if name == "broken" || name == "repeats credentials" {
				g.Expect(lines).To(ConsistOf(Or(ContainSubstring("500 Internal Server Error"), ContainSubstring("401 Unauthorized"))))
			}
		})
	}
	if _, ok := elsewhere.Load("/stolen"); ok {
		t.Error("a redirect was followed")
	}
}

// Errors name the variable and say what to set, without repeating what may be secret.
func TestInvalidEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no endpoint": {nil, "OTEL_EXPORTER_OTLP_ENDPOINT is required with --tracing: set it to the URL of an OpenTelemetry collector, such as http://collector.observability:4318"},
		"host only":   {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL"},
		"credentials": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://me:" + collectorSecret + "@collector"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must not contain credentials: set OTEL_EXPORTER_OTLP_HEADERS instead"},
		"gRPC":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, `OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, the only protocol that is supported, not "grpc"`},
		"sampler":     {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER must be always_on"},
		"ratio":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"}, "OTEL_TRACES_SAMPLER_ARG must be a number between 0 and 1"},
		"queue":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_BSP_MAX_QUEUE_SIZE": "1000000000"}, "OTEL_BSP_MAX_QUEUE_SIZE must be a number between 1 and 65536"},
		"timeout":     {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "OTEL_EXPORTER_OTLP_TIMEOUT must be a number between 1 and 30000"},
		"certificate": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent"}, "reading the file of OTEL_EXPORTER_OTLP_CERTIFICATE: open /nonexistent"},
		"key":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/nonexistent"}, "must be set together"},
		"exporter":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "zipkin"}, `OTEL_TRACES_EXPORTER must be otlp or none, not "zipkin"`},
		"resource":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_RESOURCE_ATTRIBUTES": "x"}, "reading OTEL_RESOURCE_ATTRIBUTES"},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range test.env {
				t.Setenv(variable, value)
			}
			tracer, err := New(t.Context(), Options{})
			g := NewWithT(t)
			g.Expect(err).To(MatchError(ContainSubstring(test.want)))
			g.Expect(err.Error()).NotTo(ContainSubstring(collectorSecret))
			g.Expect(tracer).To(BeNil())
		})
	}
}

// OpenTelemetry's own switches turn tracing off.
func TestSwitchedOff(t *testing.T) {
	for _, variable := range []string{"OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"} {
		t.Run(variable, func(t *testing.T) {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv(name, value)
			tracer, err := New(t.Context(), Options{})
			g := NewWithT(t)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(tracer).To(BeNil())
			g.Expect(tracer.Shutdown(t.Context())).To(Succeed())
		})
	}
}
