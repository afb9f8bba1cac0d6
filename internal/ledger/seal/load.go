// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxKeyFile bounds what is read of a file: a key of any form is shorter.
const maxKeyFile = 4 << 10

// Load reads the keys from the files in a directory, such as a mounted Secret, or from one
// file. The name of a file is the ID of its key, and its content is 32 random bytes, as they
// are or in base64. Files whose name begins with a dot are left out.
//
// Keys that are added later open values as soon as they are needed. The newest of those that
// are there now seals.
func Load(path string) (*Keyring, error) {
	load := func() (map[string][]byte, error) { return readKeys(path) }
	keys, err := load()
	if err != nil {
		return nil, err
	}
	k, err := New(keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k.load, k.loaded = load, time.Now()
	return k, nil
}

func readKeys(path string) (map[string][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("looking for the encryption keys: %w", err)
	}
	if !info.IsDir() {
		key, err := readKey(path)
		return map[string][]byte{filepath.Base(path): key}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("reading the encryption keys: %w", err)
	}
	keys := map[string][]byte{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // as a mounted Secret's ..data
			continue
		}
		file := filepath.Join(path, e.Name())
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			continue
		}
		if keys[e.Name()], err = readKey(file); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("the directory %s holds no encryption key: add a file with %d random bytes", path, KeySize)
	}
	return keys, nil
}

func readKey(path string) (_ []byte, err error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("reading an encryption key: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading an encryption key: %w", err)
	}
	if len(content) == KeySize {
		return content, nil
	}
	key, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(content)))
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("the file %s must hold %d random bytes, as they are or in base64: create it with `openssl rand -base64 %d`", path, KeySize, KeySize)
	}
	return key, nil
}
