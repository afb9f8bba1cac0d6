// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

// TestAwaitStore starts while the database cannot be reached. The ledger must be open soon
// after it can, without a restart of the process.
func TestAwaitStore(t *testing.T) {
	g := NewWithT(t)
	server, err := postgrestest.StartInMemory()
	if err != nil {
		postgrestest.Skip(t, err)
	}
	defer func() { g.Expect(server.Stop()).To(Succeed()) }()
	direct, err := server.NewDatabase()
	g.Expect(err).NotTo(HaveOccurred())

	// A port that nobody listens on yet.
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := reserved.Addr().String()
	g.Expect(reserved.Close()).To(Succeed())
	target := socketOf(g, direct)
	waiting, opened := make(chan string, 1), make(chan error, 1)
	var store ledger.Store
	go func() {
		s := &settings{ledgerURL: fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", target.user, address, target.database), ledgerPassword: postgrestest.Password}
		log := funcr.New(func(_, args string) { waiting <- args }, funcr.Options{})
		var err error
		store, err = s.awaitStore(t.Context(), ledger.Options{}, log, 10*time.Millisecond)
		opened <- err
	}()
	g.Eventually(waiting, "3m").Should(Receive(ContainSubstring("Waiting for the ledger's database")))
	g.Consistently(opened, "50ms").ShouldNot(Receive())

	front, err := net.Listen("tcp", address)
	g.Expect(err).NotTo(HaveOccurred())
	defer front.Close()
	go forward(front, target.network, target.address)
	g.Eventually(opened, "3m").Should(Receive(BeNil()))
	g.Expect(store.Close()).To(Succeed())
}

// TestAwaitStoreWaitsForLock checks that a lock that another program holds on the SQLite file
// delays the start instead of ending it.
func TestAwaitStoreWaitsForLock(t *testing.T) {
	t.Parallel() // SQLite waits for five seconds
	g := NewWithT(t)
	s := &settings{ledgerPath: filepath.Join(t.TempDir(), "ledger.db")}
	store, err := s.awaitStore(t.Context(), ledger.Options{}, logr.Discard(), time.Millisecond)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(store.Close()).To(Succeed())

	db, err := sql.Open("sqlite", s.ledgerPath)
	g.Expect(err).NotTo(HaveOccurred())
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	g.Expect(err).NotTo(HaveOccurred())

	release := sync.OnceFunc(func() { _, err = db.ExecContext(t.Context(), "ROLLBACK") })
	log := funcr.New(func(_, _ string) { release() }, funcr.Options{})
	store, opened := s.awaitStore(t.Context(), ledger.Options{}, log, time.Millisecond)
	g.Expect(opened).NotTo(HaveOccurred())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(store.Close()).To(Succeed())
}

// TestAwaitStoreGivesUp has errors that waiting does not fix, and a process that is told
// to stop while it waits.
func TestAwaitStoreGivesUp(t *testing.T) {
	g := NewWithT(t)
	open := func(ctx context.Context, s *settings) error {
		_, err := s.awaitStore(ctx, ledger.Options{}, logr.Discard(), time.Millisecond)
		return err
	}
	g.Expect(open(t.Context(), &settings{ledgerPath: t.TempDir()})).To(MatchError(ContainSubstring("is a directory")))
	g.Expect(open(t.Context(), &settings{ledgerURL: "postgres://joe:secret@localhost/ledger"})).To(MatchError(ContainSubstring("must not hold a password")))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	nowhere := &settings{ledgerURL: "postgres://joe@" + filepath.Join("127.0.0.1:1", "ledger") + "?sslmode=disable"}
	g.Expect(open(ctx, nowhere)).To(MatchError(ContainSubstring("the ledger")))
}

type postgresTarget struct{ network, address, user, database string }

// socketOf returns where the server of a URL listens: the tests' servers use a socket.
func socketOf(g *WithT, address string) postgresTarget {
	u, err := url.Parse(address)
	g.Expect(err).NotTo(HaveOccurred())
	target := postgresTarget{network: "tcp", address: u.Host, user: u.User.Username(), database: filepath.Base(u.Path)}
	if host := u.Query().Get("host"); filepath.IsAbs(host) {
		port := 5432
		if given := u.Query().Get("port"); given != "" {
			port, err = strconv.Atoi(given)
			g.Expect(err).NotTo(HaveOccurred())
		}
		target.network, target.address = "unix", filepath.Join(host, fmt.Sprintf(".s.PGSQL.%d", port))
	}
	return target
}

// forward connects each client of a listener to another address, until the listener is
// closed.
func forward(listener net.Listener, network, address string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(network, address)
		if err != nil {
			client.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
			go func() {
				io.Copy(pair[0], pair[1])
				pair[0].Close()
			}()
		}
	}
}
