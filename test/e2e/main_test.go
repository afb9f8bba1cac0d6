// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/internal/tracing/tracingtest"
	"github.com/rehive/extension-operator/test/controlplane"
	"github.com/rehive/extension-operator/test/stage"
)

// set is the stage that TestManager's tests share. Each test uses its own companies.
var set *stage.Stage

// traces is the collector of the traces of that stage.
var traces *tracingtest.Collector

// evidence collects the evidence of all stages. TestMain searches it for planted values at
// the end.
var evidence = &stage.Evidence{}

// chaos makes the tests of faults run longer: see make chaos.
var chaos = os.Getenv("CHAOS") == "1"

// outage is how long the API server is unavailable in the tests of that, at least: $OUTAGE,
// such as 10m.
var outage, errOutage = time.ParseDuration(cmp.Or(os.Getenv("OUTAGE"), "0s"))

func TestMain(m *testing.M) {
	if errOutage != nil {
		panic(errOutage)
	}
	flag.Parse()
	// The tests with their own stages mostly wait.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	code := m.Run()
	// Nothing that is readable without special permissions may contain a token, a secret,
	// or a customer's address, phone number or name.
	var places []string
	if set != nil {
		places = []string{stage.EvidenceLog, stage.EvidenceMetrics, stage.EvidenceEvents, stage.EvidenceObjects, evidenceTraces}
	}
	err := evidence.Check(places...)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	err = errors.Join(err, controlplane.Leaks())
	if programs != "" {
		err = errors.Join(err, os.RemoveAll(programs))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// TestManager runs the tests that share a stage sequentially, because most of them stop the
// manager or break its dependencies.
func TestManager(t *testing.T) {
	t.Parallel()
	options := stageOptions(t.TempDir(), program(t))
	traces = collectTraces(t, &options)
	var err error
	if set, err = stage.Start(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, set)
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"TransactionBecomesEmail", testTransactionBecomesEmail},
		{"TransactionBecomesSMSAndPush", testTransactionBecomesSMSAndPush},
		{"Traces", testTraces},
		{"MetricsOfDashboardAndAlerts", testMetricsOfDashboardAndAlerts},
		{"Admission", testAdmission},
		{"DocumentedCommands", testDocumentedCommands},
		{"API", testAPI},
		{"PublishedClient", testPublishedClient},
		{"DeactivationStopsAndReactivationResumes", testDeactivationStopsAndReactivationResumes},
		{"PurgeRemovesEverything", testPurgeRemovesEverything},
		{"RefusedActivationExplainsPermissions", testRefusedActivationExplainsPermissions},
		{"CompanyInWatchedNamespace", testCompanyInWatchedNamespace},
		{"UnwatchedNamespaceGetsNoToken", testUnwatchedNamespaceGetsNoToken},
		{"NamespaceWithoutRightsIsIgnored", testNamespaceWithoutRightsIsIgnored},
		{"RestartLosesNothing", testRestartLosesNothing},
		{"RepeatedEventIsProcessedOnce", testRepeatedEventIsProcessedOnce},
		{"APIServerUnavailable", testAPIServerUnavailable},
		{"MailServerUnavailable", testMailServerUnavailable},
		{"RuleChangeKeepsDecidedMessages", testRuleChangeKeepsDecidedMessages},
		{"EndOfCompanyCancelsPendingMessages", testEndOfCompanyCancelsPendingMessages},
		{"DeletedWithoutOperator", testDeletedWithoutOperator},
		{"PlatformUnavailable", testPlatformUnavailable},
		{"TokenExpires", testTokenExpires},
		{"FullDisk", testFullDisk},
		{"DamagedLedgerIsRefused", testDamagedLedgerIsRefused},
	} {
		t.Run(test.name, test.run)
	}
}

// stopAtEnd stops a stage at the end of the test, and fails the test if the race detector
// found a race in a manager.
func stopAtEnd(t *testing.T, s *stage.Stage) {
	log := s.Manager.LogFile()
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(), checkRaces(log)); err != nil {
			t.Error(err)
		}
	})
}

// programs is the directory of the built managers; empty before the first build.
var programs string

// builds serializes builds, so that they share the build cache.
var builds sync.Mutex

// program builds the manager, with the race detector if the tests use it.
func program(t *testing.T) string {
	t.Helper()
	return build(t, "manager", buildFlags...)
}

