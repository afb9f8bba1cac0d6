// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package unsubscribe

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

const (
	// minKey is the shortest key, in bytes.
	minKey = 32
	// maxKey is how much of a file is read at most, and maxKeys how many files.
	maxKey  = 4096
	maxKeys = 16
	// reloadInterval is how often the directory is read again: a Secret that is mounted
	// changes without a restart.
	reloadInterval = time.Minute
)

// keyID identifies a key in a link without revealing it.
type keyID [4]byte

type key struct {
	id     keyID
	secret []byte
}

// Keys are the keys in the files of a directory, such as a mounted Secret. The last file by
// name has the key that signs; links that were signed with the others remain valid until
// their file is removed. Keys is safe for concurrent use.
type Keys struct {
	dir string
	log logr.Logger
	now func() time.Time

	mu   sync.Mutex
	keys []key // never empty; the last one signs
	read time.Time
}

// OpenKeys reads the keys of a directory. The error says what is wrong with it.
func OpenKeys(dir string, log logr.Logger) (*Keys, error) {
	k := &Keys{dir: dir, log: log, now: time.Now}
	keys, err := readKeys(dir)
	if err != nil {
		return nil, err
	}
	k.keys, k.read = keys, k.now()
	return k, nil
}

// readKeys reads all keys of a directory, in the order of their names.
func readKeys(dir string) ([]key, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the keys for unsubscribe links: %w", err)
	}
	var keys []key
	for _, entry := range entries { // sorted by name
		// A mounted Secret has its versions in directories whose names begin with two dots.
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(path); err != nil || info.IsDir() || info.Size() > maxKey {
			return nil, fmt.Errorf("the key for unsubscribe links %s must be a file of at most %d bytes", path, maxKey)
		}
		secret, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return nil, fmt.Errorf("reading a key for unsubscribe links: %w", err)
		}
		if len(secret) < minKey {
			return nil, fmt.Errorf("the key for unsubscribe links %s must have at least %d bytes, and has %d", path, minKey, len(secret))
		}
		digest := sha256.Sum256(append([]byte("unsubscribe key "), secret...))
		keys = append(keys, key{keyID(digest[:4]), secret})
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("the directory %s must hold 1 to %d keys for unsubscribe links, and holds %d", dir, maxKeys, len(keys))
	}
	return keys, nil
}

// current returns all keys. It reads the directory again now and then, and keeps the keys
// that it has if that fails.
func (k *Keys) current() []key {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); now.Sub(k.read) >= reloadInterval {
		k.read = now
		if keys, err := readKeys(k.dir); err != nil {
			k.log.Error(err, "Keeping the keys for unsubscribe links that were read before")
		} else {
			k.keys = keys
		}
	}
	return k.keys
}

// signing returns the key that signs.
func (k *Keys) signing() key {
	keys := k.current()
	return keys[len(keys)-1]
}

// verifying returns the keys with an identifier.
func (k *Keys) verifying(id keyID) []key {
	keys := slices.Clone(k.current())
	return slices.DeleteFunc(keys, func(k key) bool { return k.id != id })
}
