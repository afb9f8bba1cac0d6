// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// stepRows and stepBytes are how much of an event is stored in one transaction. That
	// takes some ten milliseconds, for which others wait.
	stepRows  = 200
	stepBytes = 512 << 10
	// bulkyBytes is how much text a transaction holds at least to wait for its turn: one
	// such is on the way at a time, so that a commit that gathers many stays short.
	bulkyBytes = 64 << 10
	// stepLease is how long a claim lasts at least after a step.
	stepLease = 20 * time.Second
	// maxInsert is how many rows one statement stores: it costs little more than one
	// for one.
	maxInsert = 16
)

// insertDeliveries[n] stores n deliveries of an event. The first parameters are
// the event's, the others each delivery's.
var insertDeliveries = func() (statements [maxInsert + 1]string) {
	rows := ""
	for n := 1; n <= maxInsert; n++ {
		if n > 1 {
			rows += ","
		}
		const shared, own = 6, 10
		var p [own]any
		for i := range p {
			p[i] = shared + (n-1)*own + i + 1
		}
		rows += fmt.Sprintf(" ($1, $2, $3, $4, $5, $6, $6, $6, $%d, $%d, $%d, $%d, $%d, $%d, $%d, $%d, $%d, $%d)", p[:]...)
		statements[n] = `
		INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, next_attempt_at, created_at, updated_at,
			rule, channel, recipient, user_id, state, reason, message, content, expires_at, sensitive)
		VALUES` + rows + `
		ON CONFLICT (event, rule, channel, recipient, copy) DO NOTHING`
	}
	return statements
}()

// insertContents[n] stores what n deliveries say.
var insertContents = func() (statements [maxInsert + 1]string) {
	rows := ""
	for n := 1; n <= maxInsert; n++ {
		if n > 1 {
			rows += ","
		}
		rows += fmt.Sprintf(" ($%d, $%d, $%d, $%d, $%d)", 5*n-4, 5*n-3, 5*n-2, 5*n-1, 5*n)
		statements[n] = "INSERT INTO contents (sender, subject, text, html, sms) VALUES" + rows
	}
	return statements
}()

// insertSealed is insertContents for encrypted contents.
var insertSealed = func() (statements [maxInsert + 1]string) {
	rows := ""
	for n := 1; n <= maxInsert; n++ {
		if n > 1 {
			rows += ","
		}
		rows += fmt.Sprintf(" ('', '', '', '', '', $%d)", n)
		statements[n] = "INSERT INTO contents (sender, subject, text, html, sms, sealed) VALUES" + rows
	}
	return statements
}()

// An event that is decided again may bring deliveries that are there already, with
// other texts.
const (
	removeUnused = `
		DELETE FROM contents WHERE id = $1 AND NOT EXISTS (
			SELECT 1 FROM deliveries WHERE event = $2 AND rule = $3 AND channel = $4 || '' AND content = $1)`
	holdEvent = "UPDATE events SET next_attempt_at = $1 WHERE id = $2 AND lease = $3 AND state = 'pending'"
)

// completion is what one transaction stores of an event.
type completion struct {
	deliveries []ledger.NewDelivery
	// contents are what the deliveries say, and says which of them each says: 0 is
	// nothing, 1 the first.
	contents []content
	says     []int
	bytes    int
	// hidden makes the keyed hashes that stand for the recipients of throttled messages.
	hidden func(channel, key string) string
}

// content is what some deliveries say, and its form in the database: sealed if the ledger has
// keys, or else the texts with sms.
type content struct {
	*ledger.Content

	sms    string
	sealed []byte
}

// size is how many bytes are stored.
func (c *content) size() int64 {
	if c.sealed != nil {
		return int64(len(c.sealed))
	}
	return textBytes(c.Content) + int64(len(c.sms))
}

func (c *completion) bulky() bool { return c.bytes >= bulkyBytes }

// find returns which of the contents, from the first on, is the same as one.
func (c *completion) find(content *ledger.Content, first int) int {
	for i := len(c.contents); i > first; i-- {
		if *c.contents[i-1].Content == *content { // which is quick where they share memory or differ in length
			return i
		}
	}
	return 0
}

