// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// testAPI checks that a user can opt out, that an admin can see why the user received
// nothing, and that an admin can resend a message that the mail server has refused.
func testAPI(t *testing.T) {
	const event = "alert.update"
	c := newCompany(t, "api")
	admin, err := set.Platform.AddUser(c.id, rehivetest.User{Group: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	guest, err := set.Platform.AddUser(c.id, rehivetest.User{Email: "guest@" + c.id + ".example", FirstName: "Guest"})
	if err != nil {
		t.Fatal(err)
	}
	choice := strings.Replace(rule(c.activation, "choice", event), "spec:\n", "spec:\n  preferenceEnabled: true\n", 1)
	if _, err := set.ReadyRule(t.Context(), []byte(choice)); err != nil {
		t.Fatal(err)
	}
	if err := set.Webhook(t.Context(), c.id, event); err != nil {
		t.Fatal(err)
	}
	emit := func(text string, to rehivetest.User) {
		t.Helper()
		if _, err := set.Platform.Emit(c.id, event, map[string]any{
			"text": text, "status": "open", "user": map[string]any{"id": to.ID, "email": to.Email, "first_name": to.FirstName},
		}); err != nil {
			t.Fatal(err)
		}
	}

	// The user lists the optional notifications and opts out.
	var choices struct {
		Results []struct {
			ID      int64
			Name    string
			Enabled bool
		}
	}
	call(t, c.customer.Token, http.MethodGet, "/api/user/notifications/?page_size=250", "", &choices)
	if len(choices.Results) != 1 || !choices.Results[0].Enabled {
		t.Fatalf("the optional notifications are %+v, want one that is enabled", choices.Results)
	}
	call(t, c.customer.Token, http.MethodPatch, fmt.Sprintf("/api/user/notifications/%d/", choices.Results[0].ID), `{"enabled":false}`, nil)

	emit(c.text(1), c.customer)
	log := waitLog(t, admin.Token, "user__identifier="+c.customer.ID)
	if log.Sent || log.State != "skipped" || log.Reason != "OptedOut" || log.ErrorMessage == "" || log.Notification != choices.Results[0].Name {
		t.Errorf("the log shows %+v, want an opt-out", log)
	}

	// The mail server refuses the recipient.
	set.Mail.Respond(func(stage smtptest.Stage, argument string) *smtptest.Reply {
		if stage == smtptest.StageRcpt && strings.Contains(argument, guest.Email) {
			return &smtptest.Reply{Code: 550, Text: "5.1.1 no such user"}
		}
		return nil
	})
	defer set.Mail.Respond(nil)
	emit(c.text(2), guest)
	failed := waitLog(t, admin.Token, "state=failed")
	if failed.Sent || failed.Recipient != guest.Email || failed.ErrorMessage == "" {
		t.Errorf("the log shows %+v, want a refused recipient", failed)
	}
	set.Mail.Respond(nil)

	// The refusal suppresses the address until an admin deletes it from the list.
	var suppressed struct {
		Results []struct {
			ID        int64
			Recipient string
		}
	}
	if err := set.Eventually(t.Context(), "the suppression", func() error {
		call(t, admin.Token, http.MethodGet, "/api/admin/suppressions/", "", &suppressed)
		if len(suppressed.Results) != 1 || suppressed.Results[0].Recipient != guest.Email {
			return fmt.Errorf("the suppression list is %+v", suppressed.Results)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	call(t, admin.Token, http.MethodDelete, fmt.Sprintf("/api/admin/suppressions/%d/", suppressed.Results[0].ID), "", nil)

	// Resent, it arrives; resent again, it is a separate message.
	send := fmt.Sprintf("/api/admin/logs/%d/send/", failed.ID)
	call(t, admin.Token, http.MethodPost, send, "", nil)
	c.waitMailed(t, c.text(2))
	if sent := waitLog(t, admin.Token, "sent=true"); sent.ID != failed.ID {
		t.Errorf("delivery %d was sent, want %d", sent.ID, failed.ID)
	}
	call(t, admin.Token, http.MethodPost, send, "", nil)
	if err := set.Eventually(t.Context(), "the second email", func() error {
		if n := c.mailed(t)[c.text(2)]; n != 2 {
			return fmt.Errorf("%d emails arrived", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, message := range c.mails(t, c.text(2)) {
		ids[message.Header.Get("Message-Id")] = true
	}
	if len(ids) != 2 {
		t.Errorf("the two emails have the Message-IDs %v, want one each", ids)
	}
	if n := c.mailed(t)[c.text(1)]; n != 0 {
		t.Errorf("the user who opted out received %d emails", n)
	}
}

// logEntry is the part of a log entry that the tests check.
type logEntry struct {
	ID           int64
	Notification string
	Recipient    string
	Sent         bool
	State        string
	Reason       string
	ErrorMessage string `json:"error_message"`
}

// waitLog waits for the only log entry that matches the query.
func waitLog(t *testing.T, token, query string) logEntry {
	t.Helper()
	var found struct{ Results []logEntry }
	if err := set.Eventually(t.Context(), "the log", func() error {
		call(t, token, http.MethodGet, "/api/admin/logs/?"+query, "", &found)
		if len(found.Results) != 1 {
			return fmt.Errorf("%s finds %d", query, len(found.Results))
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, set.Manager.LogTail())
	}
	return found.Results[0]
}

// call calls the manager's API like an app and decodes the data of the answer.
func call(t *testing.T, token, method, path, body string, data any) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, set.Manager.PublicURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Token "+token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s (%v)", method, path, response.Status, text, err)
	}
	if data == nil {
		return
	}
	if err := json.Unmarshal(text, &struct{ Data any }{data}); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}
