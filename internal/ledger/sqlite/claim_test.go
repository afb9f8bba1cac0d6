// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// A full scan or a sort would make every claim as slow as the longest queue.
func TestClaimsUseTheIndexes(t *testing.T) {
	s := open(t, ledgerPath(t), nil)
	for name, query := range map[string]string{"events": dueEvents, "deliveries": dueDeliveries} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rows, err := s.d.reader.QueryContext(bg, "EXPLAIN QUERY PLAN "+query, "a", 1, 1, 1)
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { g.Expect(rows.Close()).To(Succeed()) }()
			for rows.Next() {
				var id, parent, unused int
				var step string
				g.Expect(rows.Scan(&id, &parent, &unused, &step)).To(Succeed())
				g.Expect(step).NotTo(HavePrefix("SCAN "))
				g.Expect(strings.Contains(step, "TEMP B-TREE")).To(BeFalse(), step)
			}
			g.Expect(rows.Err()).NotTo(HaveOccurred())
		})
	}
}
