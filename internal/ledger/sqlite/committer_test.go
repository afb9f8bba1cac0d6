// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

// holdUp keeps the committer busy until the function it returns is called, so
// that what is written meanwhile shares one batch.
func holdUp(t *testing.T, s *opened) (letGo func()) {
	t.Helper()
	held, gate, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.write(bg, &job{single: true, run: func(*writer) error { close(held); <-gate; return nil }})
	}()
	<-held
	letGo = sync.OnceFunc(func() {
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(letGo) // the ledger of a test that fails could not be closed
	return letGo
}

func TestFailedJobLeavesItsNeighboursAlone(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	own := errors.New("its own error")
	letGo := holdUp(t, s)
	failing := []*job{
		// Fails after it wrote.
		{run: func(w *writer) error {
			if _, err := w.Exec(insertBareEvent, "shop", "undone", "x", 1, 1, []byte("{}")); err != nil {
				return err
			}
			return own
		}},
		// Breaks a constraint.
		{single: true, run: func(w *writer) error {
			_, err := w.Exec(insertBareEvent, "shop", "null", nil, 1, 1, []byte("{}"))
			return err
		}},
	}
	errs := make([]error, len(failing))
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { ledgertest.Accept(t, s, "shop", fmt.Sprint(i)) })
		if i < len(failing) {
			wg.Go(func() { errs[i] = s.write(bg, failing[i]) })
		}
	}
	g.Eventually(func() int { return len(s.d.committer.jobs) }).Should(Equal(10 + len(failing)))
	letGo()
	wg.Wait()
	g.Expect(errs[0]).To(MatchError(own))
	g.Expect(errs[1]).To(HaveOccurred())
	g.Expect(errs[1]).NotTo(MatchError(ledger.ErrUnavailable))
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeEquivalentTo(10))
}

// A claim that is run again, because another job of its transaction failed half-done,
// claims within its bounds, and each row once.
func TestClaimIsRunAgain(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{ledgertest.Email("a", "a@example.com"), ledgertest.Email("b", "b@example.com"), ledgertest.Email("c", "c@example.com")})).To(Succeed())
	lanes := []ledger.ClaimLane{{Lane: ledger.Lane{Company: "shop", Channel: ledger.ChannelEmail}, Bounds: []int{0}}}
	letGo := holdUp(t, s)
	var claimed []ledger.ClaimedDelivery
	var claimErr, failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		claimed, claimErr = s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute, Lanes: lanes, Bounds: []int{2}})
	})
	g.Eventually(func() int { return len(s.d.committer.jobs) }).Should(Equal(1))
	own := errors.New("its own error")
	runs := 0
	wg.Go(func() {
		failed = s.write(bg, &job{run: func(w *writer) error {
			runs++
			if _, err := w.Exec(insertBareEvent, "shop", "undone", "x", 1, 1, []byte("{}")); err != nil {
				return err
			}
			return own
		}})
	})
	g.Eventually(func() int { return len(s.d.committer.jobs) }).Should(Equal(2))
	letGo()
	wg.Wait()
	g.Expect(failed).To(MatchError(own))
	g.Expect(runs).To(Equal(2))
	g.Expect(claimErr).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	g.Expect(ledgertest.ClaimDelivery(t, s).ID).NotTo(BeElementOf(claimed[0].ID, claimed[1].ID))
}

func TestFullQueueRefusesWhenTimeIsUp(t *testing.T) {
	g := NewWithT(t)
	s := open(t, ledgerPath(t), nil)
	letGo := holdUp(t, s)
	ctx, cancel := context.WithCancel(bg)
	var wg sync.WaitGroup
	for range maxQueue {
		wg.Go(func() { _ = s.write(bg, &job{single: true, run: func(*writer) error { return nil }}) })
	}
	g.Eventually(func() int { return len(s.d.committer.jobs) }).Should(Equal(maxQueue))
	refused := make(chan error)
	go func() {
		_, err := s.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: "1"})
		refused <- err
	}()
	cancel()
	g.Expect(<-refused).To(MatchError(ledger.ErrUnavailable))
	letGo()
	wg.Wait()
}

func TestCloseCommitsWhatWasHandedIn(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s := open(t, path, nil)
	letGo := holdUp(t, s)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { ledgertest.Accept(t, s, "shop", fmt.Sprint(i)) })
	}
	g.Eventually(func() int { return len(s.d.committer.jobs) }).Should(Equal(50))
	wg.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-s.d.committer.closing
	letGo()
	wg.Wait()
	st, err := open(t, path, nil).Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeEquivalentTo(50))
}

// Jobs of the dispatcher wait while there are webhooks, and then share a commit.
func TestPatientJobsMakeWayForWebhooks(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	c := &committer{jobs: make(chan *job, 10), closing: make(chan struct{})}
	c.turn.Lock()
	webhook, patient, late := &job{accepts: true}, &job{background: true, queued: now}, &job{background: true, queued: now}
	c.jobs <- patient
	g.Expect(c.next(nil)).To(Equal([]*job{patient}), "no webhook was there")

	c.accepted = now.Add(time.Hour)
	patient.queued, late.queued = now.Add(time.Hour), now.Add(time.Hour)
	c.jobs <- patient
	c.jobs <- webhook
	g.Expect(c.next(nil)).To(Equal([]*job{webhook}))
	patient.queued = now.Add(-hold)
	c.jobs <- late
	g.Expect(c.next(nil)).To(Equal([]*job{patient, late}), "it waited long enough")

	patient.queued = now.Add(time.Hour)
	c.jobs <- patient
	c.jobs <- webhook
	g.Expect(c.next(nil)).To(Equal([]*job{webhook}))
	c.accepted = now.Add(-quiet)
	g.Expect(c.next(nil)).To(Equal([]*job{patient}), "no webhook comes any more")

	c.accepted = now.Add(time.Hour)
	c.jobs <- patient
	close(c.closing)
	g.Expect(c.next(nil)).To(Equal([]*job{patient}), "it is closed")
	g.Expect(c.next(nil)).To(BeEmpty())
}
