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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// hostileStage is a stage whose manager has the memory of a container with a gigabyte, and
// is killed by a certain event until that is disabled.
type hostileStage struct {
	*stage.Stage
	antidote string
}

func newHostileStage(t *testing.T) *hostileStage {
	t.Helper()
	state := t.TempDir()
	// Without the race detector, which multiplies memory usage.
	program := build(t, "manager-poison", "-tags=e2e_poison")
	w := &hostileStage{antidote: filepath.Join(state, "antidote")}
	options := stageOptions(filepath.Join(state, "stage"), program)
	if err := os.Mkdir(options.State, 0o700); err != nil {
		t.Fatal(err)
	}
	options.ManagerEnvironment = []string{"E2E_ANTIDOTE=" + w.antidote, "GOMEMLIMIT=717MiB"}
	var err error
	if w.Stage, err = stage.Start(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, w.Stage)
	return w
}

// TestHostileEvents checks that hostile events of one company don't affect the others.
func TestHostileEvents(t *testing.T) {
	t.Parallel()
	w := newHostileStage(t)
	t.Run("memory", w.testMemory)
	t.Run("poison", w.testPoison)
}

// poster makes each call over a new connection: a server may close an idle one at any time,
// and a call that meets that fails.
var poster = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// post sends an event, like the platform, until it is accepted or permanently refused. It
// returns the last status, or 0 if there was none, and the failures before that.
func (c *company) post(ctx context.Context, id string, data []byte) (status int, failures []string) {
	body := fmt.Appendf(nil, `{"id":%q,"event":%q,"company":%q,"data":%s}`, id, event, c.id, data)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.stage.Manager.PublicURL+"/api/webhook/", bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		request.Header.Set("Authorization", "Secret "+c.secret)
		request.Header.Set("Content-Type", "application/json")
		response, err := poster.Do(request)
		// A call that got no answer is not counted as a failure: on a busy machine, this client
		// exceeds the server's time limits.
		if err == nil {
			answer, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if code := response.StatusCode; code == http.StatusOK || code == http.StatusRequestEntityTooLarge || code == http.StatusBadRequest {
				return code, failures
			}
			failures = append(failures, fmt.Sprintf("%s %s", response.Status, answer))
		}
		select {
		case <-ctx.Done():
			return 0, failures
		case <-time.After(200 * time.Millisecond): // like the platform, but sooner
		}
	}
}

// testMemory sends many of the worst bodies at once. The manager must stay within its
// memory, and another company's messages must overtake the flood.
func (w *hostileStage) testMemory(t *testing.T) {
	const maxPeak, size = 800 << 20, 1<<20 - 1024
	bodies := 128
	if chaos {
		bodies = 512
	}
	quiet := newCompanyOn(t, w.Stage, "quiet")
	var attackers []*company
	for range 5 {
		attackers = append(attackers, newCompanyOn(t, w.Stage, "large"))
	}
	fill := func(start string, end string) []byte {
		return []byte(start + strings.Repeat("x", size-len(start)-len(end)) + end)
	}
	user := fmt.Sprintf(`"user":{"email":%q},"status":"open"`, "nobody@large.example")
	worst := [][]byte{
		// Just too many values for the server.
		[]byte(`{"a":[` + strings.Repeat("{},", size/3-100) + `{}]}`),
		// The maximum number of values, and text.
		fill(`{`+user+`,"text":"large","a":[`+strings.Repeat("{},", 99_000)+`{}],"b":"`, `"}`),
		fill(`{`+user+`,"text":"large","a":[`+strings.Repeat(`{"":1},`, 33_000)+`{}],"b":"`, `"}`),
		// A large message.
		[]byte(`{` + user + `,"text":"` + strings.Repeat("<x>", 100_000) + `"}`),
	}
	// Each kind except the first becomes an email.
	flood, started := bodies*3/4, w.Mail.Count()

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var posting sync.WaitGroup
	for i := range bodies {
		attacker := attackers[0]
		if i%2 == 1 {
			attacker = attackers[i/2%len(attackers)]
		}
		posting.Go(func() {
			kind := i % len(worst)
			status, _ := attacker.post(ctx, fmt.Sprint("large-", i), worst[kind])
			if want := map[bool]int{true: http.StatusRequestEntityTooLarge, false: http.StatusOK}[kind == 0]; status != want {
				t.Errorf("body %d of kind %d was answered %d, want %d", i, kind, status, want)
			}
		})
	}
	// Meanwhile, the quiet company sends one event after another. The number of the flood's
	// emails between the answer to an event and its email doesn't depend on the speed of
	// the machine.
	var passed []int
	var refused []string
	for n := 0; w.Mail.Count()-started-n < flood; n++ {
		status, failures := quiet.post(ctx, fmt.Sprint("quiet-", n), fmt.Appendf(nil, `{"text":%q,"user":{"email":%q}}`, quiet.text(n), quiet.customer.Email))
		if status != http.StatusOK {
			t.Errorf("webhook %d of the quiet company was answered %d after %q", n, status, failures)
		}
		refused = append(refused, failures...)
		accepted := w.Mail.Count()
		quiet.waitMailed(t, quiet.text(n))
		passed = append(passed, slices.Index(w.Mail.Messages(), quiet.mails(t, quiet.text(n))[0].Message)-accepted)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d emails of the flood arrived in time\n%s", w.Mail.Count()-started-n-1, flood, w.Manager.LogTail())
		}
	}
	posting.Wait()
	peak, err := w.Manager.PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the manager used up to %d MiB; %v emails of the flood overtook those of the quiet company; %d of its webhooks were repeated", peak>>20, passed, len(refused))
	// A machine that stands still for a second may have one refused, but not one after the other.
	if len(refused) > 3 {
		t.Errorf("webhooks of the quiet company were answered %q", refused)
	}
	if peak > maxPeak {
		t.Errorf("the manager used %d MiB, which is more than %d", peak>>20, maxPeak>>20)
	}
	if most := slices.Max(passed); most > flood/3 {
		t.Errorf("%d emails of %d of the flood overtook one of the quiet company", most, flood)
	}
}

