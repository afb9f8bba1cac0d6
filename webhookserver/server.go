// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/tracing"
	"github.com/rehive/extension-operator/internal/unsubscribe"
	"github.com/rehive/extension-operator/webhookserver/admin"
	"github.com/rehive/extension-operator/webhookserver/user"
)

// Ledger is the part of the ledger that the server uses.
type Ledger interface {
	admin.Ledger
	user.Ledger
}

// Activations finds activations in the manager's cache. *activation.Index implements it.
type Activations = activation.Finder

// Options configure a Server.
type Options struct {
	// Address is the address to listen on, such as ":8080".
	Address string
	// Listener replaces Address. The Server closes it.
	Listener net.Listener
	// CertFile and KeyFile enable TLS; they are reloaded when they change. Without them the
	// server speaks plain HTTP, behind an ingress that terminates TLS.
	CertFile, KeyFile string

	// Client reads from the manager's cache, which must index NotificationRules by
	// activation.RuleField, and writes.
	Client client.Client
	// Activations finds a company's activation in the manager's cache.
	Activations Activations
	// APIReader reads from the API server. Lifecycle calls use it to read current state.
	APIReader client.Reader
	// Platform verifies the tokens of lifecycle and API calls.
	Platform *rehive.Client
	// Ledger stores accepted webhooks, messages and the users' choices.
	Ledger Ledger
	// Previews evaluates rules without sending. If nil, the API offers no previews.
	Previews admin.Previewer
	// PublicURL is where callers reach the server, without a slash at its end. Links to
	// further pages of a list begin with it, or with the request's host if it is empty.
	PublicURL string
	// Unsubscribe checks the links by which users opt out; nil serves no page for them.
	Unsubscribe *unsubscribe.Links
	// TrustedProxies are the networks of the reverse proxies in front of the server. Limits
	// and the platform's access rules apply to the address that they report in
	// X-Forwarded-For; the header is ignored on all other connections.
	TrustedProxies []netip.Prefix
	// AllowedOrigins are the origins of the web pages that may call the admin and the
	// user API from a browser, such as https://dashboard.example.com; none if empty.
	AllowedOrigins []string
	// Namespace is where the CompanyActivation of a company is created if nobody declared
	// one.
	Namespace string
	// Namespaces decides which namespaces may hold the CompanyActivations of which
	// companies. It should allow Namespace; the zero value allows none.
	Namespaces activation.Namespaces
	// PurgeGrace is how long a purged company's data is kept, inaccessible, in case
	// the company is activated again; 0 removes it at once.
	PurgeGrace time.Duration

	// Quotas returns how many messages a company may send on one day; unlimited if nil.
	Quotas func(*v1alpha1.CompanyActivation) admin.Quotas
	// Suppressions returns why nothing is sent to the recipient of a message; nobody is
	// suppressed if it is nil.
	Suppressions func(context.Context, *ledger.Delivery) (ledger.SuppressionReason, error)
	// Feedback receives what providers report about messages. If nil, they can't.
	Feedback Feedback
	// Version is the operator's, for the description of the API.
	Version string

	// DrainDelay is how long the server keeps accepting requests after it becomes unready
	// on shutdown, so that load balancers notice.
	DrainDelay time.Duration
	// Limits overrides the default limits; zero fields keep their defaults.
	Limits Limits
	// Traces records the webhooks that were accepted; nil records none.
	Traces *tracing.Tracer
	// Log is the server's logger; the zero value discards everything.
	Log logr.Logger
	// Registerer registers the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Now replaces the clock that timestamps events; nil means time.Now.
	Now func() time.Time
}