func build(t *testing.T, name string, flags ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if programs == "" {
		var err error
		if programs, err = os.MkdirTemp("", "rehive-e2e-"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(programs, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	// Omitting debug information halves the link time.
	arguments := slices.Concat([]string{"build", "-ldflags=-w", "-o", path}, flags, []string{"../../cmd/manager"})
	if output, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("building the manager: %v\n%s", err, output)
	}
	return path
}

// maxInFlight is how many messages a manager sends concurrently.
const maxInFlight = 16

func stageOptions(state, manager string) stage.Options {
	return stage.Options{
		Root:    "../..",
		Overlay: "config/example",
		State:   state,
		Manager: manager,
		ManagerArguments: []string{
			"--watch-namespaces=" + watchedNamespace + "," + forbiddenNamespace,
			"--resync-period=10s", "--provider-allow-networks=127.0.0.0/8", "--provider-allow-plaintext",
			fmt.Sprint("--delivery-concurrency=", maxInFlight),
		},
		Evidence: evidence,
	}
}

// checkRaces returns an error if the race detector found a race in a manager.
func checkRaces(log string) error {
	content, err := os.ReadFile(log)
	if err == nil && bytes.Contains(content, []byte("DATA RACE")) {
		err = fmt.Errorf("the manager has a data race:\n%s", content)
	}
	return err
}

// company is an active company on a stage, with one customer and one rule.
type company struct {
	stage      *stage.Stage
	id         string
	service    rehivetest.Service
	customer   rehivetest.User
	activation *v1alpha1.CompanyActivation
	secret     string
}

// event is the event of a company's rule.
const event = "alert.create"

// companies numbers the companies, so that repeated tests use new ones.
var companies atomic.Int64

// newID returns a unique company identifier that begins with a name.
func newID(name string) string {
	return fmt.Sprintf("%s-%d", name, companies.Add(1))
}

// newCompany activates a company with a rule that mails the "text" of each event to the
// customer.
func newCompany(t *testing.T, name string) *company {
	t.Helper()
	return newCompanyOn(t, set, name)
}

func newCompanyOn(t *testing.T, s *stage.Stage, name string) *company {
	t.Helper()
	return newCompanyWithID(t, s, newID(name))
}

func newCompanyWithID(t *testing.T, s *stage.Stage, id string) *company {
	t.Helper()
	c := &company{stage: s, id: id}
	if _, err := s.Platform.AddCompany(rehivetest.Company{ID: id, Name: "Company " + id, SystemEmail: "no-reply@" + id + ".example"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.customer, err = s.Platform.AddUser(id, rehivetest.User{Email: "customer@" + id + ".example", Mobile: "+27820001111", FirstName: "Thandi", LastName: "Mokoena"}); err != nil {
		t.Fatal(err)
	}
	c.plant()
	if c.service, err = s.Platform.AddService(id, rehivetest.Service{Name: "Notifications", URL: s.Manager.PublicURL + "/api/"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Platform.Activate(t.Context(), id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	c.refresh(t)
	if _, err := s.ReadyRule(t.Context(), []byte(rule(c.activation, "alert", event))); err != nil {
		t.Fatal(err)
	}
	if err := s.Webhook(t.Context(), id, event); err != nil {
		t.Fatal(err)
	}
	return c
}

// plant registers the company's confidential data as evidence. It must be called before the
// platform replaces a token.
func (c *company) plant() {
	evidence.Plant(c.customer.Token, "the token of a customer of "+c.id)
	evidence.Plant(c.customer.Email, "a customer's address")
	evidence.Plant("27820001111", "a customer's phone number")
	evidence.Plant("Thandi", "a customer's name")
	evidence.Plant("Mokoena", "a customer's name")
	evidence.Plant(c.secret, "the webhook secret of "+c.id)
	for _, service := range c.stage.Platform.Services(c.id) {
		evidence.Plant(service.Token, "the service token of "+c.id)
	}
}

// rotate makes the platform replace the company's token.
func (c *company) rotate(t *testing.T) {
	t.Helper()
	c.plant()
	if err := c.stage.Platform.RotateToken(t.Context(), c.id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	c.plant()
}

// refresh waits until the company's activation is Ready and reads it and its
// webhook secret.
func (c *company) refresh(t *testing.T) {
	t.Helper()
	var err error
	if c.activation, err = c.stage.ReadyActivation(t.Context(), c.id); err != nil {
		t.Fatalf("%v\n%s", err, c.stage.Manager.LogTail())
	}
	secret, err := c.stage.Secret(t.Context(), c.activation)
	if err != nil {
		t.Fatal(err)
	}
	c.secret = string(secret.Data[v1alpha1.SecretKeyWebhookSecret])
	c.plant()
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

// send calls the webhook like the platform and returns the status, or 0 if there was no
// answer.
func (c *company) send(ctx context.Context, id, text string) int {
	return c.sendTo(ctx, c.stage.Manager.PublicURL, id, text)
}

func (c *company) sendTo(ctx context.Context, base, id, text string) int {
	body, err := json.Marshal(map[string]any{
		"id": id, "event": event, "company": c.id,
		"data": map[string]any{"text": text, "status": "open", "user": map[string]any{"id": c.customer.ID, "email": c.customer.Email, "first_name": c.customer.FirstName}},
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(ctx, platformTimeout)
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
	answer, _ := io.ReadAll(response.Body)
	evidence.Keep(stage.EvidenceAnswers, answer)
	return response.StatusCode
}

// platformTimeout is how long the platform waits for the answer to a webhook.
const platformTimeout = 5 * time.Second

// text returns the subject of a company's n-th email.
func (c *company) text(n int) string { return fmt.Sprintf("%s %d", c.id, n) }
