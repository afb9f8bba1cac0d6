// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"os"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// The write-ahead log is truncated even while writes never pause.
func TestLogStaysShortUnderConstantWriting(t *testing.T) {
	g := NewWithT(t)
	path := ledgerPath(t)
	s, err := openWith(path, ledger.Options{}, settings{checkpointAfter: 50, restartAfter: 200, pragmas: []string{"wal_autocheckpoint(0)"}})
	g.Expect(err).NotTo(HaveOccurred())
	const writers, events, size = 8, 500, 8 << 10
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range events {
				if _, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(w, "-", i), Data: make([]byte, size)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	log, err := os.Stat(path + "-wal")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log.Size()).To(BeNumerically("<", writers*events*size/4), "of what was written in all")
	g.Expect(s.Close()).To(Succeed())
	g.Expect(open(t, path, nil).Stats(bg)).To(HaveField("PendingEvents", BeEquivalentTo(writers*events)))
}
