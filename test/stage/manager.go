// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// stopTime is how long the manager may take to stop.
const stopTime = 40 * time.Second

// Manager is a manager process, which can be stopped, killed and started again with the
// same ledger.
type Manager struct {
	// PublicURL is the URL that the platform calls, without api/.
	PublicURL string
	// ServeURL is the URL of this replica.
	ServeURL string
	// ProbeURL is the base URL of /healthz and /readyz.
	ProbeURL string
	// MetricsURL is the base URL of /metrics.
	MetricsURL string
	// LedgerURL is the PostgreSQL database of the ledger from the next start on. If empty,
	// the ledger is the SQLite file Ledger.
	LedgerURL string
	// APILink is the manager's connection to the API server.
	APILink *Link
	// LedgerLink is its connection to PostgreSQL; nil without Options.LinkLedger.
	LedgerLink *Link

	stage     *Stage
	arguments []string
	process   *exec.Cmd
	done      chan struct{} // closed when the process has ended; nil before the first start
}

// NewReplica returns another manager, which is not started yet. It has the same public URL
// but its own ports.
func (s *Stage) NewReplica() (*Manager, error) {
	m, err := newManager(s)
	if err != nil {
		return nil, err
	}
	m.arguments = append(m.arguments, "--public-url="+s.Manager.PublicURL)
	return m, nil
}

func newManager(s *Stage) (*Manager, error) {
	var addresses [4]string
	for i := range addresses {
		address, err := FreeAddress()
		if err != nil {
			return nil, err
		}
		addresses[i] = address
	}
	m := &Manager{
		PublicURL:  "http://" + addresses[0],
		ServeURL:   "http://" + addresses[0],
		ProbeURL:   "http://" + addresses[1],
		MetricsURL: "http://" + addresses[2] + "/metrics",
		LedgerURL:  s.options.LedgerURL,
		stage:      s,
	}
	if len(s.managers) == 0 {
		addresses[3] = s.admission
	}
	s.managers = append(s.managers, m)
	kubeconfig, err := m.linkAPI()
	if err != nil {
		return nil, err
	}
	if err := m.linkLedger(); err != nil {
		return nil, err
	}
	m.arguments = append([]string{
		"--kubeconfig=" + kubeconfig,
		"--public-url=" + m.PublicURL,
		"--http-address=" + addresses[0],
		"--health-address=" + addresses[1],
		"--metrics-address=" + addresses[2],
		"--admission-address=" + addresses[3],
		"--rehive-api-url=" + s.Platform.URL(),
		"--namespace=" + Namespace,
		"--smtp-address=" + s.Mail.Address(),
		"--smtp-tls=none",
		"--email-from=notifications@operator.example",
	}, s.options.ManagerArguments...)
	return m, nil
}

// linkAPI creates the link to the API server and returns a kubeconfig that goes through it,
// with the permissions of the manager's service account.
func (m *Manager) linkAPI() (kubeconfig string, err error) {
	s := m.stage
	server, err := url.Parse(s.Config.Host)
	if err != nil {
		return "", fmt.Errorf("reading the API server's address: %w", err)
	}
	if m.APILink, err = newLink("tcp", "127.0.0.1:0", server.Host); err != nil {
		return "", err
	}
	return s.writeKubeconfig(fmt.Sprint("manager-", len(s.managers)), m.APILink.Address(), envtest.User{
		Name:   serviceAccount,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + Namespace, "system:authenticated"},
	})
}

// linkLedger creates the link to PostgreSQL, if requested.
func (m *Manager) linkLedger() (err error) {
	s := m.stage
	if m.LedgerURL == "" || !s.options.LinkLedger {
		return nil
	}
	if s.sockets == "" {
		if s.sockets, err = shortDirectory(); err != nil {
			return err
		}
	}
	directory := filepath.Join(s.sockets, strconv.Itoa(len(s.managers)))
	if err := os.Mkdir(directory, 0o700); err != nil {
		return fmt.Errorf("creating a directory for a socket: %w", err)
	}
	m.LedgerLink, m.LedgerURL, err = newLedgerLink(m.LedgerURL, directory)
	return err
}

func (m *Manager) ledgerArgument() string {
	if m.LedgerURL != "" {
		return "--ledger-url=" + m.LedgerURL
	}
	return "--ledger-path=" + m.Ledger()
}

func (m *Manager) closeLinks() error {
	var failures []error
	for _, link := range []*Link{m.APILink, m.LedgerLink} {
		if link != nil {
			failures = append(failures, link.close())
		}
	}
	return errors.Join(failures...)
}

// Ledger returns the path of the manager's SQLite ledger.
func (m *Manager) Ledger() string { return filepath.Join(m.stage.options.State, "ledger", "ledger.db") }

// LogFile returns the path of the manager's log, which spans all starts.
func (m *Manager) LogFile() string { return filepath.Join(m.stage.options.State, "manager.log") }

// LogTail returns the end of the log.
func (m *Manager) LogTail() string {
	content, err := os.ReadFile(m.LogFile())
	if err != nil {
		return ""
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], nil))
}

