// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, KeySize) }

func keyring(t *testing.T, keys map[string][]byte) *Keyring {
	t.Helper()
	k, err := New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *Keyring) has(id string) bool { return k.find(id) != nil }

func TestValuesOpenOnlyInTheirPlace(t *testing.T) {
	k := keyring(t, map[string][]byte{"a": key(1)})
	for _, value := range []string{"", "hello", strings.Repeat("x", 1<<20)} {
		sealed := k.Seal([]byte(value), "events", "shop", "1")
		if !Sealed(sealed) || len(sealed) != len(value)+k.Overhead() || !bytes.HasPrefix(sealed, k.Header()) {
			t.Errorf("sealed as %.40q", sealed)
		}
		if opened, err := k.Open(sealed, "events", "shop", "1"); err != nil || string(opened) != value {
			t.Errorf("opened as %.40q, %v", opened, err)
		}
		for _, place := range [][]string{{"events", "shop", "2"}, {"events", "sho", "p1"}, {"events", "shop1"}, {}, {"events", "shop", "1", ""}} {
			if _, err := k.Open(sealed, place...); !errors.Is(err, ErrTampered) {
				t.Errorf("opened in %q: %v", place, err)
			}
		}
		for i := range min(len(sealed), 200) {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1
			if _, err := k.Open(changed, "events", "shop", "1"); err == nil {
				t.Errorf("opened with byte %d changed", i)
			}
			if _, err := k.Open(sealed[:i], "events", "shop", "1"); err == nil {
				t.Errorf("opened with %d bytes", i)
			}
		}
	}
	if bytes.Equal(k.Seal([]byte("x")), k.Seal([]byte("x"))) {
		t.Error("two values are sealed alike")
	}
}

func TestOnlyTheNewestKeySeals(t *testing.T) {
	old := keyring(t, map[string][]byte{"2026-9": key(1)})
	both := keyring(t, map[string][]byte{"2026-9": key(1), "2026-10": key(2)})
	if both.Newest() != "2026-10" {
		t.Errorf("the newest is %s", both.Newest())
	}
	sealed := old.Seal([]byte("x"))
	if opened, err := both.Open(sealed); err != nil || string(opened) != "x" {
		t.Error(err)
	}
	var missing *KeyError
	if _, err := old.Open(both.Seal([]byte("x"))); !errors.As(err, &missing) || missing.ID != "2026-10" {
		t.Error(err)
	}
	if _, err := (*Keyring)(nil).Open(sealed); !errors.As(err, &missing) || missing.ID != "2026-9" {
		t.Error(err)
	}
	if _, err := keyring(t, map[string][]byte{"2026-9": key(3)}).Open(sealed); !errors.Is(err, ErrTampered) {
		t.Errorf("with another key of the same name: %v", err)
	}
}

func TestCompareIDs(t *testing.T) {
	order := []string{"1", "2", "10", "010", "a", "a1", "a1b", "a2", "a10", "key-9", "key-10", "key-10-1"}
	for i, a := range order {
		for j, b := range order {
			if got := compareIDs(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				if a+b == "10010" || a+b == "01010" {
					continue
				}
				t.Errorf("compareIDs(%q, %q) = %d", a, b, got)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "holds no encryption key") {
		t.Error(err)
	}
	write("1", string(key(1)))
	write("2", base64.StdEncoding.EncodeToString(key(2))+"\n")
	write("..data", "x")
	if err := os.Mkdir(filepath.Join(dir, "3"), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := Load(dir)
	if err != nil || k.Newest() != "2" {
		t.Fatal(k, err)
	}
	one, err := Load(filepath.Join(dir, "1"))
	if err != nil || one.Newest() != "1" {
		t.Fatal(one, err)
	}

	// A key that is added opens what others seal with it, but doesn't seal yet.
	write("4", string(key(4)))
	sealed := keyring(t, map[string][]byte{"4": key(4)}).Seal([]byte("x"))
	k.loaded = time.Now()
	if k.has("4") {
		t.Error("the keys are read again at once")
	}
	k.loaded = time.Now().Add(-reloadInterval)
	if opened, err := k.Open(sealed); err != nil || string(opened) != "x" || k.Newest() != "2" {
		t.Error(err)
	}
	write("5", "too short")
	k.loaded = time.Now().Add(-reloadInterval)
	if k.has("5") || !k.has("1") {
		t.Error("a bad key changes the others")
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "openssl rand") || strings.Contains(err.Error(), "too short") {
		t.Error(err)
	}
	if _, err := Load(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file is no error")
	}
}
