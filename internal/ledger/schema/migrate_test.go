// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"testing"
)

// released are the migrations that ledgers out there went through. One that changed
// would leave them with other tables than new ones: add a migration instead.
var released = map[string]string{
	"migrations/sqlite/00001_create_ledger.sql":   "1af4f84ce0d69f3c65925e6904386787e519dc609c8327138b04ba770216336b",
	"migrations/postgres/00001_create_ledger.sql": "944e3fe0c85f7d0ae4b5e1ceabc1c8f2e61c539f498976ea9911273268558b52",
}

func TestReleasedMigrationsAreFrozen(t *testing.T) {
	for path, want := range released {
		text, err := fs.ReadFile(migrations, path)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed: undo that, and add a new migration", path)
		}
	}
}