// Start starts the manager and returns when it is ready.
func (m *Manager) Start(ctx context.Context) error {
	if err := m.Launch(); err != nil {
		return err
	}
	if err := m.stage.Eventually(ctx, "the manager to be ready", func() error { return m.Ready(ctx) }); err != nil {
		return fmt.Errorf("%w\n%s", err, m.LogTail())
	}
	return nil
}

// StartRefused starts a manager that is expected to exit with an error, and returns its
// output.
func (m *Manager) StartRefused(ctx context.Context) (said string, err error) {
	before, err := os.ReadFile(m.LogFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the manager's log: %w", err)
	}
	if err := m.Launch(); err != nil {
		return "", err
	}
	if err := m.AwaitEnd(ctx); err != nil {
		return "", err
	}
	if m.process.ProcessState.ExitCode() != 1 {
		return "", fmt.Errorf("the manager ended with %s", m.process.ProcessState)
	}
	after, err := os.ReadFile(m.LogFile())
	if err != nil {
		return "", fmt.Errorf("reading the manager's log: %w", err)
	}
	return string(after[len(before):]), nil
}

// AwaitEnd waits until the manager exits by itself.
func (m *Manager) AwaitEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	select {
	case <-m.done:
		m.done = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the manager keeps running: %w", ctx.Err())
	}
}

// Launch starts the manager without waiting until it is ready.
func (m *Manager) Launch() error {
	log, err := os.OpenFile(m.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the manager's log: %w", err)
	}
	arguments := append([]string{m.ledgerArgument()}, m.arguments...)
	m.stage.options.Logf("Starting %s %s", m.stage.options.Manager, strings.Join(arguments, " "))
	// Not tied to ctx: the manager must be able to shut down gracefully.
	process := exec.Command(m.stage.options.Manager, arguments...) //nolint:gosec,noctx // the binary was just built
	// Through a pipe, so that a limit on the manager's file sizes doesn't affect its log.
	process.Stdout = struct{ io.Writer }{log}
	process.Stderr = process.Stdout
	process.Env = append(os.Environ(), m.stage.options.ManagerEnvironment...)
	// In its own process group, the manager doesn't receive the terminal's Ctrl-C; the
	// stage stops it in order.
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := process.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting the manager: %w", err), log.Close())
	}
	done := make(chan struct{})
	m.process, m.done = process, done
	go func() {
		defer close(done)
		_ = process.Wait()
		_ = log.Close()
	}()
	return nil
}

// Ready returns an error that says why the manager is not ready.
func (m *Manager) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.ProbeURL+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", response.Status)
	}
	return nil
}

// PID returns the process ID of the running manager.
func (m *Manager) PID() int { return m.process.Process.Pid }

// PeakMemory returns the peak resident memory of the running manager in bytes.
func (m *Manager) PeakMemory() (int64, error) {
	process, err := procfs.NewProc(m.PID())
	if err != nil {
		return 0, fmt.Errorf("reading the manager's memory: %w", err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return 0, fmt.Errorf("reading the manager's memory: %w", err)
	}
	return int64(status.VmHWM), nil
}

// Done returns a channel that is closed when the manager has ended.
func (m *Manager) Done() <-chan struct{} { return m.done }

// died reports whether the manager ended by itself.
func (m *Manager) died() bool {
	if m == nil || m.done == nil {
		return false
	}
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// Kill ends the manager immediately, like a power cut.
func (m *Manager) Kill() error { return m.end(syscall.SIGKILL) }

// Stop asks the manager to end, like Kubernetes, and waits for it. It fails if the manager
// doesn't end in time and successfully.
func (m *Manager) Stop() error { return m.end(syscall.SIGTERM) }

func (m *Manager) end(signal syscall.Signal) error {
	if m.done == nil {
		return nil
	}
	died := m.died()
	if !died && m.stage.options.Evidence != nil {
		if page, err := m.Metrics(context.Background()); err == nil {
			m.stage.options.Evidence.Keep(EvidenceMetrics, []byte(page))
		}
	}
	done := m.done
	m.done = nil
	_ = m.process.Process.Signal(signal)
	select {
	case <-done:
	case <-time.After(stopTime):
		_ = m.process.Process.Kill()
		<-done
		return fmt.Errorf("the manager did not stop within %s and was killed", stopTime)
	}
	if died || signal == syscall.SIGTERM && !m.process.ProcessState.Success() {
		return fmt.Errorf("the manager ended with %s", m.process.ProcessState)
	}
	return nil
}

// The ports of managers are below the ephemeral range of Linux and macOS, from which the
// system chooses ports for connections and for listeners on port 0.
const (
	firstPort = 20000
	portCount = 10000
)

// given holds the ports that FreeAddress returned. Nothing listens on those of a manager that
// is between two runs.
var given sync.Map

// FreeAddress returns a loopback address that nothing listens on, and that it has not
// returned before. Because the system doesn't give its port to anything else, it stays free
// until a manager listens on it, and between two runs of a manager.
func FreeAddress() (string, error) {
	var failure error
	for range 100 {
		port := firstPort + rand.IntN(portCount)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		listener, err := net.Listen("tcp", address) //nolint:noctx // it closes at once
		if err == nil {
			return address, listener.Close()
		}
		failure = err
	}
	return "", fmt.Errorf("finding a free port: %w", failure)
}
