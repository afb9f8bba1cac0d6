// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providertest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// Fake is the far side of a provider under test: [API], or a server of another
// protocol.
type Fake interface {
	// Behave sets how messages are answered from now on; false if the protocol has
	// nothing like it.
	Behave(Behavior) bool
	// Received are the messages accepted so far.
	Received() []Received
}

// Target is a provider that talks to a fake of its own.
type Target struct {
	Provider provider.Provider
	Fake     Fake
	// Close ends both. Nothing may be running after it.
	Close func()
}

// Harness is a provider to put through the suite.
type Harness struct {
	// New returns a provider whose own time limits are at least ten seconds.
	New func(t *testing.T) Target
	// Message is one that the provider sends. Its contents must not be words that an
	// error may well use.
	Message provider.Message
	// Want is what the fake receives of it.
	Want Received
	// Secrets must not be in errors.
	Secrets []string
	// NotRecipients are recipients that must be refused for good, besides those that no
	// channel takes.
	NotRecipients []string
	// NoText says that the message's text is not what is sent.
	NoText bool
	// NoRetryAfter says that the protocol can't say how long to wait.
	NoRetryAfter bool
	// AcceptedByStatus says that the status of an answer accepts a message, so that it
	// is sent even if the rest of the answer is lost.
	AcceptedByStatus bool
}

// patience is how long a call may take that has long been over in a sound provider.
const patience = 20 * time.Second

// Run puts a provider through what every provider must do.
func Run(t *testing.T, h Harness) {
	t.Run("accepts", h.accepts)
	t.Run("classes errors", h.classes)
	t.Run("honours the deadline", h.deadline)
	if !h.NoText {
		t.Run("is safe for concurrent use", h.concurrent)
	}
	t.Run("withstands hostile content", h.hostile)
	t.Run("refuses bad recipients", h.recipients)
}

// start starts a target, and checks at the end that it leaves nothing running:
// neither goroutines nor connections, which have goroutines.
func (h Harness) start(t *testing.T) Target {
	t.Helper()
	before := goleak.IgnoreCurrent()
	target := h.New(t)
	t.Cleanup(func() {
		target.Close()
		if err := goleak.Find(before); err != nil {
			t.Errorf("something is left running: %v", err)
		}
	})
	return target
}

func send(ctx context.Context, t *testing.T, p provider.Provider, m provider.Message) (provider.Receipt, error) {
	t.Helper()
	type result struct {
		receipt provider.Receipt
		err     error
	}
	done := make(chan result, 1)
	go func() {
		receipt, err := p.Send(ctx, m)
		done <- result{receipt, err}
	}()
	select {
	case r := <-done:
		return r.receipt, r.err
	case <-time.After(patience):
		t.Fatal("Send doesn't return")
		return provider.Receipt{}, nil
	}
}

// sendBriefly sends a message to a target that doesn't answer, or not fully, with a context that
// ends after a time: [context.WithTimeout], or [cancelAfter]. On a busy machine, that may be
// before the message is written, or before the answer begins, which is another class of error;
// more time is given then.
func (h Harness) sendBriefly(t *testing.T, target Target, tooEarly string, end func(context.Context, time.Duration) (context.Context, context.CancelFunc)) error {
	t.Helper()
	for limit := 150 * time.Millisecond; ; limit *= 4 {
		ctx, cancel := end(t.Context(), limit)
		read := requestRead(target)
		_, err := send(ctx, t, target.Provider, h.Message)
		cancel()
		class := className(err)
		if class == "unknown" {
			// The fake would treat a request that it reads later like the next one.
			read()
		}
		if class != tooEarly || limit > 5*time.Second {
			return err
		}
	}
}

// requestRead returns a function that waits until the fake of an API has read another request.
func requestRead(target Target) (wait func()) {
	api, ok := target.Fake.(*API)
	if !ok {
		return func() {}
	}
	before := api.Requests()
	return func() {
		for deadline := time.Now().Add(patience); api.Requests() == before && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // polling with a deadline
		}
	}
}

