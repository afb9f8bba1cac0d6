// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// validFor is an email that expires.
func validFor(rule, recipient string, d time.Duration) ledger.NewDelivery {
	email := Email(rule, recipient)
	email.ValidFor = d
	return email
}

func testValidity(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	received := clk.Now()
	Accept(t, s, "shop", "1")
	clk.Step(2 * time.Minute) // the event waits, which counts
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{
		validFor("short", "a@example.com", 10*time.Minute),
		validFor("tried", "b@example.com", 10*time.Minute),
		validFor("claimed", "c@example.com", 10*time.Minute),
		validFor("long", "d@example.com", time.Hour),
		Email("never", "e@example.com"),
	})).To(Succeed())
	claimed := claimAll(t, s)
	g.Expect(claimed).To(HaveLen(5))
	byRule := map[string]ledger.ClaimedDelivery{}
	for _, d := range claimed {
		byRule[d.RuleName] = d
	}
	g.Expect(byRule["short"].ExpiresAt).To(Equal(received.Add(10 * time.Minute)))
	g.Expect(byRule["short"].Validity).To(Equal(8*time.Minute), "measured from when the event was received")
	g.Expect(byRule["never"].ExpiresAt).To(BeZero())
	for _, rule := range []string{"short", "long", "never"} {
		g.Expect(s.ReleaseDelivery(bg, byRule[rule])).To(Succeed())
	}
	g.Expect(s.RetryDelivery(bg, byRule["tried"], time.Hour, "Busy", "The provider is busy.")).To(Succeed())
	held := byRule["claimed"]
	g.Expect(s.ExpireDeliveries(bg)).To(BeZero(), "nothing has expired yet")
	clk.Step(7*time.Minute + 50*time.Second)
	g.Expect(s.RenewDelivery(bg, &held, time.Minute)).To(Succeed())
	clk.Step(10 * time.Second)

	g.Expect(s.ExpireDeliveries(bg)).To(Equal(2))
	g.Expect(s.ExpireDeliveries(bg)).To(BeZero())
	for rule, want := range map[string]string{
		"short": "The message was not sent within 10m after its event and has expired. It was never tried, because its provider was busy, limited or failing, or the operator was not running.",
		"tried": "The message was not sent within 10m after its event and has expired. Before that: The provider is busy.",
	} {
		d := entry(t, s, byRule[rule].ID)
		g.Expect(d.State).To(Equal(ledger.DeliveryFailed), rule)
		g.Expect(d.Reason).To(Equal(ledger.ReasonExpired))
		g.Expect(d.Message).To(Equal(want))
		g.Expect(d.UpdatedAt).To(Equal(clk.Now()))
	}
	attempts, err := s.Attempts(bg, []int64{byRule["tried"].ID})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(attempts[byRule["tried"].ID]).To(HaveLen(2))
	g.Expect(entry(t, s, held.ID).State).To(Equal(ledger.DeliveryPending), "it is being sent")
	g.Expect(entry(t, s, byRule["long"].ID).State).To(Equal(ledger.DeliveryPending))
	g.Expect(entry(t, s, byRule["never"].ID).State).To(Equal(ledger.DeliveryPending))

	// The lease of a worker that died holds nothing.
	clk.Step(2 * time.Minute)
	g.Expect(s.ExpireDeliveries(bg)).To(Equal(1))

	// Sending again is a decision to send now: it is valid for another day.
	n, _, err := s.ResendAll(bg, ledger.LogFilter{Company: "shop"}, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero(), "a set of failed messages is not one of stale messages")
	_, err = s.Resend(bg, "shop", byRule["short"].ID, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entry(t, s, byRule["short"].ID).ExpiresAt).To(Equal(clk.Now().Add(ledger.ResendValidity)))
	n, _, err = s.ResendAll(bg, ledger.LogFilter{Company: "shop", Reason: ledger.ReasonExpired}, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(2))
	id, err := s.Resend(bg, "shop", held.ID, "other@example.com")
	g.Expect(err).To(MatchError(ledger.ErrPending), "%d", id)
}

// A copy of a message that was sent is valid for a day as well.
func testValidityOfACopy(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Decided(t, s, "shop", "1", validFor("a", "a@example.com", time.Hour))
	d := ClaimDelivery(t, s)
	g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
	clk.Step(2 * time.Hour)
	g.Expect(s.ExpireDeliveries(bg)).To(BeZero(), "a sent delivery has not expired")
	id, err := s.Resend(bg, "shop", d.ID, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entry(t, s, id).ExpiresAt).To(Equal(clk.Now().Add(ledger.ResendValidity)))
}

