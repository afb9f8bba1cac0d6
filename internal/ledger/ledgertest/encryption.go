// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/seal"
)

// Keys returns encryption keys with some IDs.
func Keys(t testing.TB, ids ...string) *seal.Keyring {
	t.Helper()
	keys := map[string][]byte{}
	for _, id := range ids {
		keys[id] = bytes.Repeat([]byte(id[:1]), seal.KeySize)
	}
	k, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Encrypted returns the same place for ledgers that are encrypted unless a test says otherwise.
func (p Place) Encrypted(keys *seal.Keyring) Place {
	open := p.Open
	p.Open = func(ctx context.Context, o ledger.Options) (ledger.Store, error) {
		if o.Keys == nil {
			o.Keys = keys
		}
		return open(ctx, o)
	}
	return p
}

const secretText = "plover-egg"

// secretEvent stores an event and its message to a customer, both with a secret and some
// padding.
func secretEvent(t testing.TB, s ledger.Store, id string, padding int) {
	t.Helper()
	text := strings.Repeat("x", padding) + secretText
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Name: "x", Data: []byte(`{"secret":"` + text + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	d := Email("a", "zoe@example.com")
	d.Content = ledger.Content{From: secretText, Subject: secretText, Text: text, HTML: text, SMS: ledger.SMSOptions{ContentSID: "HX1", ContentVariables: secretText}}
	if err := s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{d, Email("b", "ann@example.com")}); err != nil {
		t.Fatal(err)
	}
}

// plain counts the rows that hold the secret.
func (p Place) plain(t testing.TB) int {
	t.Helper()
	var events, contents int
	contains := "instr(data, CAST('" + secretText + "' AS BLOB)) > 0"
	if p.Shared {
		contains = "position('" + secretText + "'::bytea IN data) > 0"
	}
	p.query(t, "SELECT COUNT(*) FROM events WHERE "+contains, &events)
	p.query(t, "SELECT COUNT(*) FROM contents WHERE sender || subject || text || html || sms LIKE '%"+secretText+"%' OR "+strings.ReplaceAll(contains, "data", "sealed"), &contents)
	return events + contents
}

func reencryptAll(t testing.TB, s ledger.Store, limit int) (total int) {
	t.Helper()
	for more := true; more; {
		n, again, err := s.Reencrypt(bg, limit)
		if err != nil {
			t.Fatal(err)
		}
		total, more = total+n, again
	}
	return total
}

func testEncryption(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.openWith(t, ledger.Options{Clock: clk, Keys: Keys(t, "1")})
	for id, padding := range map[string]int{"small": 0, "large": 200 << 10} {
		secretEvent(t, s, id, padding)
		text := strings.Repeat("x", padding) + secretText
		e, err := s.StoredEvent(bg, "shop", id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(e.Data)).To(Equal(`{"secret":"` + text + `"}`))
		g.Expect(e.Size).To(Equal(len(e.Data)))
		data, err := s.EventData(bg, ledger.ClaimedEvent{Key: e.Key})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(data).To(Equal(e.Data))
		for _, d := range claimAll(t, s) {
			if d.RuleName != "a" {
				g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
				continue
			}
			g.Expect(d.Complete()).To(Equal(padding == 0))
			whole, err := s.GetDelivery(bg, d.ID)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(whole.Complete()).To(BeTrue())
			g.Expect(whole.Content).To(Equal(ledger.Content{
				From: secretText, Subject: secretText, Text: text, HTML: text, SMS: ledger.SMSOptions{ContentSID: "HX1", ContentVariables: secretText},
			}))
			if padding == 0 {
				g.Expect(d.Content).To(Equal(whole.Content))
			}
			g.Expect(s.FailDelivery(bg, d, "Refused", "It was refused.")).To(Succeed())
			copied, err := s.Resend(bg, "shop", d.ID, "joe@example.com")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(entry(t, s, copied).Content).To(Equal(whole.Content))
			resent := ClaimDelivery(t, s)
			g.Expect(s.MarkSent(bg, resent, "x")).To(Succeed())
		}
	}
	g.Expect(at.plain(t)).To(BeZero())
	for text, want := range map[string]int{secretText: 2, "xx" + secretText: 1, "absent": 0} {
		for _, limit := range []int{1, 10} {
			page, err := s.Events(bg, ledger.EventFilter{Company: "shop", DataContains: text}, 0, limit)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(page.Events).To(HaveLen(min(want, limit)))
			g.Expect(page.Count).To(Equal(want))
			g.Expect(page.More).To(Equal(want > limit))
		}
	}
	page, err := s.Events(bg, ledger.EventFilter{Company: "shop", DataContains: secretText}, 1, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Events).To(HaveLen(1))
	g.Expect(page.Events[0].Data).To(BeNil())
}

func testKeyRotation(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	var current ledger.Store
	reopen := func(ids ...string) error {
		if current != nil {
			g.Expect(current.Close()).To(Succeed())
		}
		o := ledger.Options{Clock: clk, PollInterval: time.Hour}
		if len(ids) > 0 {
			o.Keys = Keys(t, ids...)
		}
		var err error
		if current, err = at.Open(bg, o); err != nil {
			current = nil
		}
		return err
	}
	t.Cleanup(func() {
		if current != nil {
			_ = current.Close()
		}
	})
	readable := func() {
		t.Helper()
		list, err := current.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", Rule: "a"})
		g.Expect(err).NotTo(HaveOccurred())
		for _, d := range list {
			g.Expect(d.Content.Subject).To(Equal(secretText))
			e, err := current.StoredEvent(bg, "shop", d.EventID)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(e.Data)).To(ContainSubstring(secretText))
		}
	}
	// From none to one: rows from before are encrypted in steps.
	g.Expect(reopen()).To(Succeed())
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		secretEvent(t, current, id, 0)
	}
	for _, d := range claimAll(t, current) {
		g.Expect(current.MarkSent(bg, d, "x")).To(Succeed())
	}
	g.Expect(current.Reencrypt(bg, 10)).To(BeZero(), "without a key there is nothing to do")
	g.Expect(at.plain(t)).To(Equal(10))
	g.Expect(reopen("1")).To(Succeed())
	readable()
	secretEvent(t, current, "6", 0)
	g.Expect(at.plain(t)).To(Equal(10))
	n, more, err := current.Reencrypt(bg, 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(5), "the events")
	g.Expect(more).To(BeTrue())
	g.Expect(reencryptAll(t, current, 1)).To(Equal(10), "the contents")
	g.Expect(at.plain(t)).To(BeZero())
	readable()

	// To another one. The old one is needed until nobody uses it and no row has it.
	clk.Step(time.Hour)
	g.Expect(reopen("1", "2")).To(Succeed())
	readable()
	secretEvent(t, current, "7", 0)
	g.Expect(reencryptAll(t, current, 1000)).To(Equal(6 + 2*6))
	g.Expect(reopen("2")).To(MatchError(ContainSubstring(`the key "1"`)), "a replica may still encrypt with it")
	g.Expect(reopen()).To(MatchError(ContainSubstring("--ledger-encryption-keys")))
	other, err := seal.New(map[string][]byte{"1": bytes.Repeat([]byte("x"), seal.KeySize), "2": bytes.Repeat([]byte("2"), seal.KeySize)})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = at.Open(bg, ledger.Options{Clock: clk, Keys: other})
	g.Expect(err).To(MatchError(ContainSubstring(`the key "1" of --ledger-encryption-keys is not the one that encrypted rows of the ledger: put the original key back`)))
	g.Expect(reopen("1", "2")).To(Succeed())
	clk.Step(time.Hour)
	g.Expect(reencryptAll(t, current, 1000)).To(BeZero())
	g.Expect(reopen("2")).To(Succeed())
	readable()
	g.Expect(reopen("1")).To(MatchError(ContainSubstring(`the key "2"`)))
	g.Expect(reopen("2")).To(Succeed())
	var keys int
	at.query(t, "SELECT COUNT(*) FROM encryption_keys", &keys)
	g.Expect(keys).To(Equal(1))

	// The stored bytes are what is taken off at the end.
	g.Expect(current.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(reopen("2")).To(Succeed())
	g.Expect(at.stored(t, "shop")).To(BeZero())
}

