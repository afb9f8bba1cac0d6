// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane starts etcd and kube-apiserver for tests, for the demo and for
// the benchmarks. No other package does.
package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// StartTimeout is how long etcd and kube-apiserver may take to start and to stop. A busy
// machine with two slow cores takes long.
const StartTimeout = 3 * time.Minute

// Options configure a control plane. The zero value is an API server with the CRDs.
type Options struct {
	// Directory holds the files of etcd and kube-apiserver. If empty, it is a temporary
	// directory, which Stop removes.
	Directory string
	// EtcdQuota is the size of etcd's database in bytes; 0 means etcd's default.
	EtcdQuota int64
	// WithoutCRDs skips the installation of the CRDs.
	WithoutCRDs bool
}

// ControlPlane is a running etcd and kube-apiserver. It is safe for concurrent use.
type ControlPlane struct {
	// Config connects to the API server as an administrator, without a rate limit.
	Config *rest.Config
	// Client is a client with Config and Scheme, without a cache.
	Client client.Client
	// Assets is the directory of the binaries.
	Assets string

	environment *envtest.Environment
}

// Scheme returns a new scheme with the kinds of Kubernetes and of this project.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// Start starts a control plane, which the caller must stop.
func Start(o Options) (_ *ControlPlane, err error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return nil, errors.New(`KUBEBUILDER_ASSETS is not set: etcd and kube-apiserver are required. Use make, which finds or builds them, or set it to their directory`)
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory:    assets,
		ControlPlaneStartTimeout: StartTimeout,
		ControlPlaneStopTimeout:  StartTimeout,
	}
	if !o.WithoutCRDs {
		root, err := repository()
		if err != nil {
			return nil, err
		}
		environment.CRDDirectoryPaths = []string{filepath.Join(root, "config", "crd", "bases")}
		environment.ErrorIfCRDPathMissing = true
	}
	etcd := &envtest.Etcd{}
	environment.ControlPlane.Etcd = etcd
	// Durability doesn't matter in tests.
	etcd.Configure().Set("unsafe-no-fsync", "true")
	if o.EtcdQuota != 0 {
		etcd.Configure().Set("quota-backend-bytes", fmt.Sprint(o.EtcdQuota))
	}
	if o.Directory != "" {
		apiserver := environment.ControlPlane.GetAPIServer()
		apiserver.CertDir, etcd.DataDir = filepath.Join(o.Directory, "apiserver"), filepath.Join(o.Directory, "etcd")
		for _, directory := range []string{apiserver.CertDir, etcd.DataDir} {
			if err := os.MkdirAll(directory, 0o700); err != nil {
				return nil, fmt.Errorf("creating a directory: %w", err)
			}
		}
	}
	config, err := start(environment)
	if err != nil {
		return nil, fmt.Errorf("starting etcd and kube-apiserver: %w", errors.Join(err, environment.Stop()))
	}
	config.QPS = -1
	admin, err := client.New(config, client.Options{Scheme: Scheme()})
	if err != nil {
		return nil, fmt.Errorf("creating a client of the API server: %w", errors.Join(err, environment.Stop()))
	}
	return &ControlPlane{Config: config, Client: admin, Assets: assets, environment: environment}, nil
}

// start starts the programs with a garbage collector that trades memory for time: they
// use more time than the tests, and live for minutes.
func start(environment *envtest.Environment) (*rest.Config, error) {
	const variable = "GOGC"
	before, wasSet := os.LookupEnv(variable)
	if err := os.Setenv(variable, "400"); err != nil {
		return nil, err
	}
	config, err := environment.Start()
	if wasSet {
		return config, errors.Join(err, os.Setenv(variable, before))
	}
	return config, errors.Join(err, os.Unsetenv(variable))
}

// AddUser adds a user, whose only permissions are those of its groups.
func (c *ControlPlane) AddUser(user envtest.User) (*envtest.AuthenticatedUser, error) {
	added, err := c.environment.AddUser(user, &rest.Config{QPS: -1})
	if err != nil {
		return nil, fmt.Errorf("adding the user %s to the API server: %w", user.Name, err)
	}
	return added, nil
}

// EtcdURL returns the URL of etcd, for access that bypasses the API server.
func (c *ControlPlane) EtcdURL() string { return c.environment.ControlPlane.Etcd.URL.String() }

// Stop stops both. It may be called repeatedly.
func (c *ControlPlane) Stop() error {
	if c.environment == nil {
		return nil
	}
	err := c.environment.Stop()
	c.environment = nil
	if err != nil {
		return fmt.Errorf("stopping etcd and kube-apiserver: %w", err)
	}
	return nil
}

// Main is a TestMain: it runs a package's tests with a control plane, and fails if they
// leak goroutines. Setup, if not nil, runs before the tests; the function that it returns
// runs after them, and its error fails the run.
func Main(m *testing.M, setup func(*ControlPlane) (stop func() error, err error)) {
	code, err := run(m, setup)
	if err == nil && code == 0 {
		err = Leaks()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M, setup func(*ControlPlane) (stop func() error, err error)) (code int, err error) {
	c, err := Start(Options{})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if setup != nil {
		stop, err := setup(c)
		if err != nil {
			return 1, err
		}
		code = m.Run()
		return code, stop()
	}
	return m.Run(), nil
}

// Leaks returns an error if goroutines have leaked.
func Leaks() error {
	return goleak.Find(
		// klog flushes its buffers until the process ends.
		goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
	)
}

// repository returns the root of the repository that contains the working directory.
func repository() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the root of the repository: %w", err)
	}
	for {
		// Not go.mod: the tests of installations are a module of their own.
		if _, err := os.Stat(filepath.Join(directory, "PROJECT")); err == nil {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", errors.New("finding the root of the repository: there is no file PROJECT above the working directory")
		}
		directory = parent
	}
}