// cancelAfter returns a context that is cancelled after a time, without a deadline.
func cancelAfter(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(after, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

func (h Harness) accepts(t *testing.T) {
	target := h.start(t)
	receipt, err := send(t.Context(), t, target.Provider, h.Message)
	if err != nil || receipt.ID == "" {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if got := target.Fake.Received(); len(got) != 1 || got[0] != h.Want {
		t.Errorf("received %+v, want %+v", got, h.Want)
	}
}

func (h Harness) classes(t *testing.T) {
	for _, c := range []struct {
		behavior Behavior
		want     string
	}{
		{Refuse, "permanent"}, {Unauthorized, "misconfigured"}, {Redirect, "misconfigured"},
		{Throttle, "transient"}, {Fail, "transient"}, {Reset, "unknown"}, {Garbage, "transient"},
		{Slow, "transient"}, {Huge, "transient"}, {Hang, "unknown"}, {AcceptAndReset, "unknown"},
	} {
		t.Run(string(c.behavior), func(t *testing.T) {
			target := h.start(t)
			if !target.Fake.Behave(c.behavior) {
				t.Skip("the protocol has nothing like it")
			}
			var err error
			switch c.behavior {
			case Hang:
				err = h.sendBriefly(t, target, "transient", context.WithTimeout)
			case Slow:
				err = h.sendBriefly(t, target, "unknown", context.WithTimeout)
			default:
				_, err = send(t.Context(), t, target.Provider, h.Message)
			}
			if c.behavior == AcceptAndReset && h.AcceptedByStatus {
				if err != nil {
					t.Errorf("an accepted message would be sent again: %v", err)
				}
				return
			}
			// Where a status accepts nothing by itself, garbage may hide an acceptance.
			if got := className(err); got != c.want && (c.behavior != Garbage || got != "unknown") {
				t.Fatalf("%v is %s, want %s", err, got, c.want)
			}
			h.checkError(t, err, h.Message)
			var e *provider.Error
			if c.behavior == Throttle && !h.NoRetryAfter && (!errors.As(err, &e) || e.RetryAfter != ThrottleFor) {
				t.Errorf("the wait is %+v, want %s", e, ThrottleFor)
			}
			if api, ok := target.Fake.(*API); ok && api.Visits() > 0 {
				t.Error("the redirect was followed")
			}
			if c.behavior != AcceptAndReset && len(target.Fake.Received()) != 0 {
				t.Error("the fake accepted a message")
			}

			// Whatever happened, the next message can be sent.
			target.Fake.Behave(Accept)
			before := len(target.Fake.Received())
			if _, err := send(t.Context(), t, target.Provider, h.Message); err != nil {
				t.Errorf("the message after it: %v", err)
			}
			if got := len(target.Fake.Received()) - before; got != 1 {
				t.Errorf("the message after it arrived %d times", got)
			}
		})
	}
}

func className(err error) string {
	switch {
	case err == nil:
		return "no error"
	case provider.IsPermanent(err):
		return "permanent"
	case provider.IsMisconfigured(err):
		return "misconfigured"
	case provider.IsUnknown(err):
		return "unknown"
	}
	return "transient"
}

var (
	reasonWord = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	addressish = regexp.MustCompile(`@|://|\+?[0-9]{6,}|127\.0\.0\.1|localhost|::1`)
)

// checkError checks that an error is one clean sentence.
func (h Harness) checkError(t *testing.T, err error, m provider.Message) {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) {
		t.Errorf("%T (%v) is not a provider.Error", err, err)
		return
	}
	text := e.Error()
	if !reasonWord.MatchString(e.Reason) {
		t.Errorf("the reason %q is not one CamelCase word", e.Reason)
	}
	if text == "" || len(text) > 400 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("%q is not one sentence", text)
	}
	if found := addressish.FindString(text); found != "" {
		t.Errorf("%q holds %q", text, found)
	}
	for _, secret := range append([]string{m.To, m.From, m.Subject, m.Text, m.HTML, m.Key}, h.Secrets...) {
		if len(secret) > 3 && strings.Contains(text, secret) {
			t.Errorf("%q holds %q", text, secret)
		}
	}
}

func (h Harness) deadline(t *testing.T) {
	target := h.start(t)
	if !target.Fake.Behave(Hang) {
		t.Skip("the protocol can't hang")
	}
	t.Run("timeout", func(t *testing.T) {
		if err := h.sendBriefly(t, target, "transient", context.WithTimeout); className(err) != "unknown" {
			t.Errorf("%v is %s", err, className(err))
		}
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := send(ctx, t, target.Provider, h.Message)
		if className(err) != "transient" {
			t.Errorf("%v is %s", err, className(err))
		}
		h.checkError(t, err, h.Message)
	})
	t.Run("cancelled in flight", func(t *testing.T) {
		err := h.sendBriefly(t, target, "transient", cancelAfter)
		if className(err) != "unknown" {
			t.Errorf("%v is %s", err, className(err))
		}
		h.checkError(t, err, h.Message)
	})
}

func (h Harness) concurrent(t *testing.T) {
	target := h.start(t)
	const senders, each = 16, 4
	var wg sync.WaitGroup
	errs := make(chan error, senders*each)
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				m := h.Message
				m.Key = fmt.Sprintf("key-%d-%d", s, i)
				m.Text = "message " + m.Key
				_, err := target.Provider.Send(t.Context(), m)
				errs <- err
			}
		})
	}
	wg.Wait()
	for range senders * each {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, r := range target.Fake.Received() {
		seen[strings.TrimSpace(r.Text)]++
	}
	if len(seen) != senders*each {
		t.Errorf("%d different messages arrived, want %d", len(seen), senders*each)
	}
	for text, n := range seen {
		if n != 1 {
			t.Errorf("%q arrived %d times", text, n)
		}
	}
}