// Server serves the extension's HTTP API. Create it with New and add it to a manager, which
// starts and stops it.
type Server struct {
	listener    *connections
	certs       *certwatcher.CertWatcher
	handler     http.Handler
	client      client.Client
	activations Activations
	activation  *activation.Lifecycle
	platform    *rehive.Client
	ledger      Ledger
	quotas      func(*v1alpha1.CompanyActivation) admin.Quotas
	version     string

	suppressions  func(context.Context, *ledger.Delivery) (ledger.SuppressionReason, error)
	feedback      Feedback
	feedbackSlots *flow.Budget // by provider

	unsubscribe *unsubscribe.Links

	traces     *tracing.Tracer
	previews   admin.Previewer
	publicURL  string
	proxies    trustedProxies
	drainDelay time.Duration
	limits     Limits
	log        logr.Logger
	metrics    *metrics
	now        func() time.Time

	apiSlots      *flow.Budget // of the admin and the user API, by company
	streams       *streams
	searches      keyedMutex // of the log, by company
	writes        writes     // to the API server, by company
	knownNetworks knownNetworks
	// Limits on verifying tokens with the platform, for known callers and for strangers.
	knownCalls, strangersCalls *flow.Gate
	tokens                     *tokenCache
	tokenLocks                 keyedMutex
	handshakes                 *handshakes  // nil without TLS
	bodyBytes, webhookSlots    *flow.Budget // by company
	apiWork                    *flow.Budget // by company, as are the next two
	apiBodies, apiAnswers      *flow.Budget
	freeAnswers                *rate.Limiter

	lifecycleSlots *flow.Budget // by company
	companies      keyedMutex
	ledgerErrors   rate.Sometimes // keeps a full disk from filling another with logs
	serving        atomic.Bool
	// refusalLogs limits the logged refusals of lifecycle calls; unloggedRefusals counts
	// the others since the last logged one.
	refusalLogs      *rate.Limiter
	unloggedRefusals atomic.Int64
}

var (
	_ manager.Runnable               = (*Server)(nil)
	_ manager.LeaderElectionRunnable = (*Server)(nil)
)

