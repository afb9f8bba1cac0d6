// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoPgBouncer says that PgBouncer is not installed, and how to install it. It wraps
// [ErrNotInstalled].
var ErrNoPgBouncer = fmt.Errorf("no PgBouncer is installed: run `apt-get install pgbouncer` (or your system's package), or put it on the PATH: %w", ErrNotInstalled)

// bouncerPort only names the socket.
const bouncerPort = 6432

// Bouncer is a running PgBouncer.
type Bouncer struct {
	dir      string
	process  *exec.Cmd
	lifeline *os.File
}

// Bounce starts a PgBouncer in front of the server, with a pool mode ("session",
// "transaction", "statement") and its defaults otherwise. The caller stops it.
func (s *Server) Bounce(mode string) (*Bouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		const debian = "/usr/sbin/pgbouncer" // not on everybody's PATH
		if _, err := os.Stat(debian); err != nil {
			return nil, ErrNoPgBouncer
		}
		program = debian
	}
	dir, err := os.MkdirTemp("/tmp", "pgbouncertest")
	if err != nil {
		return nil, fmt.Errorf("creating a directory for PgBouncer: %w", err)
	}
	b := &Bouncer{dir: dir}
	if err := b.start(s, program, mode); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

func (b *Bouncer) start(s *Server, program, mode string) error {
	port := s.port
	if port == 0 {
		port = 5432
	}
	quoted := `"` + strings.ReplaceAll(Password, `"`, `""`) + `"`
	for name, text := range map[string]string{
		"users": `"` + owner + `" ` + quoted + "\n",
		"pgbouncer.ini": fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
pool_mode = %s
unix_socket_dir = %[4]s
listen_port = %[5]d
auth_type = scram-sha-256
auth_file = %[4]s/users
logfile = %[4]s/log
pidfile = %[4]s/pid
`, s.dir, port, mode, b.dir, bouncerPort),
	} {
		path := filepath.Join(b.dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), s.give(path)); err != nil {
			return fmt.Errorf("writing a file of PgBouncer: %w", err)
		}
	}
	if err := s.give(b.dir); err != nil {
		return err
	}
	lifelineRead, lifeline, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("creating a pipe: %w", err)
	}
	// The shell's input ends when this process does, however it dies.
	const script = `"$@" >/dev/null 2>&1 & pid=$!; (read -r _; kill -TERM $pid) <&3 & exec 3<&-; wait $pid; kill $! 2>/dev/null`
	b.process = s.command(context.Background(), "/bin/sh", "-c", script, "sh", program, filepath.Join(b.dir, "pgbouncer.ini"))
	b.process.ExtraFiles = []*os.File{lifelineRead}
	err = b.process.Start()
	_ = lifelineRead.Close()
	if err != nil {
		return fmt.Errorf("starting PgBouncer: %w", errors.Join(err, lifeline.Close()))
	}
	b.lifeline = lifeline
	socket := filepath.Join(b.dir, ".s.PGSQL."+strconv.Itoa(bouncerPort))
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		// The socket is there before PgBouncer listens on it.
		if conn, err := new(net.Dialer).DialContext(context.Background(), "unix", socket); err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
			return fmt.Errorf("PgBouncer does not start\n%s", text)
		}
	}
}

// URL is that of a database of the server through PgBouncer.
func (b *Bouncer) URL(direct string) (string, error) {
	u, err := url.Parse(direct)
	if err != nil {
		return "", fmt.Errorf("reading the URL of a database: %w", err)
	}
	u.RawQuery = url.Values{"host": {b.dir}, "port": {strconv.Itoa(bouncerPort)}}.Encode()
	return u.String(), nil
}

// Stop ends it and removes its files.
func (b *Bouncer) Stop() error {
	if b.lifeline != nil {
		_ = b.lifeline.Close()
		b.lifeline = nil
		_ = b.process.Wait() // its end is all that matters
		// It may be waiting for clients.
		_ = syscall.Kill(-b.process.Process.Pid, syscall.SIGKILL)
	}
	return os.RemoveAll(b.dir)
}
