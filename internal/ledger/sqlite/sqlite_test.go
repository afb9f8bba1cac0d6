// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

func TestFilesAreTheOwnersOnly(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s := open(t, path, nil)
	ledgertest.Accept(t, s, "shop", "1")
	for name, mode := range map[string]os.FileMode{
		filepath.Dir(path): 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600,
	} {
		info, err := os.Stat(name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(info.Mode().Perm()).To(Equal(mode), name)
	}
}

func TestPathMayHoldAnything(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "a b%3f?mode=memory&x#y", "ledger.db")
	s := open(t, path, nil)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.Close()).To(Succeed())
	info, err := os.Stat(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Size()).To(BeNumerically(">", 0))
}

func TestSecondOpenerIsRefused(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s := open(t, path, nil)
	_, err := Open(bg, path, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("another process has the ledger open")))
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.Close()).To(Succeed())
	open(t, path, nil)
}

func TestEveryCommitWaitsForTheDisk(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	ledgertest.Accept(t, s, "shop", "1")
	ledgertest.ClaimOne(t, s) // a loose commit
	sync := -1
	look := func(relaxed bool) *job {
		return &job{single: true, relaxed: relaxed, run: func(w *writer) error {
			return w.conn.QueryRowContext(bg, "PRAGMA synchronous").Scan(&sync)
		}}
	}
	g.Expect(s.write(bg, look(false))).To(Succeed())
	g.Expect(sync).To(Equal(2), "FULL, also after a claim")
	// Another commit, such as that of what companies use, may be part of the same transaction.
	g.Eventually(func() int {
		g.Expect(s.write(bg, look(true))).To(Succeed())
		return sync
	}).Should(Equal(1), "NORMAL for a claim alone")
}

func TestDamagedLedgerIsRefusedAndLeftAsItIs(t *testing.T) {
	for name, damage := range map[string]func(f *os.File, size int64) error{
		"first page broken": func(f *os.File, _ int64) error { _, err := f.WriteAt(make([]byte, 3000), 100); return err },
		"cut off":           func(f *os.File, size int64) error { return f.Truncate(size/2 + 100) },
		"page overwritten": func(f *os.File, size int64) error {
			for at := int64(4096); at < size; at += 4096 {
				if _, err := f.WriteAt([]byte("garbage garbage garbage"), at); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := ledgerPath(t)
			s := open(t, path, nil)
			ledgertest.Fill(t, s, "shop", 100)
			g.Expect(s.Close()).To(Succeed())
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			g.Expect(err).NotTo(HaveOccurred())
			info, err := f.Stat()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(damage(f, info.Size())).To(Succeed())
			g.Expect(f.Close()).To(Succeed())
			before, err := os.ReadFile(path)
			g.Expect(err).NotTo(HaveOccurred())

			_, err = Open(bg, path, ledger.Options{})
			g.Expect(err).To(MatchError(And(ContainSubstring("is damaged and was left as it is"), ContainSubstring(".recover"))))
			after, err := os.ReadFile(path)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(after).To(Equal(before))
		})
	}
}

// A file that is not a ledger is refused before anything is created beside it.
func TestOtherFilesAreRefused(t *testing.T) {
	text := func(text string) func(path string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	for name, test := range map[string]struct {
		make  func(path string) error
		wants string
	}{
		"directory":  {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory: name a file"},
		"pipe":       {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is not a regular file"},
		"text":       {text("this is not a database, but somebody's notes"), "is not a SQLite database and was left as it is"},
		"short text": {text("x"), "is not a SQLite database and was left as it is"},
		"another program's database": {func(path string) error {
			return otherDatabase(path, "DELETE")
		}, "is the SQLite database of another program, not a ledger, and was left as it is"},
		"another program's database with a write-ahead log": {func(path string) error {
			return otherDatabase(path, "WAL")
		}, "is the SQLite database of another program, not a ledger, and was left as it is"},
		"link to nothing": {func(path string) error { return os.Symlink("missing/ledger.db", path) }, "is a symbolic link to a file that doesn't exist"},
		"link to itself":  {func(path string) error { return os.Symlink(path, path) }, "following the symbolic link"},
		"read-only": {func(path string) error {
			if os.Geteuid() == 0 {
				return errors.ErrUnsupported // root may write it
			}
			return os.WriteFile(path, nil, 0o400)
		}, "can't be written, check the owner and mode"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := filepath.Join(t.TempDir(), "ledger.db")
			err := test.make(path)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip("root may do anything")
			}
			g.Expect(err).NotTo(HaveOccurred())
			var before []byte
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				before, err = os.ReadFile(path)
				g.Expect(err).NotTo(HaveOccurred())
			}
			_, err = Open(bg, path, ledger.Options{})
			g.Expect(err).To(MatchError(ContainSubstring(test.wants)))
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				after, err := os.ReadFile(path)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(after).To(Equal(before))
			}
			beside, err := os.ReadDir(filepath.Dir(path))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(beside).To(HaveLen(1))
		})
	}
	t.Run("below a file", func(t *testing.T) {
		g := NewWithT(t)
		file := filepath.Join(t.TempDir(), "file")
		g.Expect(text("x")(file)).To(Succeed())
		_, err := Open(bg, filepath.Join(file, "ledger.db"), ledger.Options{})
		g.Expect(err).To(MatchError(ContainSubstring("a part of its path is a file")))
	})
	t.Run("empty", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		if err := text("")(path); err != nil {
			t.Fatal(err)
		}
		ledgertest.Accept(t, open(t, path, nil), "shop", "1")
	})
}

