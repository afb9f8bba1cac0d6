// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

// databaseOf returns the name of the database of a ledger.
func databaseOf(t *testing.T, p place) string {
	t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	return path.Base(u.Path)
}

// The server or a pooler allows fewer connections than the pool may have: callers wait for those
// that it has.
func TestFewerConnectionsThanConfigured(t *testing.T) {
	for name, place := range map[string]func() place{
		"a limit of the database": func() place {
			p := newPlace(t)
			NewWithT(t).Expect(postgrestest.Shared(t).Exec("ALTER DATABASE " + databaseOf(t, p) + " CONNECTION LIMIT 3")).To(Succeed())
			return p
		},
		"PgBouncer's clients":       func() place { return bounced(t, "session\nmax_client_conn = 3") },
		"PgBouncer's pool":          func() place { return bounced(t, "session\ndefault_pool_size = 3\nquery_wait_timeout = 1") },
		"PgBouncer without a limit": func() place { return bounced(t, "session\ndefault_pool_size = 3") },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := place().open(t, nil)
			var calls sync.WaitGroup
			for i := range 40 {
				calls.Go(func() {
					if _, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(i), Data: []byte("{}")}); err != nil {
						t.Errorf("accepting: %v", err)
					}
					if _, err := s.Stats(bg); err != nil {
						t.Errorf("reading: %v", err)
					}
				})
			}
			calls.Wait()
			st, err := s.Stats(bg)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(st.PendingEvents).To(BeEquivalentTo(40))
			g.Expect(s.d.pool.Stats().MaxOpenConnections).To(BeNumerically("<=", 3))
			c := s.d.connections
			c.mu.Lock()
			c.shrunk = time.Now().Add(-2 * regrowTime)
			c.mu.Unlock()
			c.regrow()
			g.Expect(s.d.pool.Stats().MaxOpenConnections).To(Equal(defaultConnections), "others may have gone")
			_, err = s.Stats(bg)
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

// Settings that a database administrator may have made are either overridden or explained.
func TestSettingsOfTheDatabase(t *testing.T) {
	server := postgrestest.Shared(t)
	for setting, want := range map[string]string{
		"SET standard_conforming_strings = off":              "",
		"SET client_min_messages = debug5":                   "",
		"SET datestyle = 'German, DMY'":                      "",
		"SET default_transaction_isolation = 'serializable'": "",
		"SET idle_session_timeout = 1000":                    "",
		"SET search_path = nowhere":                          `no schema of the search_path "nowhere" exists`,
		"SET search_path = ''":                               "set the search_path of the role or in the ledger's URL",
		"SET default_transaction_read_only = on":             "default_transaction_read_only is on",
		"CONNECTION LIMIT 0":                                 "lower --ledger-connections",
		"ALLOW_CONNECTIONS false":                            "is not currently accepting connections",
		"OWNER TO postgres":                                  "must own the database",
	} {
		t.Run(setting, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(server.Exec("ALTER DATABASE " + databaseOf(t, p) + " " + setting)).To(Succeed())
			s, err := p.try()
			if want != "" {
				g.Expect(err).To(MatchError(ContainSubstring(want)))
				waiting := strings.Contains(setting, "read_only") || strings.Contains(setting, "CONNECTION")
				g.Expect(IsUnavailable(err)).To(Equal(waiting), "whether waiting may help")
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			_, err = s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "1", Data: []byte("{}")})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(s.Close()).To(Succeed())
		})
	}
	for i, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		g := NewWithT(t)
		name := fmt.Sprint("encoded_", i)
		g.Expect(server.Exec("CREATE DATABASE " + name + " OWNER ledger TEMPLATE template0 ENCODING '" + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C'")).To(Succeed())
		_, err := place{url: server.URL(name, "ledger")}.try()
		g.Expect(err).To(MatchError(ContainSubstring("has the encoding " + encoding)))
	}
}

// A manager that starts while PgBouncer can't reach the server waits, but not if a person must act.
func TestPgBouncerWithoutServer(t *testing.T) {
	g := NewWithT(t)
	server := ownServer(t)
	direct, err := server.NewDatabase()
	g.Expect(err).NotTo(HaveOccurred())
	pooler, err := server.Bounce("session")
	if err != nil {
		postgrestest.Skip(t, err)
	}
	defer func() { g.Expect(pooler.Stop()).To(Succeed()) }()
	address, err := pooler.URL(direct)
	g.Expect(err).NotTo(HaveOccurred())
	at := place{url: address}

	_, err = place{url: strings.Replace(address, "/ledger_", "/missing_", 1)}.try()
	g.Expect(err).To(MatchError(ContainSubstring("does not exist")))
	g.Expect(IsUnavailable(err)).To(BeFalse())
	_, err = Open(bg, Config{URL: address, Password: "wrong"}, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("authentication failed")))
	g.Expect(IsUnavailable(err)).To(BeFalse())

	g.Expect(server.Halt(true)).To(Succeed())
	_, err = at.try()
	g.Expect(err).To(HaveOccurred())
	g.Expect(IsUnavailable(err)).To(BeTrue(), err.Error())
	g.Expect(server.Launch()).To(Succeed())
	g.Eventually(func() error {
		s, err := at.try()
		if err == nil {
			err = s.Close()
		}
		return err
	}).Should(Succeed())
}

// PgBouncer answers with its own code, and in its own words, depending on how a connection to the
// server failed before.
func TestAnswersOfPgBouncer(t *testing.T) {
	for message, waits := range map[string]bool{
		"server login has been failing, try again later (server_login_retry)": true,
		"the database system is starting up":                                  true,
		"server conn crashed?":                                                true,
		"server connections dropped":                                          true,
		"connect failed":                                                      true,
		`database "ledger" is disabled`:                                       true,
		`no such database: ledger`:                                            false,
		"password authentication failed":                                      false,
	} {
		err := fmt.Errorf("connecting to the ledger's database: %w", &pgconn.PgError{Code: "08P01", Message: message})
		NewWithT(t).Expect(IsUnavailable(err)).To(Equal(waits), message)
	}
}

// The database or its schema belongs to another program, which may use goose too.
func TestTablesOfAnotherProgram(t *testing.T) {
	for name, statements := range map[string][]string{
		"tables of the same names": {"CREATE TABLE events (id int)"},
		"another goose":            {"CREATE TABLE goose_db_version (id int, version_id bigint, is_applied bool, tstamp timestamp)", "INSERT INTO goose_db_version VALUES (1, 7, true, now())", "CREATE TABLE orders (id int)"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			owner, err := Prepare(bg, p.config())
			g.Expect(err).NotTo(HaveOccurred())
			_, err = owner.ExecContext(bg, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA notices")
			g.Expect(err).NotTo(HaveOccurred())
			for _, statement := range statements {
				_, err = owner.ExecContext(bg, statement)
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(owner.Close()).To(Succeed())
			_, err = p.try()
			g.Expect(err).To(MatchError(ContainSubstring("has tables of another program")))
			g.Expect(IsUnavailable(err)).To(BeFalse())

			// As the sentence says.
			p.url += "&search_path=notices"
			ledgertest.Accept(t, p.open(t, nil), "shop", "1")
		})
	}
}
