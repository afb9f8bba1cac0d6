// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

// holds reports whether a text is anywhere in the ledger's files.
func holds(t testing.TB, path, text string) bool {
	t.Helper()
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

// The files keep nothing of a code that was sent, however large its row was.
func TestFilesForgetWhatWasMasked(t *testing.T) {
	for name, padding := range map[string]int{"in a page": 0, "on overflow pages": 20_000} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := filepath.Join(t.TempDir(), "ledger.db")
			s, err := Open(bg, path, ledger.Options{})
			g.Expect(err).NotTo(HaveOccurred())
			t.Cleanup(func() { _ = s.Close() })
			const code = "918273"
			around := string(bytes.Repeat([]byte("padding "), padding/8))
			for i := range 3 {
				_, err = s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: string(rune('a' + i)), Name: "mfa.sms.verify", Data: []byte(around + code + around)})
				g.Expect(err).NotTo(HaveOccurred())
				e := ledgertest.ClaimOne(t, s)
				e.Sensitive = true
				g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{{
					RuleName: "shop/otp", Channel: ledger.ChannelEmail, Recipient: "joe@example.com", ValidFor: time.Minute, Sensitive: true,
					Content: ledger.Content{Subject: "Your code", Text: around + code, HTML: around + code + around},
				}})).To(Succeed())
			}
			g.Expect(holds(t, path, code)).To(BeTrue(), "the search finds what is there")
			claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(claimed).To(HaveLen(3))
			for _, d := range claimed {
				g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
			}
			g.Expect(s.Scrub(bg)).To(Succeed())
			g.Expect(holds(t, path, code)).To(BeFalse())
			g.Expect(holds(t, path, ledger.Mask)).To(BeTrue())
		})
	}
}
