// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package seal encrypts values that are stored in a database, with AES-256-GCM and keys
// that are rotated.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// KeySize is the length of a key in bytes.
	KeySize = 32
	// magic begins every sealed value. No JSON text begins with it.
	magic = "\x00\x01"
	// maxKeyID is the length of the longest key ID.
	maxKeyID = 63
	// reloadInterval limits how often an unknown key makes the keys be read again.
	reloadInterval = 5 * time.Second
)

// ErrTampered says that a value was sealed with a key that is available, but is in
// another place or was changed.
var ErrTampered = errors.New("the value was changed, moved to another row or sealed with another key of the same name")

// KeyError says that the key of a value is not available.
type KeyError struct{ ID string }

func (e *KeyError) Error() string {
	return fmt.Sprintf("the key %q is missing from the ledger's encryption keys: add it again", e.ID)
}

// Keyring holds keys by their IDs. The newest one seals, and all of them open. A nil Keyring
// has no keys. It is safe for concurrent use.
type Keyring struct {
	newest string
	seals  cipher.AEAD
	header string // of what the newest key seals

	mu     sync.RWMutex
	opens  map[string]cipher.AEAD
	load   func() (map[string][]byte, error) // nil if the keys don't change
	loaded time.Time
}

// New returns a Keyring with some keys. The newest is the one whose ID is the greatest,
// with the numbers in it compared as numbers.
func New(keys map[string][]byte) (*Keyring, error) {
	k := &Keyring{}
	var err error
	if k.opens, err = ciphers(keys); err != nil {
		return nil, err
	}
	k.newest = slices.MaxFunc(slices.Collect(maps.Keys(keys)), compareIDs)
	k.seals, k.header = k.opens[k.newest], header(k.newest)
	return k, nil
}

func ciphers(keys map[string][]byte) (map[string]cipher.AEAD, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no encryption key")
	}
	all := make(map[string]cipher.AEAD, len(keys))
	for id, key := range keys {
		if id == "" || len(id) > maxKeyID {
			return nil, fmt.Errorf("the ID of an encryption key must have 1 to %d characters: %q", maxKeyID, id)
		}
		if len(key) != KeySize {
			return nil, fmt.Errorf("the encryption key %q must have %d bytes, not %d", id, KeySize, len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("the encryption key %q: %w", id, err)
		}
		// It draws a random nonce for each value, and stores it in front of it.
		if all[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("the encryption key %q: %w", id, err)
		}
	}
	return all, nil
}

// Newest is the ID of the key that seals.
func (k *Keyring) Newest() string { return k.newest }

// Header is how all values begin that the newest key seals.
func (k *Keyring) Header() []byte { return []byte(k.header) }

// Overhead is how many bytes longer a value is once the newest key has sealed it.
func (k *Keyring) Overhead() int { return len(k.header) + k.seals.Overhead() }

// Seal encrypts a value for a place, such as a table and the keys of a row. It can be
// opened only for the same place.
func (k *Keyring) Seal(value []byte, place ...string) []byte {
	sealed := make([]byte, len(k.header), len(k.header)+len(value)+k.seals.Overhead())
	copy(sealed, k.header)
	return k.seals.Seal(sealed, nil, value, associated(place)) //nolint:gosec // the cipher makes a random nonce
}

// Open decrypts a value that was sealed for a place. Errors are a [KeyError] or wrap
// [ErrTampered].
func (k *Keyring) Open(sealed []byte, place ...string) ([]byte, error) {
	id, ok := KeyID(sealed)
	if !ok {
		return nil, ErrTampered
	}
	var key cipher.AEAD
	if k != nil {
		key = k.find(id)
	}
	if key == nil {
		return nil, &KeyError{id}
	}
	value, err := key.Open(nil, nil, sealed[len(magic)+1+len(id):], associated(place))
	if err != nil {
		return nil, fmt.Errorf("%w (key %q)", ErrTampered, id)
	}
	return value, nil
}

// find returns the cipher of a key; nil if there is none. It reads the keys again for one
// that it doesn't know, because another process may have been given it first.
func (k *Keyring) find(id string) cipher.AEAD {
	k.mu.RLock()
	key, due := k.opens[id], k.load != nil && time.Since(k.loaded) >= reloadInterval
	k.mu.RUnlock()
	if key != nil || !due {
		return key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.opens[id] == nil && time.Since(k.loaded) >= reloadInterval {
		k.loaded = time.Now()
		if keys, err := k.load(); err == nil {
			if all, err := ciphers(keys); err == nil {
				// Keys that were removed stay: values may still be sealed with them.
				for id, key := range all {
					if k.opens[id] == nil {
						k.opens[id] = key
					}
				}
			}
		}
	}
	return k.opens[id]
}

// Sealed reports whether a value is sealed.
func Sealed(value []byte) bool {
	return len(value) >= len(magic) && string(value[:len(magic)]) == magic
}

// Prefix is how all sealed values begin, whatever their key.
func Prefix() []byte { return []byte(magic) }

// KeyID returns the ID of the key that a value is sealed with; false if it is not sealed.
func KeyID(value []byte) (string, bool) {
	if !Sealed(value) || len(value) <= len(magic) {
		return "", false
	}
	rest := value[len(magic):]
	n := int(rest[0])
	if n == 0 || len(rest) <= n {
		return "", false
	}
	return string(rest[1 : 1+n]), true
}

func header(id string) string { return magic + string(rune(len(id))) + id }

// associated encodes a place so that no two places are the same.
func associated(place []string) []byte {
	size := 0
	for _, part := range place {
		size += binary.MaxVarintLen64 + len(part)
	}
	data := make([]byte, 0, size)
	for _, part := range place {
		data = append(binary.AppendUvarint(data, uint64(len(part))), part...)
	}
	return data
}

// Newer reports whether a key is newer than another by their IDs.
func Newer(a, b string) bool { return compareIDs(a, b) > 0 }

// compareIDs compares the numbers in IDs as numbers, so that key-10 is newer than key-9.
func compareIDs(a, b string) int {
	digits := func(s string) int {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n
	}
	x, y := a, b
	for x != "" && y != "" {
		n, m := digits(x), digits(y)
		if n == 0 || m == 0 {
			if x[0] != y[0] {
				return strings.Compare(x, y)
			}
			x, y = x[1:], y[1:]
			continue
		}
		p, q := strings.TrimLeft(x[:n], "0"), strings.TrimLeft(y[:m], "0")
		if len(p) != len(q) {
			return len(p) - len(q)
		}
		if c := strings.Compare(p, q); c != 0 {
			return c
		}
		x, y = x[n:], y[m:]
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b)
}