// stored is what a company stores by the ledger's account.
func (p Place) stored(t testing.TB, company string) (bytes int64) {
	t.Helper()
	p.query(t, "SELECT COALESCE(SUM(bytes), 0) FROM storage WHERE company = '"+company+"'", &bytes)
	return bytes
}

// A row whose key is missing waits for it, and the others don't.
func testMissingKey(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	withBoth := func() ledger.Store {
		return at.openWith(t, ledger.Options{Clock: clk, Keys: Keys(t, "1", "2"), PollInterval: time.Hour})
	}
	s := withBoth()
	Decided(t, s, "shop", "1", Email("a", "zoe@example.com"), validFor("b", "zoe@example.com", time.Hour))
	Accept(t, s, "shop", "2")
	both := claimAll(t, s)
	unknown := both[0]
	g.Expect(s.RetryDelivery(bg, unknown, 0, "OutcomeUnknown", "It may have arrived.")).To(Succeed())
	g.Expect(s.ReleaseDelivery(bg, both[1])).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	at.exec(t, "DELETE FROM encryption_keys WHERE key = '2'") // as if another replica had just begun to use it
	s = at.openWith(t, ledger.Options{Clock: clk, Keys: Keys(t, "1"), PollInterval: time.Hour})
	Accept(t, s, "shop", "3")
	g.Expect(ClaimOne(t, s).ID).To(Equal("3"))
	g.Expect(claimAll(t, s)).To(BeEmpty())
	events, err := s.Events(bg, ledger.EventFilter{Company: "shop", ID: "2"}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(events.Events[0].State).To(Equal(ledger.EventPending))
	g.Expect(events.Events[0].Message).To(Equal(`The event's data is encrypted: the key "2" is missing from the ledger's encryption keys: add it again.`))
	_, err = s.StoredEvent(bg, "shop", "2")
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(2))
	for _, d := range list {
		g.Expect(d.State).To(Equal(ledger.DeliveryPending))
		g.Expect(d.Content.Text).To(ContainSubstring(`the key "2" is missing`))
		_, err := s.GetDelivery(bg, d.ID)
		g.Expect(err).To(MatchError(ledger.ErrUnavailable))
		if d.ID == unknown.ID {
			g.Expect(d.Reason).To(Equal("OutcomeUnknown"))
		} else {
			g.Expect(d.Reason).To(Equal("KeyMissing"))
		}
	}
	_, err = s.EraseUser(bg, ledger.Subject{Company: "shop", UserID: erasedUser}, ledger.ErasedByAdmin, 0)
	g.Expect(err).To(HaveOccurred(), "nobody can say whom the event names")
	g.Expect(reencryptAll(t, s, 100)).To(BeZero())
	g.Expect(s.Close()).To(Succeed())

	clk.Step(2 * time.Minute)
	s = withBoth()
	due, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(due).To(HaveLen(2))
	for _, d := range claimAll(t, s) {
		g.Expect(d.Content.Text).To(Equal("You paid."))
		g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
	}
}