func (h Harness) hostile(t *testing.T) {
	target := h.start(t)
	for name, change := range map[string]func(*provider.Message){
		"line break in the subject":        func(m *provider.Message) { m.Subject = "Paid\r\nBcc: eve@evil.example\r\n\r\nbody" },
		"lone CR in the subject":           func(m *provider.Message) { m.Subject = "Paid\rBcc: eve@evil.example" },
		"lone LF in the subject":           func(m *provider.Message) { m.Subject = "Paid\nBcc: eve@evil.example" },
		"white space around the recipient": func(m *provider.Message) { m.To = " \t" + m.To + "\r\n" },
		"NUL in the subject":               func(m *provider.Message) { m.Subject = "Paid\x00" },
		"line break in the sender":         func(m *provider.Message) { m.From = "shop@example.com>\r\nBcc: <eve@evil.example" },
		"encoded break in the sender": func(m *provider.Message) {
			m.From = "=?utf-8?q?Shop=0D=0ABcc=3A_eve?= <shop@example.com>"
		},
		"line break in the key":   func(m *provider.Message) { m.Key = "key\r\nBcc: eve@evil.example" },
		"very long subject":       func(m *provider.Message) { m.Subject = strings.Repeat("long ", 20_000) },
		"very long text":          func(m *provider.Message) { m.Text = strings.Repeat("long ", 200_000) },
		"one endless line":        func(m *provider.Message) { m.Text = strings.Repeat("x", 100_000) },
		"invalid UTF-8":           func(m *provider.Message) { m.Subject, m.Text, m.HTML = "a\xff", "b\xc3\x28", "<p>\xfe</p>" },
		"end of SMTP data":        func(m *provider.Message) { m.Text = "a\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n" },
		"form and JSON in text":   func(m *provider.Message) { m.Text = `a&To=+27820000009&x="},{"to":"eve"}` },
		"nothing at all":          func(m *provider.Message) { m.Subject, m.Text, m.HTML = "", "", "" },
		"emoji and right to left": func(m *provider.Message) { m.Subject, m.Text = "\U0001F4B8\u202e", "שלום \U0001F4B8" },
	} {
		t.Run(name, func(t *testing.T) {
			m := h.Message
			change(&m)
			before := len(target.Fake.Received())
			_, err := send(t.Context(), t, target.Provider, m)
			received := target.Fake.Received()[before:]
			if err != nil {
				if !provider.IsPermanent(err) {
					t.Errorf("%v is %s: it would be tried again in vain", err, className(err))
				}
				h.checkError(t, err, h.Message)
				if len(received) != 0 {
					t.Error("what was refused arrived")
				}
				return
			}
			if len(received) != 1 {
				t.Fatalf("arrived %d times", len(received))
			}
			got := received[0]
			if got.To != h.Want.To {
				t.Errorf("went to %q", got.To)
			}
			for field, value := range map[string]string{"key": got.Key, "from": got.From, "to": got.To, "subject": got.Subject} {
				if strings.ContainsFunc(value, unicode.IsControl) {
					t.Errorf("the %s %q holds control characters", field, value)
				}
			}
			if all := got.Subject + got.Text + got.HTML; !utf8.ValidString(all) {
				t.Error("what arrived is not UTF-8")
			}
		})
	}
}

func (h Harness) recipients(t *testing.T) {
	target := h.start(t)
	for _, to := range append([]string{
		"", " ", "\r\n", "\x00", h.Message.To + "\r\nBcc: eve@evil.example", "\xff\xfe",
		strings.Repeat("x", 100_000), h.Message.To + strings.Repeat("0", 300),
	}, h.NotRecipients...) {
		m := h.Message
		m.To = to
		_, err := send(t.Context(), t, target.Provider, m)
		if !provider.IsPermanent(err) {
			t.Errorf("%.60q: %v is %s", to, err, className(err))
			continue
		}
		h.checkError(t, err, m)
	}
	if got := target.Fake.Received(); len(got) != 0 {
		t.Errorf("%d messages arrived", len(got))
	}
}
