// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

func init() {
	children["accept"] = acceptUntilKilled
	children["filesize"] = acceptWithoutRoom
	children["readonly"] = openReadOnly
}

// acceptUntilKilled accepts events from several goroutines and prints the ID of
// each after it was acknowledged.
func acceptUntilKilled(path string) error {
	s, err := Open(bg, path, ledger.Options{})
	if err != nil {
		return err
	}
	var out sync.Mutex
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if _, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Name: "x", Data: make([]byte, 2048)}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestKilledProcessLosesNoAcknowledgedEvent(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	acknowledged := map[string]bool{}
	for round := range ledgertest.Longer(5, 50) {
		most := 200 + 300*(round%5)
		cmd := child(t, "accept", path)
		out, err := cmd.StdoutPipe()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(cmd.Start()).To(Succeed())
		lines := bufio.NewScanner(out)
		n := 0
		for lines.Scan() {
			acknowledged[lines.Text()] = true
			if n++; n == most {
				g.Expect(cmd.Process.Signal(syscall.SIGKILL)).To(Succeed())
			}
		}
		g.Expect(cmd.Wait()).NotTo(Succeed())
		g.Expect(n).To(BeNumerically(">=", most))
	}

	s := open(t, path, nil)
	stored := map[string]bool{}
	for {
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1000, Lease: time.Hour})
		g.Expect(err).NotTo(HaveOccurred())
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			stored[e.ID] = true
		}
	}
	for id := range acknowledged {
		if !stored[id] {
			t.Errorf("event %s was acknowledged and is lost", id)
		}
	}
	t.Logf("%d acknowledged, %d stored", len(acknowledged), len(stored))
}

func TestFullDatabaseIsUnavailableThenRecovers(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	ledgertest.Accept(t, s, "shop", "1")
	// The writer's pool opens its connections with a limit from now on.
	limit := func(pages int) {
		g.Expect(s.write(bg, &job{single: true, run: func(w *writer) error {
			_, err := w.conn.ExecContext(bg, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		}})).To(Succeed())
	}
	limit(1)

	letGo := holdUp(t, s)
	errs := make(chan error, 20)
	for i := range cap(errs) {
		go func() {
			_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint("big-", i), Data: make([]byte, 32<<10)})
			errs <- err
		}()
	}
	g.Eventually(func() int { return len(s.d.committer.jobs) }).Should(Equal(cap(errs)))
	letGo()
	for range cap(errs) {
		err := <-errs
		g.Expect(err).To(MatchError(ledger.ErrUnavailable), "every caller of the batch")
		g.Expect(err.Error()).To(ContainSubstring("full"))
	}
	g.Expect(s.d.committer.failure.Load()).NotTo(BeNil())
	_, _, err := s.NextEventDue(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.d.committer.failure.Load()).NotTo(BeNil(), "to read proves nothing")

	// The next batch is on a new connection, without the limit: room again.
	g.Expect(s.Healthy(bg)).To(Succeed(), "it finds out by itself")
	g.Expect(s.d.committer.failure.Load()).To(BeNil())
	ledgertest.Accept(t, s, "shop", "big-0")
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeEquivalentTo(2))
}

// A manager that starts on a full disk waits for room, and finds the ledger as it was.
func TestFullDiskAtStart(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	_, err := openWith(path, ledger.Options{}, settings{pragmas: []string{"max_page_count(8)"}})
	g.Expect(err).To(MatchError(And(ContainSubstring("the disk of the ledger "+path+" is full"), ContainSubstring("make the volume larger"))))
	g.Expect(IsUnavailable(err)).To(BeTrue())
	g.Expect(IsUnavailable(openError(path, &os.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}))).To(BeTrue())
	ledgertest.Accept(t, open(t, path, nil), "shop", "1")
}

// acceptWithoutRoom runs with a limit on the size of files, as the closest to a
// full disk that needs no rights: writes fail in the system call.
func acceptWithoutRoom(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := Open(bg, path, ledger.Options{})
	if err != nil {
		return err
	}
	put := func(id string) error {
		_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Name: "x", Data: make([]byte, 64<<10)})
		return err
	}
	limit := func(bytes uint64) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: math.MaxUint64})
	}
	if err := put("before"); err != nil {
		return err
	}
	if err := limit(1 << 20); err != nil {
		return err
	}
	var accepted []string
	// A refusal may be followed by an acceptance: the log is copied into the
	// database and truncated. In the end there is no room for either.
	refused, inARow := "", 0
	for i := 0; inARow < 5; i++ {
		id := fmt.Sprint(i)
		switch err := put(id); {
		case err == nil:
			accepted = append(accepted, id)
			inARow = 0
		case errors.Is(err, ledger.ErrUnavailable):
			refused = id
			inARow++
		default:
			return err
		}
		if i > 1000 {
			return errors.New("the limit was never met")
		}
	}
	// Not a byte more.
	if err := limit(0); err != nil {
		return err
	}
	if err := put(refused); !errors.Is(err, ledger.ErrUnavailable) {
		return fmt.Errorf("accepted without room: %w", err)
	}
	if err := s.Healthy(bg); !errors.Is(err, ledger.ErrUnavailable) {
		return fmt.Errorf("healthy without room: %w", err)
	}
	if err := limit(math.MaxUint64); err != nil {
		return err
	}
	if err := s.Healthy(bg); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	if err := put(refused); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	for _, id := range append(accepted, refused, "before") {
		duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id})
		if err != nil || !duplicate {
			return fmt.Errorf("event %s is lost: %w", id, err)
		}
	}
	return s.Close()
}

func TestFailingDiskIsUnavailableThenRecovers(t *testing.T) {
	path := ledgerPath(t)
	out, err := child(t, "filesize", path).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	open(t, path, nil) // and it isn't damaged
}

func TestReadOnlyDatabaseIsUnavailableThenRecovers(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.write(bg, &job{single: true, run: func(w *writer) error {
		_, err := w.conn.ExecContext(bg, "PRAGMA query_only = 1")
		return err
	}})).To(Succeed())
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "2"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	ledgertest.Accept(t, s, "shop", "2")
}

// openReadOnly opens a ledger that it may not write and prints the error.
func openReadOnly(path string) error {
	s, err := Open(bg, path, ledger.Options{})
	if err == nil {
		return errors.Join(errors.New("it was opened"), s.Close())
	}
	fmt.Println(err)
	return nil
}

func TestReadOnlyFileIsRefusedAtOpening(t *testing.T) {
	g := NewWithT(t)
	// Not t.TempDir: another user must be able to come here.
	dir, err := os.MkdirTemp("", "ledger")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(os.RemoveAll(dir)).To(Succeed()) }()
	path := dir + "/ledger.db"
	g.Expect(open(t, path, nil).Close()).To(Succeed())
	cmd := child(t, "readonly", path)
	if os.Geteuid() == 0 { // for whom modes mean nothing
		g.Expect(os.Chmod(path+".lock", 0o666)).To(Succeed())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		program := dir + "/program"
		b, err := os.ReadFile(os.Args[0])
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(program, b, 0o755)).To(Succeed())
		cmd.Path = program
		cmd.Dir = dir
	}
	g.Expect(os.Chmod(path, 0o444)).To(Succeed())
	g.Expect(os.Chmod(dir, 0o555)).To(Succeed())
	out, err := cmd.Output()
	g.Expect(os.Chmod(dir, 0o755)).To(Succeed())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(out)).To(ContainSubstring("can't be written, check the owner and mode"))
	g.Expect(strings.Count(string(out), "\n")).To(Equal(1), "one sentence: %s", out)
}
