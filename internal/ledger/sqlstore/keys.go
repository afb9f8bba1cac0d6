// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// keyLength is the length of generated keys in bytes.
const keyLength = 32

// keys are the generated keys that this process has read.
type keys struct {
	mu   sync.Mutex
	read map[string][]byte
}

// Key implements [ledger.Keys].
func (s *Store) Key(ctx context.Context, name string) ([]byte, error) {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if key := s.keys.read[name]; key != nil {
		return key, nil
	}
	key, err := s.readKey(ctx, name)
	if err == nil && key == nil {
		fresh := make([]byte, keyLength)
		_, _ = rand.Read(fresh) // never fails
		err = s.driver.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
			_, err := tx.Exec("INSERT INTO keys (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, fresh)
			return err
		}})
		if err == nil {
			key, err = s.readKey(ctx, name) // another process may have been faster
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading a key of the ledger: %w", err)
	}
	if s.keys.read == nil {
		s.keys.read = map[string][]byte{}
	}
	s.keys.read[name] = key
	return key, nil
}

// readKey returns nil if there is no such key.
func (s *Store) readKey(ctx context.Context, name string) (key []byte, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT value FROM keys WHERE name = $1", name)
	if err != nil {
		return nil, unavailable("reading", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		err = rows.Scan(&key)
	}
	return key, errors.Join(err, rows.Err())
}
