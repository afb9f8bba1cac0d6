// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package unsubscribe

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
)

const (
	user = "7c9b7ce5-6f4b-4a52-9e2c-0c8f1f9f0e11"
	rule = "rehive-system/payment-received"
	base = "https://notifications.example.com"
)

func write(t *testing.T, dir, name string, content byte, length int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{content}, length), 0o600); err != nil {
		t.Fatal(err)
	}
}

// links returns links with one key, and a function that sets their clock forward.
func links(t *testing.T) (l *Links, dir string, step func(time.Duration)) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "2026-01", 'a', minKey)
	keys, err := OpenKeys(dir, testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l = NewLinks(base, keys)
	l.now = func() time.Time { return now }
	keys.now, keys.read = l.now, now
	return l, dir, func(d time.Duration) { now = now.Add(d) }
}

func token(t *testing.T, url string) string {
	t.Helper()
	token, found := strings.CutPrefix(url, base+Path)
	if !found {
		t.Fatalf("the URL is %q", url)
	}
	return token
}

func TestLink(t *testing.T) {
	l, _, step := links(t)
	url := l.URL("my_shop", strings.ToUpper(user), rule)
	for _, secret := range []string{"my_shop", user, "payment"} {
		if strings.Contains(url, secret) {
			t.Errorf("the URL shows %s: %s", secret, url)
		}
	}
	text := token(t, url)
	claim, err := l.Check(text)
	if err != nil || claim != (Claim{"my_shop", user, RuleIDOf(rule)}) {
		t.Fatalf("%+v, %v", claim, err)
	}
	if claim.Rule == RuleIDOf(rule+"s") {
		t.Error("two rules have the same identifier")
	}
	// A change of any character makes the link invalid.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range text {
		for _, other := range alphabet {
			if changed := text[:i] + string(other) + text[i+1:]; changed != text {
				if _, err := l.Check(changed); err == nil {
					t.Fatalf("the changed token %s is valid", changed)
				}
			}
		}
	}
	for _, invalid := range []string{"", "A", text[:len(text)-1], text + "A", text + "=", text + "\n", "!" + text[1:], strings.Repeat("A", 1<<20), strings.Repeat("A", maxTokenText)} {
		if _, err := l.Check(invalid); err == nil {
			t.Errorf("%.50q is valid", invalid)
		}
	}
	step(Validity - time.Hour)
	if _, err := l.Check(text); err != nil {
		t.Error("the link expires too early")
	}
	step(3 * time.Hour)
	if _, err := l.Check(text); err == nil {
		t.Error("the link does not expire")
	}
	for _, unknown := range [][2]string{{"my_shop", ""}, {"my_shop", "zoe"}, {"", user}, {strings.Repeat("x", maxCompany+1), user}} {
		if url := l.URL(unknown[0], unknown[1], rule); url != "" {
			t.Errorf("%q has the link %s", unknown, url)
		}
	}
	if (*Links)(nil).URL("my_shop", user, rule) != "" {
		t.Error("without keys there are no links")
	}
	if _, err := (*Links)(nil).Check(text); err == nil {
		t.Error("without keys no link is valid")
	}
}

// TestRotation replaces the key like a mounted Secret that changes.
func TestRotation(t *testing.T) {
	l, dir, step := links(t)
	check := func(text string, want bool) {
		t.Helper()
		if _, err := l.Check(text); (err == nil) != want {
			t.Errorf("the link is valid: %t", err == nil)
		}
	}
	old := token(t, l.URL("my_shop", user, rule))
	write(t, dir, "2026-04", 'b', minKey)
	step(reloadInterval)
	fresh := token(t, l.URL("my_shop", user, rule))
	if fresh[:9] == old[:9] {
		t.Error("the new key does not sign")
	}
	check(old, true)
	check(fresh, true)

	// A directory that can't be read, or a broken key, changes nothing.
	write(t, dir, "2026-05", 'c', minKey-1)
	step(reloadInterval)
	check(fresh, true)
	if err := os.Remove(filepath.Join(dir, "2026-05")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "2026-01")); err != nil {
		t.Fatal(err)
	}
	check(old, true) // until the directory is read again
	step(reloadInterval)
	check(old, false)
	check(fresh, true)
}

func TestOpenKeysRefuses(t *testing.T) {
	for name, prepare := range map[string]func(dir string){
		"no key":       func(string) {},
		"only hidden":  func(dir string) { write(t, dir, "..data", 'a', minKey) },
		"a short key":  func(dir string) { write(t, dir, "key", 'a', minKey-1) },
		"a large file": func(dir string) { write(t, dir, "key", 'a', maxKey+1) },
		"too many files": func(dir string) {
			for i := range maxKeys + 1 {
				write(t, dir, string(rune('a'+i)), byte(i), minKey)
			}
		},
		"a directory":  func(dir string) { _ = os.Mkdir(filepath.Join(dir, "key"), 0o700) },
		"no directory": func(dir string) { _ = os.Remove(dir) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(dir)
			_, err := OpenKeys(dir, testr.New(t))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), "aaaa") {
				t.Error("the error holds the key")
			}
		})
	}
}
