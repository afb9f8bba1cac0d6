// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package postgrestest runs a real PostgreSQL for tests, on a private socket.
package postgrestest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// ErrNotInstalled says that there is no PostgreSQL on this machine and how to get
// it.
var ErrNotInstalled = errors.New("no PostgreSQL server is installed: run `apt-get install postgresql` (or your system's package of the server), or put its initdb and postgres on the PATH")

const (
	superuser = "postgres"
	owner     = "ledger"
	patience  = 2 * time.Minute
)

// Password is that of the owner of the databases. It holds what a URL, a shell
// or a connection string might trip over.
const Password = `p@ss w/rd:%41'"\` //nolint:gosec // of a server that nobody else reaches

// Server is a running PostgreSQL.
type Server struct {
	bin, dir  string
	settings  []string
	port      int // 0: PostgreSQL's
	owner     *syscall.Credential
	process   *exec.Cmd
	lifeline  *os.File
	databases atomic.Int64

	role    sync.Once // creates the owner of databases
	roleErr error
}

// Start starts a new, empty server. The caller stops it. It also ends when the
// process that started it dies.
func Start() (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	return start(bin, onDisk)
}

// StartInMemory is Start for tests that make many databases: where the machine has a
// file system in memory with enough room, the files are there, so that nothing waits for
// a disk. The server's settings are the same, and what it does on a crash is, too.
func StartInMemory() (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	sweepMemory()
	var room syscall.Statfs_t
	if err := syscall.Statfs(inMemory, &room); err != nil || room.Bavail*uint64(room.Bsize) < leastRoom {
		return start(bin, onDisk)
	}
	return start(bin, inMemory)
}

// Where the files of servers are. Not below TMPDIR: the path of a socket must be short.
const (
	onDisk   = "/tmp"
	inMemory = "/dev/shm"
	// leastRoom is what must be free in memory, in bytes.
	leastRoom = 4 << 30
)

// makeDir creates a directory whose name contains the process ID.
func makeDir(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, fmt.Sprintf("postgrestest-%d-", os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("creating a directory for PostgreSQL: %w", err)
	}
	return dir, nil
}

// sweepMemory removes what processes that were killed left in memory.
func sweepMemory() {
	left, _ := filepath.Glob(inMemory + "/postgrestest-*-*")
	for _, dir := range left {
		pid, err := strconv.Atoi(strings.Split(filepath.Base(dir), "-")[1])
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

func start(bin, parent string) (*Server, error) {
	dir, err := makeDir(parent)
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, settings: []string{"listen_addresses=", "max_connections=200", "shared_buffers=32MB", "log_min_messages=warning"}}
	if parent == inMemory {
		s.settings = append(s.settings, "max_wal_size=256MB")
	}
	if err := s.initialize(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Launch(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Standby starts a server that follows this one, whose commits wait for it from now
// on. The caller stops it.
func (s *Server) Standby() (*Server, error) {
	dir, err := makeDir(filepath.Dir(s.dir))
	if err != nil {
		return nil, err
	}
	follower := &Server{bin: s.bin, dir: dir, settings: s.settings, owner: s.owner}
	err = s.give(dir)
	if err == nil {
		cmd := follower.command(context.Background(), filepath.Join(s.bin, "pg_basebackup"), "--pgdata", follower.data(), "--host", s.dir,
			"--username", superuser, "--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
		if out, failed := cmd.CombinedOutput(); failed != nil {
			err = fmt.Errorf("copying the server: %w\n%s", failed, out)
		}
	}
	if err == nil {
		err = follower.Launch()
	}
	if err == nil {
		err = errors.Join(s.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'"), s.Exec("SELECT pg_reload_conf()"))
	}
	if err != nil {
		return nil, errors.Join(err, follower.Stop())
	}
	return follower, nil
}

// Promote makes a standby take writes.
func (s *Server) Promote() error { return s.Exec("SELECT pg_promote()") }

// Demote starts a server that was stopped again, as one that takes no writes.
func (s *Server) Demote() error {
	if err := s.write("standby.signal", nil); err != nil {
		return err
	}
	return s.Launch()
}

// ListenTLS starts the server again, so that it takes connections with TLS on the
// loopback interface too. It returns the port.
func (s *Server) ListenTLS(certificate, key []byte) (int, error) {
	free, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a port: %w", err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := errors.Join(free.Close(), s.write("server.crt", certificate), s.write("server.key", key), s.Halt(false)); err != nil {
		return 0, err
	}
	s.settings = append(s.settings, "listen_addresses=127.0.0.1", fmt.Sprint("port=", port), "ssl=on")
	s.port = port
	return port, s.Launch()
}

// give makes the server's user the owner of a file.
func (s *Server) give(path string) error {
	if s.owner == nil {
		return nil
	}
	if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
		return fmt.Errorf("giving PostgreSQL its files: %w", err)
	}
	return nil
}

// write creates a file beside the server's own.
func (s *Server) write(name string, text []byte) error {
	path := filepath.Join(s.data(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing a file of PostgreSQL: %w", err)
	}
	return s.give(path)
}

// Skip skips a test because of ErrNotInstalled, but on CI, where it fails.
func Skip(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// find returns the directory of the newest installed server's programs.
func find() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", ErrNotInstalled
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// initialize creates the database's files. PostgreSQL refuses to run as root, so root runs it
// as the user that the package made, or as nobody.
func (s *Server) initialize() error {
	if os.Geteuid() == 0 {
		name := "postgres"
		if _, err := user.Lookup(name); err != nil {
			name = "nobody"
		}
		u, err := user.Lookup(name)
		if err != nil {
			return fmt.Errorf("finding a user to run PostgreSQL as: %w", err)
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID, os.Chown(s.dir, int(uid), int(gid))); err != nil {
			return fmt.Errorf("preparing to run PostgreSQL as %s: %w", name, err)
		}
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	cmd := s.command(context.Background(), filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", superuser, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initializing PostgreSQL: %w\n%s", err, out)
	}
	// The owner of a ledger must know its password.
	rules := "local all,replication " + superuser + " trust\nlocal all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		return fmt.Errorf("setting who may log in to PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // test programs found above
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	return cmd
}

// Launch starts a server that was stopped, with what is in its files.
func (s *Server) Launch() error {
	lifelineRead, lifeline, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("creating a pipe: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("creating the log of PostgreSQL: %w", err)
	}
	// The shell's input ends when this process does, however it dies.
	const script = `"$@" & pid=$!; (read -r _; kill -INT $pid) <&3 & exec 3<&-; wait $pid; kill $! 2>/dev/null`
	s.process = s.command(context.Background(), "/bin/sh", "-c", script, "sh", filepath.Join(s.bin, "postgres"),
		"-D", s.data(), "-k", s.dir)
	for _, setting := range s.settings {
		s.process.Args = append(s.process.Args, "-c", setting)
	}
	s.process.Stdout, s.process.Stderr = log, log
	s.process.ExtraFiles = []*os.File{lifelineRead}
	err = s.process.Start()
	_ = lifelineRead.Close()
	_ = log.Close()
	if err != nil {
		_ = lifeline.Close()
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.lifeline = lifeline
	for deadline := time.Now().Add(patience); ; {
		err := s.Exec("SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Halt stops the server and keeps its files: at once, as in a crash, or after it
// ended its connections and wrote what it has.
func (s *Server) Halt(crash bool) error {
	if s.lifeline == nil {
		return nil
	}
	if crash {
		text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
		if err != nil {
			return fmt.Errorf("finding the process of PostgreSQL: %w", err)
		}
		line, _, _ := bytes.Cut(text, []byte("\n"))
		pid, err := strconv.Atoi(string(line))
		if err != nil {
			return fmt.Errorf("finding the process of PostgreSQL: %w", err)
		}
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
			return fmt.Errorf("crashing PostgreSQL: %w", err)
		}
	}
	_ = s.lifeline.Close()
	s.lifeline = nil
	_ = s.process.Wait() // the server's end is all that matters
	return nil
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	return errors.Join(s.Halt(false), os.RemoveAll(s.dir))
}

// URL returns the address of a database, without a password.
func (s *Server) URL(database, user string) string {
	where := url.Values{"host": {s.dir}}
	if s.port != 0 {
		where.Set("port", strconv.Itoa(s.port))
	}
	return "postgres://" + user + "@/" + database + "?" + where.Encode()
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(query string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open("pgx", s.URL("postgres", superuser))
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	_, err = db.ExecContext(ctx, query, args...)
	return errors.Join(err, db.Close())
}

// NewDatabase creates an empty database and returns its URL, which asks for
// Password. Its owner has no more rights than that.
func (s *Server) NewDatabase() (string, error) { return s.copyDatabase("template1") }

// copyDatabase is NewDatabase with the contents of another one, to which nobody may be
// connected.
func (s *Server) copyDatabase(original string) (string, error) {
	name := fmt.Sprint("ledger_", s.databases.Add(1))
	if err := s.newDatabase(name, original); err != nil {
		return "", err
	}
	return s.URL(name, owner), nil
}

func (s *Server) newDatabase(name, original string) error {
	s.role.Do(func() {
		var verifier string
		if verifier, s.roleErr = scramVerifier(Password); s.roleErr == nil {
			s.roleErr = s.Exec("CREATE ROLE " + owner + " LOGIN PASSWORD '" + verifier + "'")
		}
	})
	if s.roleErr != nil {
		return s.roleErr
	}
	return s.Exec("CREATE DATABASE " + name + " OWNER " + owner + " TEMPLATE " + original)
}

// scramVerifier returns what PostgreSQL stores of a password (RFC 5803). It asks clients for
// one iteration instead of 4,096, which took them more time under the race detector than most
// tests: each connection logs in.
func scramVerifier(password string) (string, error) {
	const iterations = 1
	salt := []byte("of a test server")
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		_, _ = mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}

// Disconnect ends all connections of the databases' owner, as a failover does.
func (s *Server) Disconnect() error {
	return s.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", owner)
}

// SetReadOnly makes the databases read-only for new connections of their owner,
// as those to a standby are, or ends that.
func (s *Server) SetReadOnly(on bool) error {
	value := "off"
	if on {
		value = "on"
	}
	return s.Exec("ALTER ROLE " + owner + " SET default_transaction_read_only = " + value)
}
