// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// The manager is the operator: it serves the Rehive platform and the API, reconciles the
// custom resources, evaluates events and delivers messages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/controllers"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/dispatch"
	"github.com/rehive/extension-operator/internal/httpserver"
	"github.com/rehive/extension-operator/internal/leadership"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/namespaces"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/senderdomain"
	"github.com/rehive/extension-operator/internal/testmode"
	"github.com/rehive/extension-operator/webhookserver"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 {
		args := os.Args[2:]
		switch os.Args[1] {
		case migrateLedgerCommand:
			os.Exit(migrateLedger(ctrl.SetupSignalHandler(), args, os.LookupEnv, os.Stdout, os.Stderr))
		case backupCommand:
			os.Exit(backup(ctrl.SetupSignalHandler(), args, os.Stdout, os.Stderr))
		case restoreCommand:
			os.Exit(restore(ctrl.SetupSignalHandler(), args, os.Stdin, os.Stdout, os.Stderr))
		}
	}
	settings, err := parseSettings(os.Args[1:], os.LookupEnv, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "manager: %v\nmanager --help lists the flags\n", err)
		os.Exit(2)
	}
	setUpLogging(settings)
	tuneMemory(os.LookupEnv, containerMemory)
	if err := run(ctrl.SetupSignalHandler(), settings); err != nil {
		ctrl.Log.WithName("manager").Error(err, "Stopped with an error")
		os.Exit(1)
	}
}

func setUpLogging(s *settings) {
	log := newLogger(s, os.Stderr)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
}

// newLogger returns a logger that writes 100 entries per second with the same message, and
// then one in 100, so that callers cannot flood the log. Output for people is not sampled.
func newLogger(s *settings, w io.Writer) logr.Logger {
	level, _ := zapcore.ParseLevel(s.logLevel) // validated
	return zap.New(zap.UseDevMode(s.logFormat == "console"), zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel), zap.WriteTo(w))
}

