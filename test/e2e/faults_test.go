// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// restart ends the manager with end and starts it again.
func restart(t *testing.T, end func() error) {
	t.Helper()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := set.Manager.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// testRestartLosesNothing checks that a manager that is killed at any moment doesn't lose
// an acknowledged event, and that one that is stopped also finishes work in progress.
func testRestartLosesNothing(t *testing.T) {
	c := newCompany(t, "killed")
	rounds := 2
	if chaos {
		rounds = 50
	}
	load := c.startLoad(t, set.Manager.ServeURL)
	var kills []span
	for range rounds {
		load.waitMore(t, 30)
		kill, err := timed(set.Manager.Kill)
		if err != nil {
			t.Fatal(err)
		}
		kills = append(kills, kill)
		if err := set.Manager.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load.waitMore(t, 30)
	restart(t, set.Manager.Stop)
	load.waitMore(t, 30)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	t.Logf("%s; %d kills; %d messages arrived twice", load, len(kills), c.checkDuplicates(t, maxInFlight, kills...))
}

// testRepeatedEventIsProcessedOnce checks that each rule sends one message to each
// recipient even if the platform repeats the event.
func testRepeatedEventIsProcessedOnce(t *testing.T) {
	c := newCompany(t, "repeated")
	text := strings.Replace(rule(c.activation, "copies", event), `"{{ text }}"`, `"{{ text }} copy"`, 1)
	text = strings.Replace(text, `"{{ user.email }}"`, `"{{ user.email }}, first@`+c.id+`.example; second@`+c.id+`.example, First@`+c.id+`.example"`, 1)
	if _, err := set.ReadyRule(t.Context(), []byte(text)); err != nil {
		t.Fatal(err)
	}
	repeat := func() {
		t.Helper()
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if status := c.send(t.Context(), "the-same", c.text(1)); status != http.StatusOK {
					t.Errorf("answered with %d", status)
				}
			})
		}
		wait.Wait()
	}
	copies := []string{c.customer.Email, "first@" + c.id + ".example", "second@" + c.id + ".example"}
	allMailed := func(text string) {
		t.Helper()
		if err := set.Eventually(t.Context(), "the emails", func() error {
			if came := len(c.mails(t, text)) + len(c.mails(t, text+" copy")); came < 1+len(copies) {
				return fmt.Errorf("%d of %d arrived", came, 1+len(copies))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	repeat()
	allMailed(c.text(1))
	for i, end := range []func() error{set.Manager.Stop, set.Manager.Kill} {
		restart(t, end)
		repeat()
		// A later event that has been mailed shows that the earlier ones are done.
		later := c.text(2 + i)
		c.send(t.Context(), fmt.Sprint("later-", i), later)
		allMailed(later)
	}
	if n := len(c.mails(t, c.text(1))); n != 1 {
		t.Errorf("the first rule's email arrived %d times", n)
	}
	var to []string
	for _, message := range c.mails(t, c.text(1)+" copy") {
		to = append(to, message.To...)
	}
	slices.Sort(to)
	if !slices.Equal(to, copies) {
		t.Errorf("the second rule's email went to %v, want %v", to, copies)
	}
}

// testAPIServerUnavailable checks that events are accepted and delivered while the API
// server is unavailable, whether it refuses connections or hangs, and that the manager
// catches up with changes afterwards.
func testAPIServerUnavailable(t *testing.T) {
	for name, fail := range map[string]func(){"killed": set.Manager.APILink.Cut, "hanging": set.Manager.APILink.Stall} {
		t.Run(name, func(t *testing.T) {
			c := newCompany(t, "away-"+name)
			t.Cleanup(set.Manager.APILink.Restore)
			fail()
			c.sendDuringOutage(t, time.Now(), set.Manager)
			set.Manager.APILink.Restore()
			c.catchUp(t)
		})
	}
}

// outagePace is the time between two events during an outage.
const outagePace = 100 * time.Millisecond

// persistent returns the failures of a check that fails three times in a row, a second apart, like
// Kubernetes' probes. On a busy machine, an answer is late now and then.
func persistent(check func() error) (failures error) {
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for range 3 {
		err := check()
		if err == nil {
			return nil
		}
		failures = errors.Join(failures, err)
		<-pause.C
	}
	return failures
}

// sendToReady sends an event to a manager, and repeats it like the platform. The manager must accept
// it and be ready.
func (c *company) sendToReady(t *testing.T, manager *stage.Manager, text string) error {
	t.Helper()
	return errors.Join(
		persistent(func() error {
			if status := c.sendTo(t.Context(), manager.ServeURL, text, text); status != http.StatusOK {
				return fmt.Errorf("a webhook was answered with %d", status)
			}
			return nil
		}),
		persistent(func() error { return manager.Ready(t.Context()) }))
}

// sendDuringOutage sends an event to each of the managers in turn until the outage, which
// began at a time, is over. All must be accepted and mailed, and the managers must be ready.
func (c *company) sendDuringOutage(t *testing.T, began time.Time, managers ...*stage.Manager) {
	t.Helper()
	var texts []string
	tick := time.NewTicker(outagePace)
	defer tick.Stop()
	for n := 0; n < 2*len(managers) || time.Since(began) < outage; n++ {
		manager, text := managers[n%len(managers)], fmt.Sprintf("%s outage-%d", c.id, n)
		if err := c.sendToReady(t, manager, text); err != nil {
			t.Fatalf("%s after the outage began: %v\n%s", time.Since(began), err, manager.LogTail())
		}
		texts = append(texts, text)
		<-tick.C
	}
	c.waitMailed(t, texts...)
	t.Logf("%d events were accepted and mailed within %s", len(texts), time.Since(began).Round(time.Second))
}

// catchUp checks that the reconcilers resume after an outage.
func (c *company) catchUp(t *testing.T) {
	t.Helper()
	if _, err := c.stage.ReadyRule(t.Context(), []byte(rule(c.activation, "later", "alert.update"))); err != nil {
		t.Fatalf("the reconcilers did not resume: %v", err)
	}
	if err := c.stage.Webhook(t.Context(), c.id, "alert.update"); err != nil {
		t.Fatal(err)
	}
}

// refuseMail makes the mail server defer all emails until acceptMail is called or the test
// ends; refused counts them.
func refuseMail(t *testing.T) (refused *atomic.Int64, acceptMail func()) {
	refused = new(atomic.Int64)
	set.Mail.Respond(func(at smtptest.Stage, _ string) *smtptest.Reply {
		if at != smtptest.StageRcpt {
			return nil
		}
		refused.Add(1)
		return &smtptest.Reply{Code: 451, Text: "4.3.0 Try again later"}
	})
	acceptMail = func() { set.Mail.Respond(nil) }
	t.Cleanup(acceptMail)
	return refused, acceptMail
}

func atLeast(count *atomic.Int64, n int64) func() error {
	return func() error {
		if got := count.Load(); got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	}
}

// testMailServerUnavailable checks that events are accepted while the mail server is
// unavailable, and that each is mailed once afterwards.
func testMailServerUnavailable(t *testing.T) {
	c := newCompany(t, "no-mail")
	set.Mail.Respond(func(smtptest.Stage, string) *smtptest.Reply { return &smtptest.Reply{Drop: true} })
	t.Cleanup(func() { set.Mail.Respond(nil) })
	// Five consecutive failures open the circuit breaker for half a minute.
	messages, failures := 4, 4.0
	if chaos {
		messages, failures = 50, 7
	}
	const retried = `rehive_extension_delivery_attempts_total{channel="email",outcome="retried"}`
	before := metric(t, retried)
	var texts []string
	for n := range messages {
		texts = append(texts, c.text(n))
		if status := c.send(t.Context(), fmt.Sprint("event-", n), c.text(n)); status != http.StatusOK {
			t.Errorf("answered with %d", status)
		}
	}
	if err := set.Eventually(t.Context(), "the sends to fail", func() error {
		if n := metric(t, retried) - before; n < failures {
			return fmt.Errorf("%v of %v failed", n, failures)
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, set.Manager.LogTail())
	}
	if mailed := c.mailed(t); len(mailed) > 0 {
		t.Fatalf("%d emails arrived from an unavailable mail server", len(mailed))
	}
	set.Mail.Respond(nil)
	c.waitMailed(t, texts...)
	c.checkDuplicates(t, maxInFlight)
}

// testRuleChangeKeepsDecidedMessages checks that messages are sent as decided when the
// event arrived, even if the rule changes meanwhile.
func testRuleChangeKeepsDecidedMessages(t *testing.T) {
	edited, deleted := newCompany(t, "rule-edited"), newCompany(t, "rule-deleted")
	acceptMail := decideWhileMailIsRefused(t, edited, deleted)
	changed := strings.Replace(rule(edited.activation, "alert", event), `"{{ text }}"`, `"{{ text }} changed"`, 1)
	if _, err := set.ReadyRule(t.Context(), []byte(changed)); err != nil {
		t.Fatal(err)
	}
	held := &v1alpha1.NotificationRule{}
	held.Namespace, held.Name = deleted.activation.Namespace, deleted.activation.Name+"-alert"
	if err := set.Kube.Delete(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	acceptMail()
	for _, c := range []*company{edited, deleted} {
		c.waitMailed(t, c.text(1))
		if mailed := c.mailed(t); len(mailed) != 1 {
			t.Errorf("the customer of %s received %v", c.id, mailed)
		}
		c.checkDuplicates(t, maxInFlight)
	}
	// A new event uses the current rule.
	edited.send(t.Context(), "later", edited.text(2))
	edited.waitMailed(t, edited.text(2)+" changed")
}

// testEndOfCompanyCancelsPendingMessages checks that pending messages are not sent once the
// company has left.
func testEndOfCompanyCancelsPendingMessages(t *testing.T) {
	inactive, gone, purged := newCompany(t, "deactivated"), newCompany(t, "declared-no-more"), newCompany(t, "removed")
	all := []*company{inactive, gone, purged}
	acceptMail := decideWhileMailIsRefused(t, all...)
	const cancellations = `rehive_extension_delivery_attempts_total{channel="email",outcome="cancelled"}`
	cancelled := metric(t, cancellations)
	if err := set.Platform.Deactivate(t.Context(), inactive.id, inactive.service.ID); err != nil {
		t.Fatal(err)
	}
	if err := set.Kube.Delete(t.Context(), gone.activation); err != nil {
		t.Fatal(err)
	}
	purged.plant()
	if err := set.Platform.RemoveCompany(t.Context(), purged.id); err != nil {
		t.Fatal(err)
	}
	// A purged object is deleted after its data, others immediately.
	if err := set.Eventually(t.Context(), "two of the companies to be deleted", func() error {
		for _, c := range []*company{gone, purged} {
			var list v1alpha1.CompanyActivationList
			if err := set.Kube.List(t.Context(), &list, client.MatchingFields{"spec.company": c.id}); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("%s still exists", c.id)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	acceptMail()
	if err := set.Eventually(t.Context(), "the delivery of the inactive company to be cancelled", func() error {
		if n := metric(t, cancellations); n <= cancelled {
			return errors.New("it is still pending")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if mailed := c.mailed(t); len(mailed) > 0 {
			t.Errorf("the customer of %s received %v", c.id, mailed)
		}
	}
}

// testDeletedWithoutOperator deletes an activation while the manager is stopped, as an
// uninstallation may do. Nothing may block the deletion, and pending messages of its
// company must not be sent when a manager runs again.
func testDeletedWithoutOperator(t *testing.T) {
	c := newCompany(t, "uninstalled")
	acceptMail := decideWhileMailIsRefused(t, c)
	if err := set.Manager.Stop(); err != nil {
		t.Fatal(err)
	}
	deleted := set.Kube.Delete(t.Context(), c.activation)
	var left v1alpha1.CompanyActivation
	if err := set.Kube.Get(t.Context(), client.ObjectKeyFromObject(c.activation), &left); !apierrors.IsNotFound(err) {
		t.Errorf("the activation still exists (%v), with the finalizers %v", err, left.Finalizers)
	}
	if err := errors.Join(deleted, set.Manager.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	acceptMail()
	if err := set.Eventually(t.Context(), "the delivery to be cancelled", func() error {
		if metric(t, `rehive_extension_delivery_attempts_total{channel="email",outcome="cancelled"}`) == 0 {
			return errors.New("it is still pending")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if mailed := c.mailed(t); len(mailed) > 0 {
		t.Errorf("the customer received %v", mailed)
	}
}

// decideWhileMailIsRefused sends each company an event whose message the mail server defers
// until acceptMail is called. There must be few companies: five consecutive failures would
// open the circuit breaker.
func decideWhileMailIsRefused(t *testing.T, companies ...*company) (acceptMail func()) {
	t.Helper()
	refused, acceptMail := refuseMail(t)
	for _, c := range companies {
		if status := c.send(t.Context(), "decided", c.text(1)); status != http.StatusOK {
			t.Fatalf("answered with %d", status)
		}
	}
	if err := set.Eventually(t.Context(), "each message to be tried", atLeast(refused, int64(len(companies)))); err != nil {
		t.Fatal(err)
	}
	return acceptMail
}

// metric reads a metric of the manager; 0 if it doesn't exist.
func metric(t *testing.T, name string) (value float64) {
	t.Helper()
	page, err := set.Manager.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	evidence.Keep(stage.EvidenceMetrics, []byte(page))
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return value
}

// testPlatformUnavailable checks that, while the platform's API is unavailable, events are
// accepted, messages that need no lookup are sent immediately, and messages that need one
// wait.
func testPlatformUnavailable(t *testing.T) {
	c := newCompany(t, "no-platform")
	addFeeRule(t, c)
	remove := set.Platform.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: http.StatusBadGateway})
	defer remove()
	load := c.startLoad(t, set.Manager.ServeURL)
	addTransaction(t, c)
	load.waitMore(t, 100)
	if chaos {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			load.waitMore(t, 100)
		}
	}
	restart(t, set.Manager.Stop)
	load.waitMore(t, 30)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	if n := len(c.mails(t, c.id+" fee -0.25")); n > 0 {
		t.Error("an email with a fee was sent although the platform is unavailable")
	}
	remove()
	c.waitMailed(t, c.id+" fee -0.25")
	c.checkDuplicates(t, maxInFlight)
	c.refresh(t)
}

// addFeeRule adds a rule to the company whose email needs the children of a
// transaction, which only the platform knows.
func addFeeRule(t *testing.T, c *company) {
	t.Helper()
	text := strings.NewReplacer(`"{{ text }}"`, `"`+c.id+` fee {{ computed.fee|money:currency.divisibility }}"`, "'{{ status }}' != 'ignored'", "'{{ parent }}' == 'None'").
		Replace(rule(c.activation, "fee", "transaction.execute"))
	if _, err := set.ReadyRule(t.Context(), []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := set.Webhook(t.Context(), c.id, "transaction.execute"); err != nil {
		t.Fatal(err)
	}
}

func addTransaction(t *testing.T, c *company) {
	t.Helper()
	if _, err := set.Platform.AddTransaction(c.id, rehivetest.NewTransaction{
		User: c.customer.ID, TxType: "debit", Currency: "USD", Amount: big.NewInt(1050),
		Children: []rehivetest.Child{{Amount: big.NewInt(-25)}},
	}); err != nil {
		t.Fatal(err)
	}
}

// testTokenExpires checks that messages that need an expired token wait, that the
// activation reports it, and that they are sent once after the token is replaced.
func testTokenExpires(t *testing.T) {
	c := newCompany(t, "expired")
	addFeeRule(t, c)
	expo := addPushRule(t, c)
	service, err := set.Platform.Service(c.id, c.service.ID)
	if err != nil {
		t.Fatal(err)
	}
	c.plant()
	set.Platform.RevokeToken(service.Token)
	const retriedEvents = `rehive_extension_events_dispatched_total{outcome="retried"}`
	const postponedPushes = `rehive_extension_delivery_attempts_total{channel="push",outcome="postponed"}`
	events, pushes := metric(t, retriedEvents), metric(t, postponedPushes)
	addTransaction(t, c)
	// Messages that don't need the token are sent.
	c.send(t.Context(), "plain", c.text(1))
	c.waitMailed(t, c.text(1))
	if err := set.Eventually(t.Context(), "the activation to report the refused token", func() error {
		a, err := set.Activation(t.Context(), c.id)
		if err != nil {
			return err
		}
		if metric(t, retriedEvents) == events || metric(t, postponedPushes) == pushes {
			return errors.New("the event and the push message were not tried yet")
		}
		if !meta.IsStatusConditionFalse(a.Status.Conditions, v1alpha1.TokenValidCondition) {
			return fmt.Errorf("its conditions are %v", a.Status.Conditions)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := len(c.mails(t, c.id+" fee -0.25")) + len(expo.Received()); n > 0 {
		t.Errorf("%d messages that need the token were sent", n)
	}
	c.rotate(t)
	c.waitMailed(t, c.id+" fee -0.25")
	if err := set.Eventually(t.Context(), "the push message", func() error {
		if len(expo.Received()) == 0 {
			return fmt.Errorf("it has not arrived")
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, set.Manager.LogTail())
	}
	c.refresh(t)
	c.checkDuplicates(t, maxInFlight)
	if n := len(expo.Received()); n != 1 {
		t.Errorf("the push message arrived %d times", n)
	}
}

// addPushRule adds an Expo provider, and a rule that sends each event to the customer's
// devices.
func addPushRule(t *testing.T, c *company) *providertest.Expo {
	t.Helper()
	token := "ExponentPushToken[" + c.id + "]"
	evidence.Plant(token, "a device's token")
	if _, err := set.Platform.AddDevice(c.id, c.customer.ID, rehivetest.Device{Name: "phone", Tokens: []string{token}}); err != nil {
		t.Fatal(err)
	}
	expo := providertest.NewExpo("")
	for _, text := range []string{
		fmt.Sprintf("{%s, kind: DeliveryProvider, metadata: {namespace: %s, name: %s-push}, spec: {expo: {baseURL: '%s'}}}", apiVersion, stage.Namespace, c.id, serve(t, expo.API)),
		fmt.Sprintf("{%s, kind: NotificationRule, metadata: {namespace: %s, name: %s-push}, spec: {companyRef: {name: %s}, displayName: Push, event: %s, push: {toUser: '{{ user.id }}', title: Paid, message: Paid}}}", apiVersion, stage.Namespace, c.id, c.activation.Name, event),
	} {
		if _, err := set.Apply(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	before := c.activation.DeepCopy()
	c.activation.Spec.Providers.Push = &v1alpha1.DeliveryProviderReference{Name: c.id + "-push"}
	if err := set.Kube.Patch(t.Context(), c.activation, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	var provider v1alpha1.DeliveryProvider
	if err := set.Eventually(t.Context(), "the provider of push messages", func() error {
		if err := set.Kube.Get(t.Context(), client.ObjectKey{Namespace: stage.Namespace, Name: c.id + "-push"}, &provider); err != nil {
			return err
		}
		return stage.Ready(provider.Status.Conditions, provider.Generation)
	}); err != nil {
		t.Fatal(err)
	}
	return expo
}

// testDamagedLedgerIsRefused checks that a damaged ledger is refused with an error that
// says what to do, that it is left unchanged, and that a backup restores all accepted
// events.
func testDamagedLedgerIsRefused(t *testing.T) {
	c := newCompany(t, "damaged")
	c.send(t.Context(), "before", c.text(1))
	c.waitMailed(t, c.text(1))
	refused, acceptMail := refuseMail(t)
	c.send(t.Context(), "pending", c.text(2))
	if err := set.Eventually(t.Context(), "the message to be tried", atLeast(refused, 1)); err != nil {
		t.Fatal(err)
	}
	if err := set.Manager.Stop(); err != nil {
		t.Fatal(err)
	}
	acceptMail()
	path := set.Manager.Ledger()
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Fatal("a stopped manager left its write-ahead log beside the ledger")
	}
	damagedLedger := "the ledger " + path + " is damaged and was left as it is: restore it from a backup"
	for name, test := range map[string]struct {
		damage   func(ledger []byte) []byte
		sentence string
	}{
		"another file": {
			func(ledger []byte) []byte { return append([]byte("not a database"), ledger[14:]...) },
			"the file " + path + " is not a SQLite database and was left as it is",
		},
		"cut off":       {func(ledger []byte) []byte { return ledger[:len(ledger)/2] }, damagedLedger},
		"blank in part": {func(ledger []byte) []byte { clear(ledger[4096 : len(ledger)/2]); return ledger }, damagedLedger},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := test.damage(slices.Clone(backup))
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			said, err := set.Manager.StartRefused(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(said, test.sentence) != 1 || strings.Contains(said, "goroutine") {
				t.Errorf("the manager's output is %s", said)
			}
			left, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(left, damaged) {
				t.Error("the file was changed")
			}
		})
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Clean(path), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := set.Manager.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.waitMailed(t, c.text(2))
	c.checkDuplicates(t, maxInFlight)
}

// probe checks the manager's readiness like Kubernetes, and returns its answer.
func probe(ctx context.Context, m *stage.Manager) (ready bool, said string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.ProbeURL+"/readyz?verbose", nil)
	if err != nil {
		return false, err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	evidence.Keep(stage.EvidenceAnswers, text)
	return response.StatusCode == http.StatusOK, string(text)
}
