// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgrestest

import (
	"sync"
	"testing"
)

var shared struct {
	sync.Mutex
	*Server
	err error

	template    sync.Once
	templateErr error
}

// Shared returns the server that all tests of a program share, in memory. It is skipped
// or fails without PostgreSQL, see [Skip]. Tests that stop the server must not run beside
// others. The program's TestMain calls [StopShared].
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.Server == nil && shared.err == nil {
		shared.Server, shared.err = StartInMemory()
	}
	if shared.err != nil {
		Skip(t, shared.err)
	}
	return shared.Server
}

// StopShared stops the shared server if there is one.
func StopShared() error {
	if shared.Server == nil {
		return nil
	}
	return shared.Stop()
}

// NewDatabase creates an empty database on the shared server and returns its URL; its
// password is [Password].
func NewDatabase(t testing.TB) string {
	t.Helper()
	url, err := Shared(t).NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// NewLedger is [NewDatabase] for a ledger with the current tables. Migrate creates them in
// an empty database, once for each program, and closes its connections: databases are
// copied faster than tables are created.
func NewLedger(t testing.TB, migrate func(url string) error) string {
	t.Helper()
	server := Shared(t)
	shared.template.Do(func() {
		if shared.templateErr = server.newDatabase(template, "template1"); shared.templateErr == nil {
			shared.templateErr = migrate(server.URL(template, owner))
		}
	})
	if shared.templateErr != nil {
		t.Fatal(shared.templateErr)
	}
	url, err := server.copyDatabase(template)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

const template = "ledger_template"