// New returns a server that already listens but doesn't answer before Start, so that an
// address in use or an unreadable certificate is an error here.
func New(o Options) (*Server, error) {
	switch {
	case o.Client == nil, o.Activations == nil, o.APIReader == nil, o.Platform == nil, o.Ledger == nil:
		return nil, errors.New("the HTTP server needs a client, activations, an API reader, a platform, an event store and a message store")
	case o.Namespace == "":
		return nil, errors.New("the HTTP server needs a namespace for the activations it creates")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return nil, errors.New("TLS needs both a certificate file and a key file")
	}
	if o.Quotas == nil {
		o.Quotas = func(*v1alpha1.CompanyActivation) admin.Quotas { return admin.Quotas{SMS: -1, Email: -1} }
	}
	if o.Suppressions == nil {
		o.Suppressions = func(context.Context, *ledger.Delivery) (ledger.SuppressionReason, error) { return "", nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	s := &Server{
		client:       o.Client,
		activations:  o.Activations,
		platform:     o.Platform,
		ledger:       o.Ledger,
		quotas:       o.Quotas,
		suppressions: o.Suppressions,
		feedback:     o.Feedback,
		version:      cmp.Or(o.Version, "dev"),
		traces:       o.Traces,
		previews:     o.Previews,
		publicURL:    o.PublicURL,
		unsubscribe:  o.Unsubscribe,
		proxies:      o.TrustedProxies,
		drainDelay:   o.DrainDelay,
		limits:       o.Limits.withDefaults(),
		log:          o.Log,
		now:          o.Now,
		tokens:       newTokenCache(),
		ledgerErrors: rate.Sometimes{First: 1, Interval: time.Second},
	}
	s.activation = &activation.Lifecycle{
		Client: o.Client, APIReader: o.APIReader, Cache: o.Activations, Platform: o.Platform,
		Namespaces: o.Namespaces, Namespace: o.Namespace, PurgeGrace: o.PurgeGrace,
		Reserve: s.limits.RollbackReserve, PlatformTimeout: s.limits.PlatformCall, Now: o.Now,
	}
	s.refusalLogs = rate.NewLimiter(refusalLogRate, refusalLogBurst)
	s.bodyBytes = flow.NewBudget(s.limits.BodyBytes)
	s.apiWork = flow.NewBudget(int64(s.limits.APIWork))
	s.apiBodies = flow.NewFairBudget(s.limits.APIBodyBytes)
	s.apiAnswers = flow.NewFairBudget(s.limits.APIAnswerBytes)
	s.webhookSlots = flow.NewBudget(int64(s.limits.Webhooks))
	s.freeAnswers = rate.NewLimiter(rate.Limit(s.limits.FreeAnswers), max(1, int(s.limits.FreeAnswers)))
	s.lifecycleSlots = flow.NewBudget(int64(s.limits.LifecycleCalls))
	s.feedbackSlots = flow.NewBudget(feedbackCalls)
	s.apiSlots = flow.NewFairBudget(int64(s.limits.APICalls))
	s.streams = newStreams(s.limits.Streams, s.limits.StreamTime)
	s.knownCalls = flow.NewGate(flow.GateOptions{
		Rate: s.limits.KnownRate, Burst: knownBurst, FullDemand: knownDemand, Concurrent: s.limits.LifecycleCalls, Waiting: s.limits.Connections,
	})
	s.strangersCalls = flow.NewGate(flow.GateOptions{
		Rate: s.limits.StrangerRate, Burst: rehive.StrangerBurst, FullDemand: strangersDemand, Concurrent: strangersAtOnce, Waiting: s.limits.Connections,
	})
	var err error
	if s.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	if o.CertFile != "" {
		if s.certs, err = certwatcher.New(o.CertFile, o.KeyFile); err != nil {
			return nil, fmt.Errorf("reading the HTTP server's certificate: %w", err)
		}
	}
	if s.handler, err = s.routes(o.AllowedOrigins); err != nil {
		return nil, err
	}

	listener := o.Listener
	if listener == nil {
		listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", o.Address)
		if err != nil {
			return nil, fmt.Errorf("listening for HTTP requests: %w", err)
		}
	}
	s.listener = newConnections(listener, s.limits.Connections, s.limits.ReadTimeout, s.lookUp, s.metrics.evictedConnections.Inc)
	if s.certs != nil {
		perSecond := s.limits.Handshakes
		if certificate, _ := s.certs.GetCertificate(nil); perSecond == 0 && certificate != nil {
			perSecond = handshakesPerSecond(certificate)
		}
		s.handshakes = newHandshakes(s.listener, perSecond, s.limits.ReadHeaderTimeout)
	}
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Handler returns the server's handler, for serving it without Start.
func (s *Server) Handler() http.Handler { return s.handler }

// Close stops listening. It is for a server that is never started.
func (s *Server) Close() error { return s.listener.Close() }

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready is a readiness check (healthz.Checker). It fails before the server serves and as
// soon as shutdown begins.
func (s *Server) Ready(*http.Request) error {
	if !s.serving.Load() {
		return errors.New("the HTTP server is not serving")
	}
	return nil
}

// Start serves until ctx ends, then lets the requests in flight finish. It
// implements manager.Runnable, and is called once.
func (s *Server) Start(ctx context.Context) error {
	// Requests in flight must not be cancelled by the shutdown.
	base := logr.NewContext(context.WithoutCancel(ctx), s.log)
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.limits.ReadHeaderTimeout,
		ReadTimeout:       s.limits.ReadTimeout,
		WriteTimeout:      s.limits.WriteTimeout,
		IdleTimeout:       s.limits.IdleTimeout,
		MaxHeaderBytes:    s.limits.HeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withConnection,
		ConnState:         s.listener.observe,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(s.log.V(1)), slog.LevelInfo),
		Protocols:         new(http.Protocols),
		// OPTIONS * is refused like any other path, and counts like it.
		DisableGeneralOptionsHandler: true,
	}
	// One request at a time per connection makes Limits.Connections a bound on work.
	server.Protocols.SetHTTP1(true)

	served := make(chan error, 1)
	if s.certs != nil {
		server.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: s.certs.GetCertificate, GetConfigForClient: s.handshakes.admit,
		}
		watchCtx, stopWatching := context.WithCancel(base)
		watched := make(chan error, 1)
		go func() { watched <- s.certs.Start(watchCtx) }()
		defer func() {
			stopWatching()
			if err := <-watched; err != nil {
				s.log.Error(err, "Watching the certificate of the HTTP server failed")
			}
		}()
		go func() { served <- server.ServeTLS(s.listener, "", "") }()
	} else {
		go func() { served <- server.Serve(s.listener) }()
	}
	s.serving.Store(true)
	s.log.Info("Serving the extension's HTTP API", "address", s.Addr().String(), "tls", s.certs != nil)

	select {
	case err := <-served:
		s.serving.Store(false)
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	s.serving.Store(false)
	if s.drainDelay > 0 {
		select {
		case err := <-served:
			return fmt.Errorf("serving HTTP: %w", err)
		case <-time.After(s.drainDelay):
		}
	}
	s.streams.stop()
	s.log.Info("Stopping the HTTP server once its requests are answered")
	stopCtx, cancel := context.WithTimeout(base, s.limits.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stopCtx); err != nil {
		_ = server.Close()
		return fmt.Errorf("waiting for HTTP requests to finish: %w", err)
	}
	return nil
}
