// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

// TestBackupWhileRunning backs a ledger up while events are accepted, and restores it. All
// events that were acknowledged before the backup are in it, each of the others is there
// as a whole or not at all, and the writer was never refused.
func TestBackupWhileRunning(t *testing.T) {
	g := NewWithT(t)
	directory := t.TempDir()
	path := filepath.Join(directory, "ledger.db")
	store, err := sqlite.Open(t.Context(), path, ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	accept := func(id string) error {
		_, err := store.AcceptEvent(t.Context(), ledger.Event{Company: "shop", ID: id, Name: "user.create", Data: []byte(`{"id":"` + id + strings.Repeat(" ", 4096) + `"}`)})
		return err
	}
	for i := range 200 {
		g.Expect(accept(fmt.Sprint("before-", i))).To(Succeed())
	}
	var writer sync.WaitGroup
	stop, failed := make(chan struct{}), make(chan error, 1)
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := accept(fmt.Sprint("during-", i)); err != nil {
					failed <- err
					return
				}
			}
		}
	})
	var copied, errOut bytes.Buffer
	g.Expect(backup(t.Context(), []string{"--from", path}, &copied, &errOut)).To(BeZero(), errOut.String())
	close(stop)
	writer.Wait()
	g.Expect(failed).To(BeEmpty())
	g.Expect(filepath.Glob(path + ".backup")).To(BeEmpty())

	// The manager still runs.
	var out bytes.Buffer
	g.Expect(restore(t.Context(), []string{"--to", path}, bytes.NewReader(copied.Bytes()), &out, &errOut)).To(Equal(1))
	g.Expect(errOut.String()).To(ContainSubstring("another process has the ledger open"))
	g.Expect(accept("after")).To(Succeed())
	g.Expect(store.Close()).To(Succeed())
	// A process that was killed leaves its log, which must not be applied to the restored
	// ledger.
	g.Expect(os.WriteFile(path+"-wal", []byte("the log of the previous ledger"), 0o600)).To(Succeed())

	g.Expect(restore(t.Context(), []string{"--to", path}, bytes.NewReader(copied.Bytes()), &out, &errOut)).To(BeZero(), errOut.String())
	g.Expect(out.String()).To(ContainSubstring("You can now start the manager"))
	g.Expect(path + ".before-restore").To(BeARegularFile())
	g.Expect(path + ".before-restore-wal").To(BeARegularFile())
	store, err = sqlite.Open(t.Context(), path, ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(store.Close()).To(Succeed()) }()
	for i := range 200 {
		duplicate, err := store.AcceptEvent(t.Context(), ledger.Event{Company: "shop", ID: fmt.Sprint("before-", i), Name: "user.create", Data: []byte("{}")})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(duplicate).To(BeTrue(), "event %d was lost", i)
	}
	duplicate, err := store.AcceptEvent(t.Context(), ledger.Event{Company: "shop", ID: "after", Name: "user.create", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeFalse(), "it is from after the backup")
}

// TestBackupToFile writes a file that only its owner can read, and never replaces one.
func TestBackupToFile(t *testing.T) {
	g := NewWithT(t)
	path, to := filepath.Join(t.TempDir(), "ledger.db"), filepath.Join(t.TempDir(), "copy.db")
	store, err := sqlite.Open(t.Context(), path, ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(store.Close()).To(Succeed()) }()
	var out, errOut bytes.Buffer
	g.Expect(backup(t.Context(), []string{"--from", path, "--to", to}, &out, &errOut)).To(BeZero(), errOut.String())
	info, err := os.Stat(to)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(BeEquivalentTo(0o600))
	g.Expect(backup(t.Context(), []string{"--from", path, "--to", to}, &out, &errOut)).To(Equal(1))
	g.Expect(errOut.String()).To(ContainSubstring("file exists"))
}

// TestRestoreRefuses has files that are not usable backups: the ledger stays as it is.
func TestRestoreRefuses(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	store, err := sqlite.Open(t.Context(), path, ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	var copied, errOut bytes.Buffer
	g.Expect(backup(t.Context(), []string{"--from", path}, &copied, &errOut)).To(BeZero())
	g.Expect(store.Close()).To(Succeed())
	ledgerBefore, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	damaged := bytes.Clone(copied.Bytes())
	for i := len(damaged) / 2; i < len(damaged); i++ {
		damaged[i] = 0xaa
	}
	for name, test := range map[string]struct {
		backup []byte
		want   string
	}{
		"nothing":          {nil, "is empty"},
		"another file":     {[]byte("PK\x03\x04 this is not a database"), "not a SQLite database"},
		"a part of one":    {copied.Bytes()[:copied.Len()/2], "damaged"},
		"damaged":          {damaged, "damaged"},
		"another database": {otherDatabase(t), "not a ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var out, errOut bytes.Buffer
			g.Expect(restore(t.Context(), []string{"--to", path}, bytes.NewReader(test.backup), &out, &errOut)).To(Equal(1))
			g.Expect(errOut.String()).To(ContainSubstring(test.want))
			now, err := os.ReadFile(path)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(bytes.Equal(now, ledgerBefore)).To(BeTrue(), "the ledger changed")
		})
	}
}

// TestBackupRefuses has ledgers that cannot be backed up.
func TestBackupRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"none":        {[]string{"--from", filepath.Join(t.TempDir(), "ledger.db")}, 1, "there is no ledger at"},
		"a directory": {[]string{"--from", t.TempDir()}, 1, "is a directory"},
		"an argument": {[]string{"now"}, 2, `unexpected argument "now"`},
		"a flag":      {[]string{"--public-url=x"}, 2, "public-url"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var out, errOut bytes.Buffer
			g.Expect(backup(context.Background(), test.args, &out, &errOut)).To(Equal(test.code))
			g.Expect(errOut.String()).To(ContainSubstring(test.want))
			g.Expect(out.Len()).To(BeZero())
		})
	}
}

// otherDatabase is a SQLite database of another program.
func otherDatabase(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE a (b)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