// testPoison sends an event that kills the manager whenever it is evaluated. After a few
// restarts it must be quarantined, and everything else must be delivered once.
func (w *hostileStage) testPoison(t *testing.T) {
	const innocents, maxRestarts = 20, 5
	victim := newCompanyOn(t, w.Stage, "poisoned")
	admin, err := w.Platform.AddUser(victim.id, rehivetest.User{Group: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	companies := []*company{victim, newCompanyOn(t, w.Stage, "innocent")}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var posting sync.WaitGroup
	send := func(c *company, id, data string) {
		posting.Go(func() {
			if status, _ := c.post(ctx, id, []byte(data)); status != http.StatusOK {
				t.Errorf("event %s was answered %d", id, status)
			}
		})
	}
	for _, c := range companies {
		for n := range innocents {
			send(c, fmt.Sprint("innocent-", n), fmt.Sprintf(`{"text":%q,"user":{"email":%q}}`, c.text(n), c.customer.Email))
		}
	}
	const last = 999
	send(victim, "poison", fmt.Sprintf(`{"text":%q,"user":{"email":%q},"kind":"e2e-poison"}`, victim.text(last), victim.customer.Email))

	var faults []span
	var list struct {
		Results []struct {
			ID           int64  `json:"id"`
			Reason       string `json:"reason"`
			EventID      string `json:"event_id"`
			ErrorMessage string `json:"error_message"`
		}
	}
	for len(list.Results) == 0 {
		select {
		case <-w.Manager.Done():
			now := time.Now()
			faults = append(faults, span{begin: now.Add(-time.Second), end: now})
			if len(faults) > maxRestarts {
				t.Fatalf("the manager was killed %d times", len(faults))
			}
			if err := w.Manager.AwaitEnd(ctx); err != nil {
				t.Fatal(err)
			}
			if err := w.Manager.Launch(); err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatalf("the event is not quarantined\n%s", w.Manager.LogTail())
		case <-time.After(50 * time.Millisecond): // poll
			_ = w.api(ctx, admin.Token, http.MethodGet, "/api/admin/quarantine/", &list) // it may be restarting
		}
	}
	posting.Wait()
	if one := list.Results[0]; one.EventID != "poison" || one.Reason != "Unfinished" || one.ErrorMessage == "" {
		t.Errorf("the quarantined event is %+v", one)
	}
	t.Logf("the manager was restarted %d times", len(faults))
	for _, c := range companies {
		var texts []string
		for n := range innocents {
			texts = append(texts, c.text(n))
		}
		c.waitMailed(t, texts...)
		c.checkDuplicates(t, maxInFlight, faults...)
	}
	if n := len(victim.mails(t, victim.text(last))); n != 0 {
		t.Errorf("the killing event was mailed %d times", n)
	}
	if err := w.Eventually(ctx, "an event on the CompanyActivation", func() error {
		var events corev1.EventList
		if err := w.Kube.List(ctx, &events, client.InNamespace(victim.activation.Namespace)); err != nil {
			return err
		}
		for i := range events.Items {
			if e := &events.Items[i]; e.Reason == "Quarantined" && e.InvolvedObject.Name == victim.activation.Name && strings.Contains(e.Message, `event "poison"`) {
				return nil
			}
		}
		return errors.New("there is no such event")
	}); err != nil {
		t.Error(err)
	}
	metrics, err := w.Manager.Metrics(ctx)
	if err != nil || !strings.Contains(metrics, `rehive_extension_quarantined_total{kind="event",reason="Unfinished"} 1`) {
		t.Errorf("the metric does not count it: %v", err)
	}

	// Fixed and released, it is delivered like any other.
	if err := os.WriteFile(w.antidote, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.api(ctx, admin.Token, http.MethodPost, fmt.Sprintf("/api/admin/quarantine/%d/release/", list.Results[0].ID), nil); err != nil {
		t.Fatal(err)
	}
	victim.waitMailed(t, victim.text(last))
}

// api calls the API and decodes the data of the answer.
func (w *hostileStage) api(ctx context.Context, token, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, w.Manager.PublicURL+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Token "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s was answered %s", method, path, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(&struct{ Data any }{into})
}
