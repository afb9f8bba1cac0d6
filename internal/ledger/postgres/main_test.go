// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
	"github.com/rehive/extension-operator/internal/ledger/schema"
	"github.com/rehive/extension-operator/internal/ledger/sqlstore"
)

func TestMain(m *testing.M) {
	// A second, gomega's default, is short on a busy machine.
	gomega.SetDefaultEventuallyTimeout(3 * time.Minute)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := postgrestest.StopShared(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// place is where the ledger of one test is: opened again, it is the same ledger.
type place struct{ url string }

// newPlace is a new ledger without any tables.
func newPlace(t testing.TB) place {
	t.Helper()
	return place{url: postgrestest.NewDatabase(t)}
}

func (p place) config() Config { return Config{URL: p.url, Password: postgrestest.Password} }

// try opens the ledger.
func (p place) try() (*sqlstore.Store, error) { return Open(bg, p.config(), alone(nil)) }

// alone are options for a test in which nobody else is there to be watched for.
func alone(c clock.PassiveClock) ledger.Options {
	return ledger.Options{Clock: c, PollInterval: time.Hour}
}

// opened is an open ledger and its driver.
type opened struct {
	*sqlstore.Store
	d *database
}

// open opens a ledger that is closed with the test.
func (p place) open(t testing.TB, c clock.PassiveClock) *opened {
	t.Helper()
	d, err := openDatabase(bg, p.config(), alone(c))
	if err != nil {
		t.Fatal(err)
	}
	s := sqlstore.New(d, alone(c))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &opened{Store: s, d: d}
}

var bg = context.Background()

// raised reports whether a signal is raised, and receives it.
func raised(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// insertBare stores an event that nobody has claimed.
func insertBare(tx driver.Tx, id string) error {
	_, err := tx.Exec(`
		INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data)
		VALUES ('shop', $1, 'x', 1, 1, 1, '{}')`, id)
	return err
}

func emptyPlace(t testing.TB) ledgertest.Place { return conformingPlace(newPlace(t)) }

// migratedPlace is a new ledger with the current tables.
func migratedPlace(t testing.TB) ledgertest.Place {
	t.Helper()
	return conformingPlace(place{url: postgrestest.NewLedger(t, func(url string) error {
		s, err := place{url: url}.try()
		if err != nil {
			return err
		}
		return s.Close()
	})})
}

func conformingPlace(p place) ledgertest.Place {
	return ledgertest.Place{
		Open: func(ctx context.Context, o ledger.Options) (ledger.Store, error) { return Open(ctx, p.config(), o) },
		DB: func() (*sql.DB, error) {
			config, _, err := parse(p.config())
			if err != nil {
				return nil, err
			}
			return stdlib.OpenDB(*config), nil
		},
		Dialect: schema.Postgres, Shared: true,
	}
}

func TestConformance(t *testing.T) { ledgertest.Run(t, migratedPlace) }

func TestUpgrades(t *testing.T) { ledgertest.RunUpgrades(t, emptyPlace) }

func TestEncryptedConformance(t *testing.T) { ledgertest.RunEncrypted(t, migratedPlace) }
