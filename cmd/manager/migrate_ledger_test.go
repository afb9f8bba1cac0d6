// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

func TestMigrateLedger(t *testing.T) {
	ctx := context.Background()
	server, err := postgrestest.StartInMemory()
	if err != nil {
		postgrestest.Skip(t, err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	url, err := server.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.db")
	store, err := sqlite.Open(ctx, path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	event := ledger.Event{Company: "shop", ID: "1", Name: "user.create", Data: []byte("{}")}
	if _, err := store.AcceptEvent(ctx, event); err != nil {
		t.Fatal(err)
	}
	migrate := func(wantCode int, want string) {
		t.Helper()
		var out, errOut bytes.Buffer
		variables := environment(map[string]string{"REHIVE_EXTENSION_LEDGER_PASSWORD": postgrestest.Password})
		code := migrateLedger(ctx, []string{"--from", path, "--to", url}, variables, &out, &errOut)
		if text := out.String() + errOut.String(); code != wantCode || !strings.Contains(text, want) || strings.Count(text, "\n") != 1 {
			t.Fatalf("exit code %d, want %d: %s", code, wantCode, text)
		}
	}
	migrate(1, "another process has the ledger open")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	migrate(0, "Moved 1 events and 0 deliveries.")
	migrate(0, "has already been moved")

	store, err = postgres.Open(ctx, postgres.Config{URL: url, Password: postgrestest.Password}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if duplicate, err := store.AcceptEvent(ctx, event); err != nil || !duplicate {
		t.Errorf("the event is not there: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateLedgerRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no target":   {args: nil, want: "--to: "},
		"a password":  {args: []string{"--to=postgres://joe:hunter2@db/ledger"}, want: "must not hold a password"},
		"a flag":      {args: []string{"--public-url=x"}, want: "public-url"},
		"an argument": {args: []string{"now"}, want: `unexpected argument "now"`},
		"a file":      {args: []string{"--to=postgres://joe@db/ledger", "--ledger-password-file=/nowhere"}, want: "reading --ledger-password-file"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			code := migrateLedger(context.Background(), test.args, environment(nil), &out, &errOut)
			if code != 2 || !strings.Contains(errOut.String(), test.want) || strings.Contains(errOut.String(), "hunter2") {
				t.Errorf("exit code %d: %s", code, errOut.String())
			}
		})
	}
}
