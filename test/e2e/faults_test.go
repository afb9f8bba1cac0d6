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

// restart ends the manager and starts it again.
func restart(t *testing.T, end func() error) {
	t.Helper()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := set.Manager.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A manager that is killed at any moment loses no event that it acknowledged.
// One that is stopped also finishes what it has begun.
func testEndedManagerLosesNothing(t *testing.T) {
	c := newCompany(t, "killed")
	rounds := 2
	if chaos {
		rounds = 50
	}
	load := c.startLoad(t, set.Manager.ServeURL)
	var kills []span
	for range rounds {
		load.more(t, 30)
		kill, err := during(set.Manager.Kill)
		if err != nil {
			t.Fatal(err)
		}
		kills = append(kills, kill)
		if err := set.Manager.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load.more(t, 30)
	restart(t, set.Manager.Stop)
	load.more(t, 30)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	t.Logf("%s; %d kills; %d messages came twice", load, len(kills), c.checkDuplicates(t, maxInFlight, kills...))
}

// The platform may repeat an event at any time. Each rule and recipient gets its
// message once.
func testSameEventIsProcessedOnce(t *testing.T) {
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
					t.Errorf("answered %d", status)
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
				return fmt.Errorf("%d of %d came", came, 1+len(copies))
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
		// An event that came later and is mailed shows that the earlier ones are done.
		later := c.text(2 + i)
		c.send(t.Context(), fmt.Sprint("later-", i), later)
		allMailed(later)
	}
	if n := len(c.mails(t, c.text(1))); n != 1 {
		t.Errorf("the one rule's email came %d times", n)
	}
	var to []string
	for _, message := range c.mails(t, c.text(1)+" copy") {
		to = append(to, message.To...)
	}
	slices.Sort(to)
	if !slices.Equal(to, copies) {
		t.Errorf("the other rule's email went to %v, want %v", to, copies)
	}
}

// Events are accepted and delivered while the API server is away; what was
// changed is caught up with afterwards.
func testAPIServerAway(t *testing.T) {
	c := newCompany(t, "away")
	set.Manager.APILink.Cut()
	status := c.send(t.Context(), "while-away", c.text(1))
	mailed := set.Eventually(t.Context(), "the email", func() error {
		if len(c.mails(t, c.text(1))) == 0 {
			return fmt.Errorf("it has not come")
		}
		return nil
	})
	set.Manager.APILink.Mend()
	if status != http.StatusOK {
		t.Errorf("the webhook was answered %d", status)
	}
	if mailed != nil {
		t.Error(mailed)
	}
	if _, err := set.ReadyRule(t.Context(), []byte(rule(c.activation, "later", "alert.update"))); err != nil {
		t.Fatal(err)
	}
	if err := set.Webhook(t.Context(), c.id, "alert.update"); err != nil {
		t.Fatal(err)
	}
}

// refuseMail has the mail server put off all mails until the end of the test or
// until letGo; refused counts them.
func refuseMail(t *testing.T) (refused *atomic.Int64, letGo func()) {
	refused = new(atomic.Int64)
	set.Mail.Respond(func(at smtptest.Stage, _ string) *smtptest.Reply {
		if at != smtptest.StageRcpt {
			return nil
		}
		refused.Add(1)
		return &smtptest.Reply{Code: 451, Text: "4.3.0 Try again later"}
	})
	letGo = func() { set.Mail.Respond(nil) }
	t.Cleanup(letGo)
	return refused, letGo
}

func atLeast(count *atomic.Int64, n int64) func() error {
	return func() error {
		if got := count.Load(); got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	}
}

// While the mail server is away, events are accepted; when it is back, each is
// mailed once.
func testMailServerAway(t *testing.T) {
	c := newCompany(t, "no-mail")
	set.Mail.Respond(func(smtptest.Stage, string) *smtptest.Reply { return &smtptest.Reply{Drop: true} })
	t.Cleanup(func() { set.Mail.Respond(nil) })
	// Five failures in a row open the circuit breaker, for half a minute.
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
			t.Errorf("answered %d", status)
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
		t.Fatalf("%d mails came from a mail server that is away", len(mailed))
	}
	set.Mail.Respond(nil)
	c.waitMailed(t, texts...)
	c.checkDuplicates(t, maxInFlight)
}