// stepsOf divides the deliveries of an event into transactions. Deliveries of one rule
// and channel share what they have in common; they come one after another.
func stepsOf(deliveries []ledger.NewDelivery) ([]completion, error) {
	if len(deliveries) > ledger.MaxEventDeliveries {
		return nil, fmt.Errorf("%w: %d, and one event may make %d", ledger.ErrEventTooLarge, len(deliveries), ledger.MaxEventDeliveries)
	}
	steps := make([]completion, 0, 1)
	begin := func(at int) *completion {
		rows := min(len(deliveries)-at, stepRows)
		steps = append(steps, completion{deliveries: deliveries[at:at], says: make([]int, 0, rows)})
		return &steps[len(steps)-1]
	}
	var step *completion
	total, group := 0, 0 // group is the first content of the rule and channel
	for i := range deliveries {
		d := &deliveries[i]
		if i > 0 && (d.RuleName != deliveries[i-1].RuleName || d.Channel != deliveries[i-1].Channel) {
			group = len(step.contents)
		}
		size, at := 0, 0
		if d.Content != (ledger.Content{}) {
			size = d.Content.Size()
			if step != nil {
				if at = step.find(&d.Content, group); at > 0 {
					size = 0
				}
			}
		}
		if step == nil || len(step.deliveries) == stepRows || size > 0 && step.bytes > 0 && step.bytes+size > stepBytes {
			step, at, group = begin(i), 0, 0
		}
		if at == 0 && d.Content != (ledger.Content{}) {
			step.contents = append(step.contents, content{Content: &d.Content})
			at, size = len(step.contents), d.Content.Size()
		}
		step.bytes += size
		total += size
		step.deliveries = step.deliveries[:len(step.deliveries)+1]
		step.says = append(step.says, at)
	}
	if total > ledger.MaxEventBytes {
		return nil, fmt.Errorf("%w: they hold %d MiB, and those of one event may hold %d MiB", ledger.ErrEventTooLarge, total>>20, ledger.MaxEventBytes>>20)
	}
	return steps, nil
}

// enterBulk waits for the turn of a large write.
func (s *Store) enterBulk(ctx context.Context) (leave func(), err error) {
	select {
	case s.bulk <- struct{}{}:
		return func() { <-s.bulk }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many large writes are waiting: %w", ledger.ErrUnavailable, ctx.Err())
	}
}

// completeStep stores a part of an event that is not the last.
func (s *Store) completeStep(ctx context.Context, e *ledger.ClaimedEvent, c *completion) error {
	if err := s.encode(ctx, e, c); err != nil {
		return err
	}
	leave, err := s.enterBulk(ctx)
	if err != nil {
		return err
	}
	defer leave()
	stored := int64(0)
	err = s.driver.Write(ctx, &driver.Job{Bytes: c.bytes, Committed: s.deliveries.Raise, Run: func(tx driver.Tx) error {
		now := s.now()
		until := max(s.stored(e.Lease.Until), now+stepLease.Milliseconds())
		n, err := tx.Exec(holdEvent, until, e.Key, e.Lease.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return ledger.ErrLeaseLost
		}
		stored, err = s.insert(tx, e, now, c)
		return err
	}})
	if err == nil {
		c.count(&s.usage, e.Company, stored)
	}
	return err
}

