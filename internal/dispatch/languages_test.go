// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// TestDispatchInTheUsersLanguage: the platform is asked for a language that the event doesn't
// have, only for a rule with translations, and not again within a while.
func TestDispatchInTheUsersLanguage(t *testing.T) {
	s := newCompanyScene(t, "languages")
	s.dispatcher.languages.timeout = time.Minute
	zoe := s.user(rehivetest.User{Email: "zoe@example.com", Language: "fr-CA"})
	lookups := func() (n int) {
		for _, r := range s.platform.Requests() {
			if strings.Contains(r.Path, "/admin/users/") {
				n++
			}
		}
		return n
	}
	s.rule("plain", "document.update", nil)
	s.rule("translated", "transaction.execute", func(r *v1alpha1.NotificationRuleSpec) {
		r.Email.Text = "Hello"
		r.Translations = []v1alpha1.RuleTranslation{{Language: "fr", Email: &v1alpha1.EmailTranslation{Text: "Bonjour, {{ at|timestamp|date }}"}}}
	})
	data := fmt.Sprintf(`{"at": 1596795344112, "to": "zoe@example.com", "user": {"id": %q, "email": "zoe@example.com"}}`, zoe.ID)
	s.accept("0", "document.update", data)
	s.deliveries("0", 1)
	if n := lookups(); n != 0 {
		t.Errorf("%d lookups for a rule without translations", n)
	}
	for _, id := range []string{"1", "2"} {
		s.accept(id, "transaction.execute", data)
		if got := s.deliveries(id, 1)[0].Content.Text; got != "Bonjour, 7 août 2020" {
			t.Errorf("event %s: %q", id, got)
		}
		if n := lookups(); n != 1 {
			t.Errorf("event %s: %d lookups", id, n)
		}
	}
	s.clock.Step(languageTTL + 1)
	s.accept("3", "transaction.execute", data)
	s.deliveries("3", 1)
	if n := lookups(); n != 2 {
		t.Errorf("%d lookups after the language expired", n)
	}
	named := fmt.Sprintf(`{"at": 1596795344112, "to": "zoe@example.com", "user": {"id": %q, "email": "zoe@example.com", "language": "en"}}`, s.seed.Customers[0].ID)
	s.accept("4", "transaction.execute", named)
	if got := s.deliveries("4", 1)[0].Content.Text; got != "Hello" || lookups() != 2 {
		t.Errorf("%q with %d lookups for a user whose language the event has", got, lookups())
	}
}

// TestMessagesDontWaitForALanguage checks that a message is sent in the rule's own language
// while the platform fails or says nothing, without another lookup within a while, and in the
// user's own afterwards.
func TestMessagesDontWaitForALanguage(t *testing.T) {
	for _, fault := range []rehivetest.Fault{
		{Kind: rehivetest.FaultStatus, Status: 503},
		{Kind: rehivetest.FaultHang},
	} {
		t.Run(string(fault.Kind), func(t *testing.T) {
			s := newCompanyScene(t, "unanswered-"+string(fault.Kind))
			zoe := s.user(rehivetest.User{Email: "zoe@example.com", Language: "fr"})
			s.rule("translated", "transaction.execute", func(r *v1alpha1.NotificationRuleSpec) {
				r.Email.Text = "Hello"
				r.Translations = []v1alpha1.RuleTranslation{{Language: "fr", Email: &v1alpha1.EmailTranslation{Text: "Bonjour"}}}
			})
			fault.Path = "/3/admin/users/"
			remove := s.platform.InjectFault(fault)
			data := fmt.Sprintf(`{"to": "zoe@example.com", "user": {"id": %q, "email": "zoe@example.com"}}`, zoe.ID)
			text := func(id string) string {
				s.accept(id, "transaction.execute", data)
				return s.deliveries(id, 1)[0].Content.Text
			}
			if got := text("1"); got != "Hello" {
				t.Errorf("while the platform fails: %q", got)
			}
			// The dispatcher may give up before the platform has read the call.
			s.eventually("the platform to be asked", func() error {
				if len(s.platform.Requests()) == 0 {
					return errors.New("it was not")
				}
				return nil
			})
			lookups := len(s.platform.Requests())
			if got := text("2"); got != "Hello" || len(s.platform.Requests()) != lookups {
				t.Errorf("soon after it failed: %q, %d more requests", got, len(s.platform.Requests())-lookups)
			}
			remove()
			s.dispatcher.languages.timeout = time.Minute
			s.clock.Step(languagePause + 1)
			if got := text("3"); got != "Bonjour" {
				t.Errorf("when the platform is well: %q", got)
			}
		})
	}
}
