// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/schema"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
	"github.com/rehive/extension-operator/internal/ledger/sqlstore"
)

// childEnv names what a child process of the test does instead of the tests; the
// ledger's path is in childPath.
const (
	childEnv  = "LEDGER_TEST_CHILD"
	childPath = "LEDGER_TEST_PATH"
)

var children = map[string]func(path string) error{}

func TestMain(m *testing.M) {
	// A second, gomega's default, is short on a busy machine.
	gomega.SetDefaultEventuallyTimeout(3 * time.Minute)
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Getenv(childPath)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child is this test program with another task.
func child(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

func ledgerPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state", "ledger.db")
}

// opened is an open ledger and its driver.
type opened struct {
	*sqlstore.Store
	d *database
}

// open opens a ledger that is closed with the test.
func open(t testing.TB, path string, c clock.PassiveClock) *opened {
	t.Helper()
	// Tests count jobs: none may come from the counting of usage.
	s, err := openWith(path, ledger.Options{Clock: c, UsageInterval: time.Hour}, settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openWith(path string, o ledger.Options, s settings) (*opened, error) {
	d, err := openFile(bg, path, o, s)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(bg, d, o)
	if err != nil {
		return nil, err
	}
	return &opened{Store: store, d: d}, nil
}

// write runs a job.
func (o *opened) write(ctx context.Context, j *job) error {
	j.ctx = ctx
	return o.d.committer.do(j)
}

var bg = context.Background()

// insertBareEvent stores an event that nobody has claimed.
const insertBareEvent = `
	INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data)
	VALUES ($1, $2, $3, $4, $5, $5, $6)
	ON CONFLICT (company, event_id) DO NOTHING`

// newPlace is a ledger with the current tables.
func newPlace(t testing.TB) ledgertest.Place { return place(sqlitetest.NewFile(t)) }

// emptyPlace is a ledger without any tables.
func emptyPlace(t testing.TB) ledgertest.Place { return place(ledgerPath(t)) }

func place(path string) ledgertest.Place {
	return ledgertest.Place{
		Open: func(ctx context.Context, o ledger.Options) (ledger.Store, error) { return Open(ctx, path, o) },
		DB: func() (*sql.DB, error) {
			if err := makeDirectory(path); err != nil {
				return nil, err
			}
			return sql.Open("sqlite", dsn(path, settings{}))
		},
		Dialect: schema.SQLite,
	}
}

func TestConformance(t *testing.T) { ledgertest.Run(t, newPlace) }

func TestUpgrades(t *testing.T) { ledgertest.RunUpgrades(t, emptyPlace) }

func TestEncryptedConformance(t *testing.T) { ledgertest.RunEncrypted(t, newPlace) }