// AddDeliveries implements [ledger.EventQueue].
func (s *Store) AddDeliveries(ctx context.Context, e *ledger.ClaimedEvent, deliveries []ledger.NewDelivery) error {
	steps, err := stepsOf(deliveries)
	if err != nil {
		return err
	}
	for i := range steps {
		if err := s.completeStep(ctx, e, &steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// count adds what became pending, as if none of it had been there, and how many bytes were
// stored to what the company uses.
func (c *completion) count(u *usage, company string, stored int64) {
	if len(c.deliveries) == 0 && stored == 0 {
		return
	}
	pending := int64(0)
	for i := range c.deliveries {
		if state, _, _ := c.deliveries[i].Outcome(); state == ledger.DeliveryPending {
			pending++
		}
	}
	u.add(company, pending, stored)
}

// encode prepares what the deliveries of an event say, and their recipients where they are
// counted, for the database.
func (s *Store) encode(ctx context.Context, e *ledger.ClaimedEvent, c *completion) (err error) {
	if c.throttled() {
		// Before the transaction: the key may have to be stored.
		if c.hidden, err = s.hidden(ctx); err != nil {
			return err
		}
	}
	if len(c.contents) == 0 {
		return nil
	}
	sealed := 0 // contents come in the order of the first deliveries that say them
	for i := range c.deliveries {
		if c.says[i] <= sealed {
			continue
		}
		sealed = c.says[i]
		content, d := &c.contents[sealed-1], &c.deliveries[i]
		if content.sms, err = schema.EncodeSMS(content.SMS); err != nil {
			return err
		}
		if s.cipher != nil {
			content.sealed = s.sealContent(content.Content, content.sms, e.Company, e.ID, d.RuleName, d.Channel)
		}
	}
	return nil
}

// insertContents stores what deliveries say, and returns its IDs behind a 0.
func (c *completion) insertContents(tx driver.Tx) (ids []int64, stored int64, err error) {
	ids = make([]int64, 1, len(c.contents)+1)
	for at := 0; at < len(c.contents); {
		n := min(maxInsert, len(c.contents)-at)
		statement, args := insertContents[n], make([]any, 0, 5*n)
		for i := range c.contents[at : at+n] {
			content := &c.contents[at+i]
			stored += content.size()
			if content.sealed != nil {
				statement, args = insertSealed[n], append(args, content.sealed)
				continue
			}
			args = append(args, content.From, content.Subject, content.Text, content.HTML, content.sms)
		}
		some, err := tx.Insert(statement, n, args...)
		if err != nil {
			return nil, 0, err
		}
		ids, at = append(ids, some...), at+n
	}
	return ids, stored, nil
}

// insert stores deliveries of an event and what they say. It returns how many bytes more are
// stored for the company.
func (s *Store) insert(tx driver.Tx, e *ledger.ClaimedEvent, now int64, c *completion) (stored int64, err error) {
	if e.Replay != nil && len(c.deliveries) > 0 {
		if c, err = withhold(tx, e.Replay, e.Company, c); err != nil {
			return 0, err
		}
	}
	digests := int64(0)
	if c.throttled() {
		if c, digests, err = s.throttle(tx, e, now, c); err != nil {
			return 0, err
		}
	}
	ids, stored, err := c.insertContents(tx)
	if err != nil {
		return 0, err
	}
	stored += digests
	received, fresh := s.stored(e.ReceivedAt), int64(0)
	for at := 0; at < len(c.deliveries); {
		n := min(maxInsert, len(c.deliveries)-at)
		args := make([]any, 0, 6+10*n)
		args = append(args, e.Key, e.Company, e.ID, e.Name, received, now)
		for i := at; i < at+n; i++ {
			d := &c.deliveries[i]
			state, reason, message := d.Outcome()
			args = append(args, d.RuleName, d.Channel, d.Recipient, d.UserID, state, reason, message, ids[c.says[i]], expiry(received, d.ValidFor), number(d.Sensitive))
		}
		inserted, err := tx.Exec(insertDeliveries[n], args...)
		if err != nil {
			return 0, err
		}
		fresh, at = fresh+inserted, at+n
	}
	stored += fresh * rowBytes
	freed, err := s.link(tx, e, now, c.deliveries)
	stored -= freed
	if err != nil || fresh == int64(len(c.deliveries)) {
		return stored, err
	}
	checked := 0
	for i := range c.deliveries {
		if d := &c.deliveries[i]; c.says[i] > checked {
			checked = c.says[i]
			n, err := tx.Exec(removeUnused, ids[checked], e.Key, d.RuleName, d.Channel)
			if err != nil {
				return 0, err
			}
			stored -= n * c.contents[checked-1].size()
		}
	}
	return stored, nil
}