// Encrypted values can't be exchanged between rows.
func testTamperedRows(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.openWith(t, ledger.Options{Clock: FakeClock(), Keys: Keys(t, "1")})
	Decided(t, s, "shop", "1", Email("a", "zoe@example.com"))
	Decided(t, s, "shop", "2", Email("a", "zoe@example.com"))
	Accept(t, s, "shop", "3")
	Accept(t, s, "shop", "4")
	at.exec(t, "UPDATE contents SET sealed = (SELECT sealed FROM contents WHERE id = (SELECT content FROM deliveries WHERE event_id = '2')) WHERE id = (SELECT content FROM deliveries WHERE event_id = '1')")
	at.exec(t, "UPDATE events SET data = (SELECT data FROM events WHERE event_id = '4') WHERE event_id = '3'")
	var reported []string
	s.OnQuarantine(func(q ledger.Quarantined) { reported = append(reported, q.EventID) })
	g.Expect(ClaimOne(t, s).ID).To(Equal("4"))
	g.Expect(ClaimDelivery(t, s).EventID).To(Equal("2"))
	g.Expect(reported).To(Equal([]string{"3", "1"}))
	quarantined, err := s.QuarantinedEvents(bg, "shop", 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(quarantined).To(HaveLen(1))
	g.Expect(quarantined[0].ID).To(Equal("3"))
	g.Expect(quarantined[0].Reason).To(Equal("Tampered"))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", State: ledger.DeliveryQuarantined, Rule: "a"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(1))
	g.Expect(list[0].EventID).To(Equal("1"))
}

// A user is found however an event writes the address, and whether it is encrypted.
func testEraseEscaped(t *testing.T, at Place) {
	// Once rows are encrypted, the ledger can't be opened without the key.
	for _, name := range []string{"plain", "encrypted"} {
		t.Run(name, func(t *testing.T) {
			var keys *seal.Keyring
			if name == "encrypted" {
				keys = Keys(t, "1")
			}
			g := NewWithT(t)
			s := at.openWith(t, ledger.Options{Clock: FakeClock(), Keys: keys})
			defer func() { _ = s.Close() }()
			company := "erases-" + name
			all := map[string]struct {
				data  string
				named bool
			}{
				"escaped":  {`{"to":"Zo\u00eb@example.com"}`, true},
				"utf-8":    {`{"to":"zoë@example.com"}`, true},
				"capitals": {`{"to":"ZOË@EXAMPLE.com"}`, true},
				"ascii":    {`{"to":"\u007aoe@example.com"}`, true},
				"mixed":    {`{"to":"zOe@Example.Com"}`, true},
				"nested":   {`{"metadata":"{\"to\":\"zo\\u00eb@example.com\"}"}`, true},
				"within":   {`{"to":"Zoe <zoe@example.com>, others"}`, true},
				"key":      {`{"zoe@example.com":1}`, true},
				"number":   {`{"mobile":"\u002b27820000001"}`, true},
				"id":       {`{"user":"` + strings.ToUpper(erasedUser) + `"}`, true},
				"in url":   {`{"url":"https://example.com/` + erasedUser + `/x"}`, true},
				"longer":   {`{"to":"not-zoe@example.com","cc":"zoe@example.com.au","x":"\u0020","n":"+278200000010"}`, false},
				"other":    {`{"to":"ann@example.com","\\":"\ud800"}`, false},
				"no json":  {`zoe@example.com \`, true},
				"nothing":  {``, false},
			}
			for id, e := range all {
				_, err := s.AcceptEvent(bg, ledger.Event{Company: company, ID: id, Name: "x", Data: []byte(e.data)})
				g.Expect(err).NotTo(HaveOccurred())
			}
			subject := ledger.Subject{Company: company, UserID: erasedUser, Addresses: []string{"zoë@example.com", "zoe@example.com", "+27820000001"}}
			// An erasure that is interrupted is completed.
			ended, cancel := context.WithCancel(bg)
			cancel()
			_, err := s.EraseUser(ended, subject, ledger.ErasedByAdmin, 0)
			g.Expect(err).To(HaveOccurred())
			_, err = s.EraseUser(bg, subject, ledger.ErasedByAdmin, 0)
			g.Expect(err).NotTo(HaveOccurred())
			for id, want := range all {
				e, err := s.StoredEvent(bg, company, id)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(e.Masked).To(Equal(want.named), id)
			}
		})
	}
}

// Deleting rows takes exactly as much off a company's storage as storing them added.
func testStorageIsExact(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.openWith(t, ledger.Options{Clock: clk})
	sms := code("c", "+27820000001")
	sms.Sensitive = false
	secret := code("d", "+27820000001")
	Accept(t, s, "shop", "1")
	e := ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &e, []ledger.NewDelivery{Email("a", "a@example.com"), sms})).To(Succeed())
	other := Email("a", "b@example.com")
	other.Content.Text = "Another text."
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{Email("a", "a@example.com"), other, sms, secret})).To(Succeed(), "some of them are there already")
	for _, d := range claimAll(t, s) {
		if d.Channel == ledger.ChannelSMS {
			g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
		} else {
			g.Expect(s.RetryDelivery(bg, d, time.Hour, "Busy", "It is busy.")).To(Succeed())
		}
	}
	g.Expect(s.Close()).To(Succeed())
	g.Expect(at.stored(t, "shop")).To(BeNumerically(">", 5*1024))
	s = at.openWith(t, ledger.Options{Clock: clk})
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(at.stored(t, "shop")).To(BeZero())
}
