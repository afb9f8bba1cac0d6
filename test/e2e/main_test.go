// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// set is the stage that all tests play on, each with a company of its own.
var set *stage.Stage

// managerProgram is the manager that was built for the tests.
var managerProgram string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	state, err := os.MkdirTemp("", "rehive-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	managerProgram = filepath.Join(state, "manager")
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", managerProgram, "../../cmd/manager")...)
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the manager: %w\n%s", err, output)
	}
	set, err = stage.Set(context.Background(), stage.Options{
		Root:             "../..",
		State:            state,
		Manager:          managerProgram,
		ManagerArguments: []string{"--resync-period=30s", "--provider-allow-networks=127.0.0.0/8", "--provider-allow-plaintext"},
	})
	if err != nil {
		return 1, err
	}
	defer func() {
		log := set.Manager.LogFile()
		err = errors.Join(err, set.Clear())
		if content, readErr := os.ReadFile(log); readErr == nil && bytes.Contains(content, []byte("DATA RACE")) {
			err = errors.Join(err, fmt.Errorf("the manager has a data race:\n%s", content))
		}
	}()
	return m.Run(), nil
}

// company is an active company on the stage with one customer and one rule.
type company struct {
	id         string
	service    rehivetest.Service
	customer   rehivetest.User
	activation *v1alpha1.CompanyActivation
	secret     string
}

// event is what the rule of a company is for.
const event = "alert.create"

// companies counts the companies, so that a test can run again with another.
var companies int

// newID makes a company's identifier of a name.
func newID(name string) string {
	companies++
	return fmt.Sprintf("%s-%d", name, companies)
}

// newCompany activates a company and gives it a rule that mails the customer
// the "text" of each event.
func newCompany(t *testing.T, name string) *company {
	t.Helper()
	id := newID(name)
	c := &company{id: id}
	if _, err := set.Platform.AddCompany(rehivetest.Company{ID: id, Name: "Company " + id, SystemEmail: "no-reply@" + id + ".example"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.customer, err = set.Platform.AddUser(id, rehivetest.User{Email: "customer@" + id + ".example", Mobile: "+27820001111", FirstName: "Thandi", LastName: "Mokoena"}); err != nil {
		t.Fatal(err)
	}
	if c.service, err = set.Platform.AddService(id, rehivetest.Service{Name: "Notifications", URL: set.Manager.PublicURL + "/api/"}); err != nil {
		t.Fatal(err)
	}
	if err := set.Platform.Activate(t.Context(), id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	c.refresh(t)
	if _, err := set.ReadyRule(t.Context(), []byte(rule(c.activation, "alert", event))); err != nil {
		t.Fatal(err)
	}
	if err := set.Webhook(t.Context(), id, event); err != nil {
		t.Fatal(err)
	}
	return c
}

// refresh waits until the company's activation is Ready and reads it and its
// webhook secret.
func (c *company) refresh(t *testing.T) {
	t.Helper()
	var err error
	if c.activation, err = set.ReadyActivation(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	secret, err := set.Secret(t.Context(), c.activation)
	if err != nil {
		t.Fatal(err)
	}
	c.secret = string(secret.Data[v1alpha1.SecretKeyWebhookSecret])
}

func rule(a *v1alpha1.CompanyActivation, name, event string) string {
	return fmt.Sprintf(`
apiVersion: extensions.rehive.com/v1alpha1
kind: NotificationRule
metadata:
  name: %s-%s
  namespace: %s
spec:
  companyRef:
    name: %s
  displayName: An alert
  event: %s
  expression: "'{{ status }}' != 'ignored'"
  email:
    to: "{{ user.email }}"
    subject: "{{ text }}"
    text: "{{ text }} for {{ user.first_name }}"
`, a.Name, name, a.Namespace, a.Name, event)
}

// send calls the webhook as the platform does and returns the status, 0 if there
// was no answer.
func (c *company) send(ctx context.Context, id, text string) int {
	return c.sendTo(ctx, set.Manager.PublicURL, id, text)
}

func (c *company) sendTo(ctx context.Context, base, id, text string) int {
	body, err := json.Marshal(map[string]any{
		"id": id, "event": event, "company": c.id,
		"data": map[string]any{"text": text, "status": "open", "user": map[string]any{"email": c.customer.Email, "first_name": c.customer.FirstName}},
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/webhook/", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Secret "+c.secret)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// mailed counts the company's emails by subject.
func (c *company) mailed(t *testing.T) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for _, message := range set.Mail.Messages() {
		if subject := parsed(t, message).Subject; strings.HasPrefix(subject, c.id+" ") {
			counts[subject]++
		}
	}
	return counts
}

// parsedMessages keeps what parsed has read, by the message's number.
var parsedMessages = make(map[int]smtptest.Content)

func parsed(t *testing.T, message *smtptest.Message) smtptest.Content {
	t.Helper()
	content, ok := parsedMessages[message.Number]
	if !ok {
		var err error
		if content, err = message.Parse(); err != nil {
			t.Fatalf("an email can't be read: %v", err)
		}
		parsedMessages[message.Number] = content
	}
	return content
}

// text is the subject of the n-th email of a company.
func (c *company) text(n int) string { return fmt.Sprintf("%s %d", c.id, n) }

// waitMailed waits until each of the texts was mailed.
func (c *company) waitMailed(t *testing.T, texts []string) map[string]int {
	t.Helper()
	var counts map[string]int
	if err := set.Eventually(t.Context(), "the emails", func() error {
		counts = c.mailed(t)
		missing := 0
		for _, text := range texts {
			if counts[text] == 0 {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d are missing", missing, len(texts))
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, set.Manager.LogTail())
	}
	return counts
}
