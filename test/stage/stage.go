// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stage sets up a production-like environment on this machine from real components:
// etcd and kube-apiserver with config/default installed, a simulator of the Rehive
// platform, an SMTP server, and the manager as its own process with the permissions of its
// service account. The demo, the end-to-end tests and the benchmarks run on it.
package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/controlplane"
)

// Namespace is where config/default installs the operator.
const Namespace = "rehive-system"

// serviceAccount is the user to which config/rbac grants the manager's permissions.
const serviceAccount = "system:serviceaccount:" + Namespace + ":rehive-extension-controller-manager"

// defaultTimeout is how long Eventually waits by default. It allows for a machine with two
// slow cores and the race detector.
const defaultTimeout = 3 * time.Minute

// etcdQuota is large enough for a hundred thousand rules and their history.
const etcdQuota = 8 << 30

// Options configure a stage.
type Options struct {
	// Root is the root of the repository; the working directory if empty.
	Root string
	// Overlay is the kustomization to install, as a path from Root; config/default if
	// empty.
	Overlay string
	// State is an empty directory for the files of all components.
	State string
	// Manager is the path of the manager's binary.
	Manager string
	// ManagerArguments are added to the manager's command line.
	ManagerArguments []string
	// ManagerEnvironment is added to the manager's environment variables.
	ManagerEnvironment []string
	// LedgerURL is the PostgreSQL database of the ledger. If empty, the ledger is a SQLite
	// file below State.
	LedgerURL string
	// Timeout is how long Eventually waits, including for the manager's start; three
	// minutes if it is 0.
	Timeout time.Duration
	// LinkLedger connects each manager to that database through a Link, which is slower.
	LinkLedger bool
	// Evidence collects evidence; nil collects none.
	Evidence *Evidence
	// Logf logs each step in a line; nil logs nothing.
	Logf func(format string, args ...any)
}

// Stage is a running environment. Its methods are for one goroutine, unlike its components,
// which are safe for concurrent use.
type Stage struct {
	// Kube is an administrator's client of the API server.
	Kube client.Client
	// Config is the configuration of Kube.
	Config *rest.Config
	// Kubeconfig is a file with the same, for kubectl.
	Kubeconfig string
	// Platform is the platform's simulator.
	Platform *rehivetest.Platform
	// Mail receives the manager's emails.
	Mail *smtptest.Server
	// Manager is the manager's process.
	Manager *Manager

	options  Options
	plane    *controlplane.ControlPlane
	mailView *httptest.Server
	managers []*Manager // including replicas
	sockets  string     // directory of the links' sockets
	// admission is the address at which the API server calls the first manager's
	// admission webhook.
	admission string
}

// Start starts all components, the manager last, and returns when it is ready. After an
// error, nothing keeps running.
func Start(ctx context.Context, o Options) (_ *Stage, err error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	// controller-runtime prints a stack trace if the logger is never set.
	ctrl.SetLogger(logr.Discard())
	s := &Stage{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := s.startControlPlane(ctx); err != nil {
		return nil, err
	}
	if s.Mail, err = smtptest.Start(smtptest.Options{Keep: 1_000_000}); err != nil {
		return nil, fmt.Errorf("starting the SMTP server: %w", err)
	}
	s.mailView = httptest.NewServer(s.Mail.Handler())
	s.Platform = rehivetest.New(rehivetest.Options{RetryCompression: 60})
	if err := s.Platform.Start("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("starting the platform simulator: %w", err)
	}
	o.Logf("Started a Rehive platform simulator on %s and an SMTP server on %s.", s.Platform.URL(), s.Mail.Address())

	if s.Manager, err = newManager(s); err != nil {
		return nil, err
	}
	return s, s.Manager.Start(ctx)
}

func (s *Stage) startControlPlane(ctx context.Context) error {
	s.options.Logf("Starting etcd and kube-apiserver from %s.", os.Getenv("KUBEBUILDER_ASSETS"))
	plane, err := controlplane.Start(controlplane.Options{Directory: s.options.State, EtcdQuota: etcdQuota, WithoutCRDs: true})
	if err != nil {
		return err
	}
	s.plane, s.Config, s.Kube = plane, plane.Config, plane.Client
	if s.Kubeconfig, err = s.writeKubeconfig("admin", "", envtest.User{Name: "stage-admin", Groups: []string{"system:masters"}}); err != nil {
		return err
	}
	if s.admission, err = FreeAddress(); err != nil {
		return err
	}
	overlay := cmp.Or(s.options.Overlay, "config/default")
	count, err := s.install(ctx, filepath.Join(s.options.Root, filepath.FromSlash(overlay)))
	if err != nil {
		return fmt.Errorf("installing %s: %w", overlay, err)
	}
	s.options.Logf("Installed %[1]s, %[2]d objects, as `kubectl apply -k %[1]s` does.", overlay, count)
	return nil
}

// Stop stops everything that Start started. It may be called repeatedly.
func (s *Stage) Stop() error {
	var failures []error
	for _, manager := range s.managers {
		failures = append(failures, manager.Stop())
	}
	if s.Manager != nil {
		collect, cancel := context.WithTimeout(context.Background(), defaultTimeout)
		failures = append(failures, s.Collect(collect))
		cancel()
	}
	for _, manager := range s.managers {
		failures = append(failures, manager.closeLinks())
	}
	if s.Platform != nil {
		s.Platform.Close()
	}
	if s.Mail != nil {
		s.mailView.Close()
		failures = append(failures, s.Mail.Close())
	}
	if s.sockets != "" {
		failures = append(failures, os.RemoveAll(s.sockets))
	}
	if s.plane != nil {
		failures = append(failures, s.plane.Stop())
	}
	s.Manager, s.managers, s.Platform, s.Mail, s.plane, s.sockets = nil, nil, nil, nil, nil, ""
	return errors.Join(failures...)
}

// writeKubeconfig writes a kubeconfig for a new user, who reaches the API server
// through the address, or directly if that is empty.
func (s *Stage) writeKubeconfig(name, address string, user envtest.User) (string, error) {
	authenticated, err := s.plane.AddUser(user)
	if err != nil {
		return "", err
	}
	if address != "" {
		authenticated.Config().Host = "https://" + address
	}
	content, err := authenticated.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("writing the kubeconfig of %s: %w", user.Name, err)
	}
	path := filepath.Join(s.options.State, name+".kubeconfig")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return path, nil
}