const codeText = "code QX7-unmistakable"

// code is a message that must not be kept.
func code(rule, recipient string) ledger.NewDelivery {
	return ledger.NewDelivery{
		RuleName: rule, Channel: ledger.ChannelSMS, Recipient: recipient, ValidFor: 10 * time.Minute, Sensitive: true,
		Content: ledger.Content{
			From: "+15005550006", Subject: codeText, Text: "Your " + codeText, HTML: "<p>" + codeText + "</p>",
			SMS: ledger.SMSOptions{ContentSID: "HX1", ContentVariables: `{"1":"` + codeText + `"}`},
		},
	}
}

// sensitive stores a sensitive event and its deliveries.
func sensitive(t testing.TB, s ledger.Store, id string, deliveries ...ledger.NewDelivery) {
	t.Helper()
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Name: "mfa.sms.verify", Data: []byte(`{"token":"` + codeText + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	e := ClaimOne(t, s)
	e.Sensitive = true
	if err := s.CompleteEvent(bg, e, deliveries); err != nil {
		t.Fatal(err)
	}
}

// secrets counts the rows that still hold the code.
func (p Place) secrets(t testing.TB) (events, contents int) {
	t.Helper()
	like := "'%" + codeText + "%'"
	p.query(t, "SELECT COUNT(*) FROM contents WHERE subject || text || html || sms LIKE "+like, &contents)
	text := "CAST(data AS TEXT)"
	if p.Shared {
		text = "convert_from(data, 'UTF8')"
	}
	p.query(t, "SELECT COUNT(*) FROM events WHERE "+text+" LIKE "+like, &events)
	return events, contents
}

func testSensitive(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	masked := ledger.Content{
		From: "+15005550006", Subject: ledger.Mask, Text: ledger.Mask, HTML: ledger.Mask,
		SMS: ledger.SMSOptions{ContentSID: "HX1", ContentVariables: ledger.Mask},
	}
	expectMasked := func(id int64) {
		t.Helper()
		d, err := s.LogEntry(bg, "shop", id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(d.Content).To(Equal(masked))
		g.Expect(d.Complete()).To(BeTrue())
		_, err = s.Resend(bg, "shop", id, "")
		g.Expect(err).To(MatchError(ledger.ErrMasked))
		g.Expect(err).NotTo(MatchError(ledger.ErrUnavailable))
		_, err = s.Resend(bg, "shop", id, "+15005550007")
		g.Expect(err).To(MatchError(ledger.ErrMasked))
	}
	for _, end := range []struct {
		name string
		end  func(ledger.ClaimedDelivery) error
	}{
		{"sent", func(d ledger.ClaimedDelivery) error { return s.MarkSent(bg, d, "SM1") }},
		{"failed", func(d ledger.ClaimedDelivery) error { return s.FailDelivery(bg, d, "Refused", "It was refused.") }},
		{"cancelled", func(d ledger.ClaimedDelivery) error { return s.CancelDelivery(bg, d, "CompanyInactive", "No.") }},
		{"expired", func(d ledger.ClaimedDelivery) error {
			if err := s.ReleaseDelivery(bg, d); err != nil {
				return err
			}
			clk.Step(10 * time.Minute)
			_, err := s.ExpireDeliveries(bg)
			return err
		}},
	} {
		sensitive(t, s, end.name, code("otp", "+15005550001"))
		stored, err := s.StoredEvent(bg, "shop", end.name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(stored.Masked).To(BeTrue(), "the message has it from here on")
		g.Expect(string(stored.Data)).To(Equal(`{"masked":"•••"}`))
		d := ClaimDelivery(t, s)
		g.Expect(d.Sensitive).To(BeTrue())
		g.Expect(d.Content.Text).To(Equal("Your "+codeText), "it is still to be sent")
		g.Expect(s.RetryDelivery(bg, d, 0, "Busy", "It is busy.")).To(Succeed())
		d = ClaimDelivery(t, s)
		g.Expect(d.Content.Text).To(Equal("Your " + codeText))
		g.Expect(end.end(d)).To(Succeed(), end.name)
		expectMasked(d.ID)
	}
	n, _, err := s.ResendAll(bg, ledger.LogFilter{Company: "shop", States: []ledger.DeliveryState{ledger.DeliveryFailed, ledger.DeliveryCancelled}}, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero())

	// A content is masked with the last message that needs it.
	sensitive(t, s, "shared", code("otp", "+15005550001"), code("otp", "+15005550002"))
	two := claimAll(t, s)
	g.Expect(two).To(HaveLen(2))
	g.Expect(s.MarkSent(bg, two[0], "SM1")).To(Succeed())
	g.Expect(entry(t, s, two[1].ID).Content.Text).To(Equal("Your " + codeText))
	g.Expect(s.MarkSent(bg, two[1], "SM2")).To(Succeed())
	expectMasked(two[0].ID)
	expectMasked(two[1].ID)

	// A quarantined delivery can still be sent once it is released.
	sensitive(t, s, "quarantined", code("otp", "+15005550001"))
	d := ClaimDelivery(t, s)
	g.Expect(s.QuarantineDelivery(bg, d, "X", "x")).To(Succeed())
	g.Expect(entry(t, s, d.ID).Content.Text).To(Equal("Your " + codeText))
	_, err = s.Resend(bg, "shop", d.ID, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entry(t, s, d.ID).ExpiresAt).To(Equal(d.ExpiresAt), "a code does not live longer because of that")

	// A deactivated company.
	g.Expect(s.CancelCompany(bg, "shop", ledger.ReasonCompanyDeleted, "It is gone.")).To(Succeed())
	expectMasked(d.ID)
	events, contents := at.secrets(t)
	g.Expect(events + contents).To(BeZero())
}

// A digest proves the text of a masked message to anybody who has the key.
func testDigest(t *testing.T, at Place) {
	g := NewWithT(t)
	digests := map[string]string{}
	s := at.openWith(t, ledger.Options{PollInterval: time.Hour, DigestKey: []byte("a key of the operator's")})
	for _, text := range []string{"one", "two", "one again"} {
		d := code("otp", "+15005550001")
		d.Content.Text = strings.TrimSuffix(text, " again")
		sensitive(t, s, text, d)
		claimed := ClaimDelivery(t, s)
		g.Expect(claimed.Digest).To(BeEmpty())
		g.Expect(s.MarkSent(bg, claimed, "x")).To(Succeed())
		digests[text] = entry(t, s, claimed.ID).Digest
	}
	g.Expect(digests["one"]).To(HaveLen(64))
	g.Expect(digests["one again"]).To(Equal(digests["one"]))
	g.Expect(digests["two"]).NotTo(Equal(digests["one"]))
}

// An event that could not be decided keeps no code either.
func testSensitiveEventFails(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "1", Name: "mfa.sms.verify", Data: []byte(codeText)})
	g.Expect(err).NotTo(HaveOccurred())
	e := ClaimOne(t, s)
	e.Sensitive = true
	g.Expect(s.RetryEvent(bg, e, 0, "Later.")).To(Succeed())
	e = ClaimOne(t, s)
	g.Expect(string(e.Data)).To(Equal(codeText), "it is still to be decided")
	e.Sensitive = true
	g.Expect(s.FailEvent(bg, e, "It can't be decided.")).To(Succeed())
	stored, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.Masked).To(BeTrue())
	g.Expect(stored.State).To(Equal(ledger.EventFailed))
	g.Expect(string(stored.Data)).NotTo(ContainSubstring(codeText))
	g.Expect(s.FailEvent(bg, e, "Again.")).To(MatchError(ledger.ErrLeaseLost))
}