// What was decided when the event came is what is sent, whatever becomes of the
// rule meanwhile.
func testDecisionOutlivesItsRule(t *testing.T) {
	edited, deleted := newCompany(t, "rule-edited"), newCompany(t, "rule-deleted")
	letGo := decideAndHold(t, edited, deleted)
	changed := strings.Replace(rule(edited.activation, "alert", event), `"{{ text }}"`, `"{{ text }} changed"`, 1)
	if _, err := set.ReadyRule(t.Context(), []byte(changed)); err != nil {
		t.Fatal(err)
	}
	held := &v1alpha1.NotificationRule{}
	held.Namespace, held.Name = deleted.activation.Namespace, deleted.activation.Name+"-alert"
	if err := set.Kube.Delete(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	letGo()
	for _, c := range []*company{edited, deleted} {
		c.waitMailed(t, c.text(1))
		if mailed := c.mailed(t); len(mailed) != 1 {
			t.Errorf("to the customer of %s came %v", c.id, mailed)
		}
		c.checkDuplicates(t, maxInFlight)
	}
	// A new event meets the rule as it is now.
	edited.send(t.Context(), "later", edited.text(2))
	edited.waitMailed(t, edited.text(2)+" changed")
}

// What was decided is not sent any more when the company has gone.
func testEndOfCompanyStopsWhatWasDecided(t *testing.T) {
	inactive, gone, purged := newCompany(t, "deactivated"), newCompany(t, "declared-no-more"), newCompany(t, "removed")
	all := []*company{inactive, gone, purged}
	letGo := decideAndHold(t, all...)
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
	// A purged object goes when what was stored of it is gone, another at once.
	if err := set.Eventually(t.Context(), "two of the companies to be gone", func() error {
		for _, c := range []*company{gone, purged} {
			var list v1alpha1.CompanyActivationList
			if err := set.Kube.List(t.Context(), &list, client.MatchingFields{"spec.company": c.id}); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("%s is still there", c.id)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	letGo()
	if err := set.Eventually(t.Context(), "the delivery of the inactive company to be cancelled", func() error {
		if n := metric(t, cancellations); n <= cancelled {
			return errors.New("it is not")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if mailed := c.mailed(t); len(mailed) > 0 {
			t.Errorf("to the customer of %s came %v", c.id, mailed)
		}
	}
}

// testDeletedWithoutOperator deletes an activation while the manager is stopped, as an
// uninstallation in any order does. Nothing keeps the object, and what was decided for
// its company is not sent when a manager runs again.
func testDeletedWithoutOperator(t *testing.T) {
	c := newCompany(t, "uninstalled")
	letGo := decideAndHold(t, c)
	if err := set.Manager.Stop(); err != nil {
		t.Fatal(err)
	}
	deleted := set.Kube.Delete(t.Context(), c.activation)
	var left v1alpha1.CompanyActivation
	if err := set.Kube.Get(t.Context(), client.ObjectKeyFromObject(c.activation), &left); !apierrors.IsNotFound(err) {
		t.Errorf("the activation is still there (%v), with the finalizers %v", err, left.Finalizers)
	}
	if err := errors.Join(deleted, set.Manager.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	letGo()
	if err := set.Eventually(t.Context(), "the delivery to be cancelled", func() error {
		if metric(t, `rehive_extension_delivery_attempts_total{channel="email",outcome="cancelled"}`) == 0 {
			return errors.New("it is not")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if mailed := c.mailed(t); len(mailed) > 0 {
		t.Errorf("to the customer came %v", mailed)
	}
}

// decideAndHold sends each company an event whose message the mail server puts off
// until letGo. There are few: five failures in a row would open the circuit breaker.
func decideAndHold(t *testing.T, companies ...*company) (letGo func()) {
	t.Helper()
	refused, letGo := refuseMail(t)
	for _, c := range companies {
		if status := c.send(t.Context(), "decided", c.text(1)); status != http.StatusOK {
			t.Fatalf("answered %d", status)
		}
	}
	if err := set.Eventually(t.Context(), "each message to be tried", atLeast(refused, int64(len(companies)))); err != nil {
		t.Fatal(err)
	}
	return letGo
}

// metric reads a value of the manager's metrics page; 0 if it isn't there.
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

// While the platform's API is away, events are accepted, what needs no lookup is
// sent at once, and what needs one waits for it.
func testPlatformAway(t *testing.T) {
	c := newCompany(t, "no-platform")
	addFeeRule(t, c)
	remove := set.Platform.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultStatus, Status: http.StatusBadGateway})
	defer remove()
	load := c.startLoad(t, set.Manager.ServeURL)
	addTransaction(t, c)
	load.more(t, 100)
	if chaos {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			load.more(t, 100)
		}
	}
	restart(t, set.Manager.Stop)
	load.more(t, 30)
	c.waitMailed(t, load.end()...)
	load.checkAnswers(t, 0, http.StatusServiceUnavailable)
	if n := len(c.mails(t, c.id+" fee -0.25")); n > 0 {
		t.Error("a fee was told though the platform could not be asked")
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

// When the company's token expires, what needs it waits, the activation says so,
// and a new token sends all of it, once.
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
	// What doesn't need the token goes on.
	c.send(t.Context(), "plain", c.text(1))
	c.waitMailed(t, c.text(1))
	if err := set.Eventually(t.Context(), "the activation to say that the token is refused", func() error {
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
		t.Errorf("%d messages came that need the token", n)
	}
	c.rotate(t)
	c.waitMailed(t, c.id+" fee -0.25")
	if err := set.Eventually(t.Context(), "the push message", func() error {
		if len(expo.Received()) == 0 {
			return fmt.Errorf("it has not come")
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, set.Manager.LogTail())
	}
	c.refresh(t)
	c.checkDuplicates(t, maxInFlight)
	if n := len(expo.Received()); n != 1 {
		t.Errorf("the push message came %d times", n)
	}
}

// addPushRule gives the company an Expo of its own and a rule that tells the
// customer's devices of each event.
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

// A damaged ledger is refused with a sentence that says the way out, and left as
// it is. A backup brings back all that was accepted.
func testDamagedLedgerIsRefused(t *testing.T) {
	c := newCompany(t, "damaged")
	c.send(t.Context(), "before", c.text(1))
	c.waitMailed(t, c.text(1))
	refused, letGo := refuseMail(t)
	c.send(t.Context(), "pending", c.text(2))
	if err := set.Eventually(t.Context(), "the message to be tried", atLeast(refused, 1)); err != nil {
		t.Fatal(err)
	}
	if err := set.Manager.Stop(); err != nil {
		t.Fatal(err)
	}
	letGo()
	path := set.Manager.Ledger()
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Fatal("a manager that stopped leaves its log beside the ledger")
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
				t.Errorf("the manager said %s", said)
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

// probe asks the manager's readiness as Kubernetes does, and returns what it says.
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
