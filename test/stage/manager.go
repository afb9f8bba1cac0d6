// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopTime is how long the manager may take to stop.
const stopTime = 40 * time.Second

// Manager is the manager as its own process, which can be stopped, killed and
// started again with the same ledger.
type Manager struct {
	// PublicURL is what the platform is told to call, without api/.
	PublicURL string
	// ServeURL is where this replica answers.
	ServeURL string
	// ProbeURL is where /healthz and /readyz are.
	ProbeURL string
	// MetricsURL is where /metrics is.
	MetricsURL string
	// LedgerURL is the PostgreSQL database of the ledger, from the next start on; the
	// SQLite file Ledger is the ledger if it is empty.
	LedgerURL string

	stage     *Stage
	arguments []string
	process   *exec.Cmd
	done      chan struct{} // closed when the process has ended; nil when none was started
}

// NewReplica makes another manager beside the one of the stage, which is not
// started yet. It is told the same public URL, and listens elsewhere. The caller
// stops it.
func (s *Stage) NewReplica() (*Manager, error) {
	m, err := newManager(s, s.managerKubeconfig)
	if err != nil {
		return nil, err
	}
	m.arguments = append(m.arguments, "--public-url="+s.Manager.PublicURL)
	return m, nil
}

func newManager(s *Stage, kubeconfig string) (*Manager, error) {
	var addresses [3]string
	for i := range addresses {
		address, err := freeAddress()
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
	m.arguments = append([]string{
		"--kubeconfig=" + kubeconfig,
		"--public-url=" + m.PublicURL,
		"--http-address=" + addresses[0],
		"--health-address=" + addresses[1],
		"--metrics-address=" + addresses[2],
		"--rehive-api-url=" + s.Platform.URL(),
		"--namespace=" + Namespace,
		"--smtp-address=" + s.Mail.Address(),
		"--smtp-tls=none",
		"--email-from=notifications@operator.example",
	}, s.options.ManagerArguments...)
	return m, nil
}

func (m *Manager) ledgerArgument() string {
	if m.LedgerURL != "" {
		return "--ledger-url=" + m.LedgerURL
	}
	return "--ledger-path=" + m.Ledger()
}

// Ledger is the manager's ledger file.
func (m *Manager) Ledger() string { return filepath.Join(m.stage.options.State, "ledger", "ledger.db") }

// LogFile is what the manager has said, in all its lives.
func (m *Manager) LogFile() string { return filepath.Join(m.stage.options.State, "manager.log") }

// LogTail is the end of the log.
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
	log, err := os.OpenFile(m.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the manager's log: %w", err)
	}
	defer log.Close()
	arguments := append([]string{m.ledgerArgument()}, m.arguments...)
	m.stage.options.Say("Starting %s %s", m.stage.options.Manager, strings.Join(arguments, " "))
	// Not tied to ctx: the manager is told to stop, and given time.
	m.process = exec.Command(m.stage.options.Manager, arguments...) //nolint:gosec,noctx // the program that was just built
	m.process.Stdout, m.process.Stderr = log, log
	m.process.Env = append(os.Environ(), m.stage.options.ManagerEnvironment...)
	// A process group of its own keeps the terminal's Ctrl-C from the manager,
	// which is told to stop in its turn.
	m.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.process.Start(); err != nil {
		return fmt.Errorf("starting the manager: %w", err)
	}
	done := make(chan struct{})
	m.done = done
	go func(process *exec.Cmd) {
		_ = process.Wait()
		close(done)
	}(m.process)
	if err := m.stage.Eventually(ctx, "the manager to be ready", func() error { return m.ready(ctx) }); err != nil {
		return fmt.Errorf("%w\n%s", err, m.LogTail())
	}
	return nil
}

func (m *Manager) ready(ctx context.Context) error {
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

// PID is the running manager's process.
func (m *Manager) PID() int { return m.process.Process.Pid }

// Done is closed when the manager has ended.
func (m *Manager) Done() <-chan struct{} { return m.done }

// died says whether the manager ended though nobody ended it.
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

// Kill ends the manager as a power cut would, at once.
func (m *Manager) Kill() error { return m.end(syscall.SIGKILL) }

// Stop asks the manager to end, as Kubernetes does, and waits for it. It fails
// when the manager does not end in time, or not with success.
func (m *Manager) Stop() error { return m.end(syscall.SIGTERM) }

func (m *Manager) end(signal syscall.Signal) error {
	if m.done == nil {
		return nil
	}
	died := m.died()
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

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it closes at once
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), errors.Join(listener.Close())
}