// Messages that end at the same time leave nothing of the content that they share.
func testSensitiveAtOnce(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	const n = 20
	for round := range 5 {
		deliveries := make([]ledger.NewDelivery, n)
		for i := range deliveries {
			deliveries[i] = code("otp", fmt.Sprintf("+150055500%02d", i))
		}
		sensitive(t, s, fmt.Sprint(round), deliveries...)
		claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: n, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(claimed).To(HaveLen(n))
		var wg sync.WaitGroup
		for _, d := range claimed {
			wg.Go(func() {
				if err := s.MarkSent(bg, d, "x"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		_, contents := at.secrets(t)
		g.Expect(contents).To(BeZero())
	}
}

// Masked texts no longer count as stored.
func testMaskedTextsAreFree(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	long := code("otp", "+15005550001")
	long.Content.HTML, long.Content.SMS = strings.Repeat("long ", 1000), ledger.SMSOptions{}
	short := code("otp", "+15005550001")
	short.Content.SMS = ledger.SMSOptions{}
	sensitive(t, s, "1", long)
	g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "x")).To(Succeed())
	sensitive(t, s, "2", short)
	g.Expect(s.FailDelivery(bg, ClaimDelivery(t, s), "Refused", "No.")).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, nil)
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	var bytes int64
	at.query(t, "SELECT bytes FROM storage WHERE company = 'shop'", &bytes)
	g.Expect(bytes).To(BeZero())
}