// EtcdURL returns the URL of etcd, for access that bypasses the API server.
func (s *Stage) EtcdURL() string { return s.plane.EtcdURL() }

// MailURL returns the URL of the received emails, as JSON.
func (s *Stage) MailURL() string { return s.mailView.URL + "/messages" }

// Kubectl returns the path of kubectl: the binary next to kube-apiserver, or else the one
// on the PATH.
func (s *Stage) Kubectl() string {
	program := filepath.Join(s.plane.Assets, "kubectl")
	if _, err := os.Stat(program); err != nil {
		return "kubectl"
	}
	return program
}

// Eventually polls check until it returns nil. It gives up after Options.Timeout, when ctx
// is done, or when a manager has ended by itself. The error says what was awaited and the
// last failure.
func (s *Stage) Eventually(ctx context.Context, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.options.Timeout, defaultTimeout))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		if slices.ContainsFunc(s.managers, (*Manager).died) {
			return fmt.Errorf("waiting for %s: the manager ended: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Activation reads the CompanyActivation of a company.
func (s *Stage) Activation(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error) {
	var list v1alpha1.CompanyActivationList
	if err := s.Kube.List(ctx, &list, client.MatchingFields{"spec.company": company}); err != nil {
		return nil, fmt.Errorf("listing the CompanyActivations of %s: %w", company, err)
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("there are %d CompanyActivations of %s", len(list.Items), company)
	}
	return &list.Items[0], nil
}

// ReadyActivation waits until a company's CompanyActivation is Ready.
func (s *Stage) ReadyActivation(ctx context.Context, company string) (activation *v1alpha1.CompanyActivation, err error) {
	err = s.Eventually(ctx, "the CompanyActivation of "+company+" to be Ready", func() (err error) {
		if activation, err = s.Activation(ctx, company); err != nil {
			return err
		}
		return Ready(activation.Status.Conditions, activation.Generation)
	})
	return activation, err
}

// Secret reads the Secret of an activation.
func (s *Stage) Secret(ctx context.Context, a *v1alpha1.CompanyActivation) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	if err := s.Kube.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: a.Status.SecretName}, secret); err != nil {
		return nil, fmt.Errorf("reading the Secret: %w", err)
	}
	return secret, nil
}

// ReadyRule applies a NotificationRule from YAML and waits until it is Ready.
func (s *Stage) ReadyRule(ctx context.Context, text []byte) (*v1alpha1.NotificationRule, error) {
	object, err := s.Apply(ctx, text)
	if err != nil {
		return nil, err
	}
	rule := &v1alpha1.NotificationRule{}
	err = s.Eventually(ctx, "the NotificationRule "+object.GetName()+" to be Ready", func() error {
		if err := s.Kube.Get(ctx, client.ObjectKeyFromObject(object), rule); err != nil {
			return err
		}
		return Ready(rule.Status.Conditions, rule.Generation)
	})
	return rule, err
}

// Webhook waits until the platform has an enabled webhook of a company for an
// event.
func (s *Stage) Webhook(ctx context.Context, company, event string) error {
	return s.Eventually(ctx, "the webhook of "+company+" for "+event, func() error {
		for _, webhook := range s.Platform.Webhooks(company) {
			if webhook.Event == event && webhook.Enabled {
				return nil
			}
		}
		return errors.New("the platform has no such webhook")
	})
}

// Ready returns an error that says why an object with these conditions isn't Ready, or nil.
func Ready(conditions []metav1.Condition, generation int64) error {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
	switch {
	case ready == nil:
		return errors.New("it has no condition Ready")
	case ready.ObservedGeneration != generation:
		return errors.New("its condition Ready is stale")
	case ready.Status != metav1.ConditionTrue:
		return fmt.Errorf("it is not Ready: %s: %s", ready.Reason, ready.Message)
	}
	return nil
}

// Keys returns the sorted keys of a Secret.
func Keys(secret *corev1.Secret) []string { return slices.Sorted(maps.Keys(secret.Data)) }