// run starts everything and blocks until ctx is done and everything has stopped, or until
// a part fails.
func run(ctx context.Context, s *settings) (err error) {
	log := ctrl.Log
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the Kubernetes API server (outside a cluster, set --kubeconfig): %w", err)
	}
	platform, err := rehive.New(s.rehiveURL, rehive.WithVersion(version), rehive.WithCallsPerMinute(s.rehiveCallsPerMinute))
	if err != nil {
		return fmt.Errorf("--rehive-api-url: %w", err)
	}

	traces, err := newTracer(ctx, s)
	if err != nil {
		return err
	}
	defer flushTraces(ctx, traces)

	// The ledger is opened first: without it, no event may be acknowledged.
	store, cleaner, err := openLedger(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	if err := errors.Join(awaitAPIServer(ctx, config), awaitKinds(ctx, config)); err != nil {
		return err
	}
	watched, err := permittedNamespaces(ctx, config, s)
	if err != nil {
		return err
	}
	mgr, err := newManager(config, s, watched)
	if err != nil {
		return err
	}
	holders, err := s.holders()
	if err != nil {
		return err
	}
	activations, err := activation.NewIndex(ctx, mgr.GetCache(), holders)
	if err != nil {
		return err
	}
	rules, err := catalog.New(ctx, mgr.GetCache(), activations)
	if err != nil {
		return err
	}
	testMode, err := s.newTestMode(testmode.NewAdmins(platform, rules.Token, nil))
	if err != nil {
		return err
	}
	links, err := s.newLinks()
	if err != nil {
		return err
	}
	senders, err := newSenders(ctx, s, store, mgr, watched, rules, platform, testMode, optOutLinks(links, rules), traces)
	if err != nil {
		return err
	}
	defer senders.registry.Close()
	if err := controllers.IndexFields(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	proxies, err := s.proxyNetworks()
	if err != nil {
		return err
	}
	memory, err := newMemoryBudget(s)
	if err != nil {
		return err
	}
	suppressions := &delivery.Suppressions{Ledger: store, Rules: sendingRules(rules), Log: log.WithName("delivery")}
	dispatcher, err := dispatch.New(dispatch.Options{
		Ledger:      store,
		Catalog:     rules,
		Platform:    platform,
		DefaultFrom: s.emailFrom,
		Senders:     senders.registry,
		TestMode:    testMode,
		Unsubscribe: links.URL,
		Concurrency: s.dispatchConcurrency,
		Memory:      memory,
		Traces:      traces,
		Log:         log.WithName("dispatch"),
		Registerer:  metrics.Registry,
	})
	if err != nil {
		return err
	}
	server, err := webhookserver.New(webhookserver.Options{
		Address:        s.httpAddress,
		CertFile:       s.tlsCert,
		KeyFile:        s.tlsKey,
		Client:         mgr.GetClient(),
		Activations:    activations,
		APIReader:      watched.Reader(mgr.GetAPIReader()),
		Platform:       platform,
		Ledger:         store,
		Previews:       dispatcher,
		Quotas:         senders.quotas,
		Suppressions:   suppressions.Of,
		Feedback:       senders.feedback,
		Version:        version,
		PublicURL:      strings.TrimRight(s.publicURL, "/"),
		Namespace:      s.namespace,
		Namespaces:     holders,
		PurgeGrace:     s.purgeGracePeriod,
		Unsubscribe:    links,
		TrustedProxies: proxies,
		AllowedOrigins: s.corsOrigins,
		DrainDelay:     s.drainDelay,
		Traces:         traces,
		Log:            log.WithName("webhookserver"),
		Registerer:     metrics.Registry,
	})
	if err != nil {
		return err
	}
	quarantine, err := dispatch.NewQuarantineReporter(rules, mgr.GetEventRecorder("rehive-extension-operator"), metrics.Registry, log.WithName("dispatch"))
	if err != nil {
		return err
	}
	store.OnQuarantine(quarantine.Report)
	worker, err := delivery.NewWorker(delivery.Options{
		Ledger:       store,
		Routes:       senders.registry,
		Companies:    rules,
		Suppressions: suppressions,
		Rules:        suppressions.Rules,
		Concurrency:  s.deliveryConcurrency,
		Memory:       memory,
		SendTimeout:  s.sendTimeout,
		Grace:        s.gracePeriod / 2,
		QuietSent:    !s.logSent,
		Traces:       traces,
		Log:          log.WithName("delivery"),
		Registerer:   metrics.Registry,
	})
	if err != nil {
		return err
	}
	if err := addAdmission(ctx, mgr, s, watched, store, activations); err != nil {
		return err
	}
	var senderDomains controllers.SenderDomains
	if s.checkSenderDomains {
		senderDomains = senderdomain.New(nil)
	}
	leader, err := newCampaign(mgr, s, func(term *leadership.Term) error {
		if err := term.Add(cleaner); err != nil {
			return err
		}
		return controllers.SetupWithManager(term, controllers.Options{
			Platform:          platform,
			PublicURL:         apiURL(s.publicURL),
			Ledger:            store,
			Activity:          store,
			QuotaLimits:       senders.limits,
			ResyncPeriod:      s.resyncPeriod,
			Providers:         senders.builder,
			DefaultProviders:  s.defaultProviders(),
			ProviderSecrets:   term.Cache(senders.secrets),
			ServedChannels:    s.servedChannels(),
			SenderDomains:     senderDomains,
			DKIMSelectors:     s.dkimSelectors,
			ErasureWebhook:    s.erasureWebhook,
			TemplateNamespace: s.namespace,
			Namespaces:        holders,
			APIReader:         watched.Reader(mgr.GetAPIReader()),
		})
	})
	if err != nil {
		return err
	}
	measured, err := metricsServer(mgr.GetConfig(), s)
	if err != nil {
		return err
	}
	for _, runnable := range append(measured, senders.secrets, senders.registry, server, dispatcher, worker, quarantine, leader) {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("adding to the manager: %w", err)
		}
	}
	if err := addProbes(mgr, s.healthAddress, map[string]healthz.Checker{
		"http": server.Ready, "ledger": func(r *http.Request) error { return store.Healthy(r.Context()) },
	}); err != nil {
		return err
	}
	if err := metrics.Registry.Register(newBuildInfo()); err != nil {
		return fmt.Errorf("registering the metric of the version: %w", err)
	}
	warnOfPlaceholders(log.WithName("manager"), s)
	log.WithName("manager").Info("Starting", "version", version, "publicURL", s.publicURL, "rehive", s.rehiveURL, "namespaces", watched.String())
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

// openLedger opens the ledger and creates the runnable that deletes its expired rows.
func openLedger(ctx context.Context, s *settings) (ledger.Store, *ledger.Cleaner, error) {
	log := ctrl.Log.WithName("ledger")
	key, err := s.readLedgerKey()
	if err != nil {
		return nil, nil, err
	}
	encryption, err := s.readEncryptionKeys()
	if err != nil {
		return nil, nil, err
	}
	options := ledger.Options{Log: log, DigestKey: key, Keys: encryption, Limits: ledger.Limits{Pending: s.companyPending, Bytes: s.companyStorage << 20}}
	store, err := s.awaitStore(ctx, options, log, ledgerRetry)
	if err != nil {
		return nil, nil, err
	}
	cleaner, err := ledger.NewCleaner(store, s.eventRetention, nil, log)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--event-retention: %w", err), store.Close())
	}
	if err := metrics.Registry.Register(ledger.NewCollector(store, nil)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("registering the metrics of the ledger: %w", err), store.Close())
	}
	return store, cleaner, nil
}

