// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the instrumentation.
const scope = "github.com/rehive/extension-operator"

// serviceName is the default name of the service in traces.
const serviceName = "rehive-extension-operator"

const (
	// defaultTimeout bounds one request to the collector, exportTimeout all requests for one
	// batch.
	defaultTimeout = 10 * time.Second
	exportTimeout  = 30 * time.Second
	// defaultQueue and maxQueue are how many spans wait to be exported.
	defaultQueue = 2048
	maxQueue     = 1 << 16
)

// Options configure a Tracer, besides the environment.
type Options struct {
	// Version is the operator's.
	Version string
	// Registerer registers the metric of exported spans; nil keeps it unregistered.
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// New returns a tracer that exports to an OpenTelemetry collector over OTLP/HTTP, as
// OpenTelemetry's environment variables say: OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME and OTEL_BSP_*. It connects to the collector only
// when there are spans. It returns nil if OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is
// none. An error names the variable and what to set.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if disabled, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); disabled {
		return nil, nil //nolint:nilnil // a nil Tracer creates no traces
	}
	switch kind := os.Getenv("OTEL_TRACES_EXPORTER"); kind {
	case "none":
		return nil, nil //nolint:nilnil // as above
	case "", "otlp":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, not %q", kind)
	}
	sampler, err := readSampler()
	if err != nil {
		return nil, err
	}
	size, err := readNumber("OTEL_BSP_MAX_QUEUE_SIZE", defaultQueue, maxQueue)
	if err != nil {
		return nil, err
	}
	described, err := describe(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	exporter, err := newExporter(ctx, o)
	if err != nil {
		return nil, err
	}
	// Errors inside the SDK, which would otherwise be printed.
	otel.SetLogger(o.Log)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(exporter.failed))
	batches := sdktrace.NewBatchSpanProcessor(exporter, sdktrace.WithMaxQueueSize(size), sdktrace.WithExportTimeout(exportTimeout))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // Tracer.Event asks the sampler
		sdktrace.WithIDGenerator(identifiers{randomSpanID}),
		sdktrace.WithResource(described),
		sdktrace.WithSpanProcessor(&queue{SpanProcessor: batches, exporter: exporter, size: int64(size)}),
	)
	return &Tracer{
		provider: provider, exporter: exporter, sampler: sampler,
		tracer: provider.Tracer(scope),
	}, nil
}

func randomSpanID() (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero
	return id
}

// newExporter returns the exporter that the environment describes.
func newExporter(ctx context.Context, o Options) (*exporter, error) {
	if err := checkEndpoint(); err != nil {
		return nil, err
	}
	if name, protocol := first("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return nil, fmt.Errorf("%s must be http/protobuf, the only protocol that is supported, not %q", name, protocol)
	}
	name, milliseconds := first("TIMEOUT")
	timeout := defaultTimeout
	if milliseconds != "" {
		n, err := readNumber(name, 0, int(exportTimeout.Milliseconds()))
		if err != nil {
			return nil, err
		}
		timeout = time.Duration(n) * time.Millisecond
	}
	config, err := readTLS()
	if err != nil {
		return nil, err
	}
	e := &exporter{client: newHTTPClient(timeout, config), log: o.Log, spans: newSpansMetric()}
	e.logged.Interval = logEvery
	e.Exporter, err = otlptrace.New(ctx, otlptracehttp.NewClient(otlptracehttp.WithHTTPClient(e.client), otlptracehttp.WithMaxResponseSize(maxAnswer),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: exportTimeout})))
	if err != nil {
		return nil, fmt.Errorf("setting up the export of traces: %w", err)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(e.spans); err != nil {
			return nil, fmt.Errorf("registering the metric of traces: %w", err)
		}
	}
	return e, nil
}

// first returns the variable of an exporter's setting that is set, and its value. The one for
// traces takes precedence.
func first(setting string) (name, value string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + setting, "OTEL_EXPORTER_OTLP_" + setting} {
		if value := strings.TrimSpace(os.Getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

// checkEndpoint checks the URL of the collector. Errors don't repeat it, because it may hold a
// password.
func checkEndpoint() error {
	name, value := first("ENDPOINT")
	if name == "" {
		return errors.New("OTEL_EXPORTER_OTLP_ENDPOINT is required with --tracing: set it to the URL of an OpenTelemetry collector, such as http://collector.observability:4318")
	}
	switch u, err := url.Parse(value); {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("%s must be an http or https URL, such as http://collector.observability:4318", name)
	case u.User != nil:
		return fmt.Errorf("%s must not contain credentials: set OTEL_EXPORTER_OTLP_HEADERS instead", name)
	}
	return nil
}

// readNumber returns the positive number in a variable.
func readNumber(name string, otherwise, most int) (int, error) {
	value := strings.TrimSpace(os.Getenv(name))
	if value == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s must be a number between 1 and %d, not %q", name, most, value)
	}
	return n, nil
}

// readSampler returns the sampler of OTEL_TRACES_SAMPLER. No trace has a parent of somebody
// else's, so the samplers that depend on a parent are the same as those that don't.
func readSampler() (sdktrace.Sampler, error) {
	kind, share := strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER"))), strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	switch kind {
	case "", "always_on", "parentbased_always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off", "parentbased_always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio", "parentbased_traceidratio":
		ratio, err := strconv.ParseFloat(share, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG must be a number between 0 and 1 with OTEL_TRACES_SAMPLER=%s, not %q", kind, share)
		}
		return sdktrace.TraceIDRatioBased(ratio), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER must be always_on, always_off, traceidratio or one of these after parentbased_, not %q", kind)
}

// readTLS returns the certificates for connections to the collector. The SDK would ignore a
// file that it can't read.
func readTLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if name, file := first("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return nil, fmt.Errorf("reading the file of %s: %w", name, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the file of %s contains no PEM certificate", name)
		}
	}
	name, certificate := first("CLIENT_CERTIFICATE")
	keyName, key := first("CLIENT_KEY")
	switch {
	case certificate == "" && key == "":
		return config, nil
	case certificate == "" || key == "":
		return nil, errors.New("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY must be set together")
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading the files of %s and %s: %w", name, keyName, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// describe returns the attributes of the process. Those in the environment take precedence.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	host, err := os.Hostname() // in a cluster, the name of the pod
	if err != nil {
		host = strconv.Itoa(os.Getpid())
	}
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(serviceName), semconv.ServiceVersion(version), semconv.ServiceInstanceID(host)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME: %w", err)
	}
	return r, nil
}
