// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

// mail is an email that a stage's mail server has received.
type mail struct {
	*smtptest.Message
	smtptest.Content
}

// mailboxes holds a *mailbox for each *smtptest.Server. A mailbox is for one goroutine,
// because tests that share a stage run sequentially.
var mailboxes sync.Map

type mailbox struct {
	seen      int
	bySubject map[string][]mail
}

// mailbox reads the emails that have arrived since the last call.
func (c *company) mailbox(t *testing.T) *mailbox {
	t.Helper()
	kept, _ := mailboxes.LoadOrStore(c.stage.Mail, &mailbox{bySubject: make(map[string][]mail)})
	box := kept.(*mailbox)
	messages := c.stage.Mail.Messages()
	for _, message := range messages[box.seen:] {
		content, err := message.Parse()
		if err != nil {
			t.Fatalf("parsing an email: %v", err)
		}
		box.bySubject[content.Subject] = append(box.bySubject[content.Subject], mail{message, content})
	}
	box.seen = len(messages)
	return box
}

// mails returns the emails with a subject, in order of arrival.
func (c *company) mails(t *testing.T, subject string) []mail {
	t.Helper()
	return c.mailbox(t).bySubject[subject]
}

// mailed counts the company's emails by subject.
func (c *company) mailed(t *testing.T) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for subject, mails := range c.mailbox(t).bySubject {
		if strings.HasPrefix(subject, c.id+" ") {
			counts[subject] = len(mails)
		}
	}
	return counts
}

// waitMailed waits until each of the texts has been mailed.
func (c *company) waitMailed(t *testing.T, texts ...string) {
	t.Helper()
	missing := slices.Clone(texts)
	if err := c.stage.Eventually(t.Context(), "the emails", func() error {
		box := c.mailbox(t)
		missing = slices.DeleteFunc(missing, func(text string) bool { return len(box.bySubject[text]) > 0 })
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d are missing, such as %q", len(missing), len(texts), missing[0])
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, c.stage.Manager.LogTail())
	}
}

// span is the period in which a fault began.
type span struct{ begin, end time.Time }

// timed causes a fault and returns the period in which it began.
func timed(fault func() error) (span, error) {
	s := span{begin: time.Now()}
	err := fault()
	s.end = time.Now()
	return s, err
}

// checkDuplicates checks that each of the company's messages arrived once. Messages that
// the mail server accepted in the instant before a fault, too late to be recorded, may
// arrive twice: at most one copy for each fault, and at most inFlight messages. It returns
// the number of duplicates.
func (c *company) checkDuplicates(t *testing.T, inFlight int, faults ...span) (duplicates int) {
	t.Helper()
	for subject, mails := range c.mailbox(t).bySubject {
		if !strings.HasPrefix(subject, c.id+" ") {
			continue
		}
		for i := range mails[1:] {
			first, second := mails[i], mails[i+1]
			duplicates++
			if !slices.ContainsFunc(faults, func(f span) bool {
				return !first.ReceivedAt.After(f.end) && !second.ReceivedAt.Before(f.begin)
			}) {
				t.Errorf("%q arrived at %s and again at %s, without a fault in between", subject,
					first.ReceivedAt.Format(time.StampMilli), second.ReceivedAt.Format(time.StampMilli))
			}
			if a, b := first.Header.Get("Message-Id"), second.Header.Get("Message-Id"); a == "" || a != b {
				t.Errorf("%q arrived with Message-ID %q and again with %q", subject, a, b)
			}
		}
		if len(mails) > 1+len(faults) {
			t.Errorf("%q came %d times, with %d faults", subject, len(mails), len(faults))
		}
	}
	if duplicates > inFlight*len(faults) {
		t.Errorf("%d messages arrived twice, with %d faults and %d messages in flight", duplicates, len(faults), inFlight)
	}
	return duplicates
}