func newManager(config *rest.Config, s *settings, watched namespaces.Set) (manager.Manager, error) {
	cacheOptions := controllers.CacheOptions()
	cacheOptions.DefaultNamespaces = watched.CacheNamespaces()
	mgr, err := ctrl.NewManager(config, manager.Options{
		NewClient:               activation.NewClient,
		Scheme:                  newScheme(),
		Cache:                   cacheOptions,
		Metrics:                 metricsserver.Options{BindAddress: "0"}, // see metricsServer
		HealthProbeBindAddress:  "0",                                     // see addProbes
		PprofBindAddress:        s.pprofAddress,
		GracefulShutdownTimeout: &s.gracePeriod,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	return mgr, nil
}

// leaseName is the name of the leader election lease.
const leaseName = "extension-operator.rehive.com"

// newCampaign returns a runner for the parts that setup adds. With --leader-elect, they
// run on one replica at a time.
func newCampaign(mgr manager.Manager, s *settings, setup func(*leadership.Term) error) (*leadership.Campaign, error) {
	lock, err := leaderelection.NewResourceLock(rest.CopyConfig(mgr.GetConfig()), mgr, leaderelection.Options{
		LeaderElection:          s.leaderElect,
		LeaderElectionID:        leaseName,
		LeaderElectionNamespace: s.namespace,
		RenewDeadline:           leadership.RenewDeadline,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the leader election: %w", err)
	}
	return leadership.New(leadership.Options{
		Manager: mgr, Lock: lock, Name: leaseName, Setup: setup, Log: ctrl.Log.WithName("leadership"),
	}), nil
}

// addProbes serves /healthz, and /readyz with the given checks, unless the address is 0.
func addProbes(mgr manager.Manager, address string, ready map[string]healthz.Checker) error {
	if address == "" || address == "0" {
		return nil
	}
	mux := http.NewServeMux()
	for path, checks := range map[string]map[string]healthz.Checker{"/healthz": {"ping": healthz.Ping}, "/readyz": ready} {
		handler := http.StripPrefix(path, &healthz.Handler{Checks: checks})
		mux.Handle(path, handler)
		mux.Handle(path+"/", handler) // for a single check
	}
	server, err := httpserver.New("health", address, nil, mux)
	if err != nil {
		return err
	}
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("adding the health checks: %w", err)
	}
	return nil
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // a programming error
		}
	}
	return scheme
}

// apiURL is the base URL of the calls from the platform.
func apiURL(public string) string { return strings.TrimRight(public, "/") + "/api/" }