// otherDatabase creates a SQLite database that is not a ledger.
func otherDatabase(path, journal string) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(bg, "PRAGMA journal_mode = "+journal+"; CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')")
	return err
}

// However two managers name a ledger, only one has it; and what SQLite keeps beside the file is
// looked for there.
func TestLinkToALedger(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s := open(t, path, nil)
	ledgertest.Accept(t, s, "shop", "1")
	link := filepath.Join(t.TempDir(), "link.db")
	g.Expect(os.Symlink(path, link)).To(Succeed())
	_, err := Open(bg, link, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("another process has the ledger open")))
	wal, err := os.ReadFile(path + "-wal")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Close()).To(Succeed())

	s = open(t, link, nil)
	duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue())
	g.Expect(s.Close()).To(Succeed())
	beside, err := os.ReadDir(filepath.Dir(link))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(beside).To(HaveLen(1))

	g.Expect(os.Truncate(path, 0)).To(Succeed())
	g.Expect(os.WriteFile(path+"-wal", wal, 0o600)).To(Succeed())
	_, err = Open(bg, link, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("write-ahead log is there")))
}

// Where there was a ledger, an empty one would send again what was sent, and to users who opted
// out.
func TestNoNewLedgerInsteadOfAnother(t *testing.T) {
	for suffix, want := range map[string]string{
		MovedSuffix:     "was moved to PostgreSQL",
		restoringSuffix: "was interrupted: run `manager restore` again",
	} {
		g := NewWithT(t)
		path := ledgerPath(t)
		g.Expect(open(t, path, nil).Close()).To(Succeed())
		g.Expect(os.Rename(path, path+suffix)).To(Succeed())
		_, err := Open(bg, path, ledger.Options{})
		g.Expect(err).To(MatchError(ContainSubstring(want)))
		g.Expect(path).NotTo(BeAnExistingFile())
		g.Expect(os.Remove(path + suffix)).To(Succeed())
		g.Expect(open(t, path, nil).Close()).To(Succeed())
	}
}

func TestRestoreReplacesOnlyFiles(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	g.Expect(open(t, path, nil).Close()).To(Succeed())
	var copied bytes.Buffer
	g.Expect(Backup(bg, path, &copied)).To(Succeed())
	dir := filepath.Join(t.TempDir(), "state")
	g.Expect(os.Mkdir(dir, 0o700)).To(Succeed())
	g.Expect(Restore(bg, bytes.NewReader(copied.Bytes()), dir)).To(MatchError(ContainSubstring("is a directory: name a file")))
	beside, err := os.ReadDir(filepath.Dir(dir))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(beside).To(HaveLen(1))

	// A link stays one.
	link := filepath.Join(t.TempDir(), "link.db")
	g.Expect(os.Symlink(path, link)).To(Succeed())
	g.Expect(Restore(bg, bytes.NewReader(copied.Bytes()), link)).To(Succeed())
	g.Expect(filepath.EvalSymlinks(link)).To(Equal(path))
	g.Expect(path + ".before-restore").To(BeAnExistingFile())
	g.Expect(open(t, link, nil).Close()).To(Succeed())
}

func TestLostDatabaseBesideItsLogIsRefused(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s := open(t, path, nil)
	ledgertest.Accept(t, s, "shop", "1")
	wal, err := os.ReadFile(path + "-wal")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Close()).To(Succeed())
	g.Expect(os.WriteFile(path+"-wal", wal, 0o600)).To(Succeed())
	g.Expect(os.Remove(path)).To(Succeed())
	_, err = Open(bg, path, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("write-ahead log is there")))
	g.Expect(path).NotTo(BeAnExistingFile())
}

func TestLedgerOfANewerOperatorIsRefused(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	g.Expect(open(t, path, nil).Close()).To(Succeed())
	db, err := sql.Open("sqlite", dsn(path, settings{}))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = db.ExecContext(bg, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(db.Close()).To(Succeed())
	_, err = Open(bg, path, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("run the newer operator")))
}

func TestOpenNeedsAPath(t *testing.T) {
	_, err := Open(bg, "", ledger.Options{})
	NewWithT(t).Expect(err).To(HaveOccurred())
}

func TestCallersWhoseTimeIsUpAreRefused(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	// The committer is held up, as by a disk that doesn't answer.
	held, letGo := make(chan struct{}), make(chan struct{})
	blocked := make(chan error)
	go func() {
		blocked <- s.write(bg, &job{single: true, run: func(*writer) error { close(held); <-letGo; return nil }})
	}()
	<-held
	ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
	defer cancel()
	_, err := s.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: "1"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(err).To(MatchError(context.DeadlineExceeded))
	close(letGo)
	g.Expect(<-blocked).To(Succeed())
	// A job whose caller has gone isn't begun.
	ledgertest.Accept(t, s, "shop", "1")
}

func TestLeasesOfTheProcessBeforeEndAtOpening(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s := open(t, path, nil)
	ledgertest.Accept(t, s, "shop", "1")
	ledgertest.Accept(t, s, "shop", "2")
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Hour})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.CompleteEvent(bg, claimed[0], []ledger.NewDelivery{ledgertest.Email("rule", "a@example.com")})).To(Succeed())
	ledgertest.ClaimOne(t, s)
	ledgertest.ClaimDelivery(t, s)
	g.Expect(s.Close()).To(Succeed())

	s = open(t, path, nil)
	g.Expect(ledgertest.ClaimOne(t, s).Attempts).To(Equal(2))
	g.Expect(ledgertest.ClaimDelivery(t, s).Attempts).To(Equal(2))
}
