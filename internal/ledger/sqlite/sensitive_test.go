// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// No trace of a code that was sent is left in the files, whatever the size of its row.
func TestFilesForgetWhatWasMasked(t *testing.T) {
	for name, padding := range map[string]int{"in a page": 0, "on overflow pages": 20_000} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := filepath.Join(t.TempDir(), "ledger.db")
			s, err := Open(bg, path, ledger.Options{})
			g.Expect(err).NotTo(HaveOccurred())
			t.Cleanup(func() { _ = s.Close() })
			const code = "QX7-unmistakable-code"
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
			g.Expect(holds(t, path, code)).To(BeTrue(), "the search works")
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

// No trace of an erased user is left in the files; the data of other users is.
func TestFilesForgetAnErasedUser(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	s, err := Open(bg, path, ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.Close() })
	const user, email, name = "11111111-2222-4333-8444-555555555555", "zoe.quill@example.com", "Zoe Quill"
	const mobile = "+27820123456" // which is known from a message only
	for i := range 300 {
		who, address, called := fmt.Sprintf("%08d-2222-4333-8444-555555555555", i), fmt.Sprintf("user%d@example.com", i), "Somebody"
		if i%30 == 7 {
			who, address, called = user, email, name
		}
		data := fmt.Sprintf(`{"user":{"id":%q,"email":%q,"first_name":%q},"more":%q}`, who, address, called, strings.Repeat("x", i*20))
		_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(i), Name: "transaction.execute", Data: []byte(data)})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{{
			RuleName: "shop/paid", Channel: ledger.ChannelEmail, Recipient: address, UserID: who,
			Content: ledger.Content{Subject: "Hi " + called, Text: called + strings.Repeat(" paid", i*10)},
		}})).To(Succeed())
		d := ledgertest.ClaimDelivery(t, s)
		if i%2 == 0 {
			g.Expect(s.FailDelivery(bg, d, "Refused", "It was refused.")).To(Succeed())
		} else {
			g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
		}
	}
	ledgertest.Decided(t, s, "shop", "sms", ledger.NewDelivery{
		RuleName: "shop/paid", Channel: ledger.ChannelSMS, Recipient: mobile, UserID: user, Content: ledger.Content{Text: name},
		Throttle: &ledger.Throttle{Key: mobile, Messages: 1, Period: time.Hour},
	})
	_, _, err = s.Spend(bg, "shop", 1, ledger.Quota{Channel: ledger.ChannelSMS, Scope: ledger.ScopeRecipient, Key: mobile, Limit: 10})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelSMS, Address: mobile, Reason: ledger.SuppressedStop}, 0)).To(Succeed())
	g.Expect(s.SetPreference(bg, ledger.Preference{Company: "shop", UserID: user, Rule: ledger.Rule{Name: "shop/paid"}})).To(Succeed())
	for _, text := range []string{user, email, name, mobile} {
		g.Expect(holds(t, path, text)).To(BeTrue(), text)
	}
	done, err := s.EraseUser(bg, ledger.Subject{Company: "shop", UserID: user, Addresses: []string{email}}, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(done.Deliveries).To(BeEquivalentTo(11))
	g.Eventually(func() error { return s.Scrub(bg) }).Should(Succeed())
	for _, text := range []string{user, email, name, mobile} {
		g.Expect(holds(t, path, text)).To(BeFalse(), text)
	}
	g.Expect(holds(t, path, "user8@example.com")).To(BeTrue())
}
