// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// TestEncryptedLedgerHoldsNoPlainText searches the files of an encrypted ledger and of its
// backup, and restores it.
func TestEncryptedLedgerHoldsNoPlainText(t *testing.T) {
	g := NewWithT(t)
	keys, folder := t.TempDir(), t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(keys, "2026-11-30"), bytes.Repeat([]byte("k"), 32), 0o600)).To(Succeed())
	path := filepath.Join(folder, "ledger.db")
	open := func(flags ...string) (ledger.Store, error) {
		s, err := parseSettings(append([]string{"--public-url=https://x.example", "--ledger-path=" + path}, flags...), environment(nil), &bytes.Buffer{})
		if err != nil {
			return nil, err
		}
		key, err := s.readEncryptionKeys()
		if err != nil {
			return nil, err
		}
		return s.openStore(t.Context(), ledger.Options{Keys: key})
	}
	store, err := open("--ledger-encryption-keys=" + keys)
	g.Expect(err).NotTo(HaveOccurred())
	const secret = "plover-egg-918273"
	for _, padding := range []int{0, 100_000} {
		text := strings.Repeat("x", padding) + secret
		_, err := store.AcceptEvent(t.Context(), ledger.Event{Company: "shop", ID: text[:1] + secret[:1], Name: "x", Data: []byte(`{"text":"` + text + `"}`)})
		g.Expect(err).NotTo(HaveOccurred())
		claimed, err := store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: 1e10})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(store.CompleteEvent(t.Context(), claimed[0], []ledger.NewDelivery{{
			RuleName: "shop/a", Channel: ledger.ChannelEmail, Recipient: "zoe@example.com",
			Content: ledger.Content{From: secret, Subject: secret, Text: text, HTML: text},
		}})).To(Succeed())
	}
	search := func() {
		t.Helper()
		found := 0
		g.Expect(filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if content, failed := os.ReadFile(path); failed == nil {
				found++
				g.Expect(bytes.Contains(content, []byte(secret))).To(BeFalse(), path)
			}
			return err
		})).To(Succeed())
		g.Expect(found).To(BeNumerically(">", 1))
	}
	search()
	g.Expect(store.Close()).To(Succeed())
	search()

	var copied, output bytes.Buffer
	g.Expect(backup(context.Background(), []string{"--from", path}, &copied, &output)).To(BeZero(), output.String())
	g.Expect(bytes.Contains(copied.Bytes(), []byte(secret))).To(BeFalse())
	g.Expect(os.Remove(path)).To(Succeed())
	g.Expect(restore(context.Background(), []string{"--to", path}, &copied, &output, &output)).To(BeZero(), output.String())
	_, err = open()
	g.Expect(err).To(MatchError(ContainSubstring(`the key "2026-11-30"`)))
	store, err = open("--ledger-encryption-keys=" + keys)
	g.Expect(err).NotTo(HaveOccurred())
	list, err := store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(2))
	g.Expect(list[0].Content.Subject).To(Equal(secret))
	g.Expect(store.Close()).To(Succeed())
}
