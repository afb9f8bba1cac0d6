// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// A full scan or a sort would make every claim as slow as the longest queue.
func TestClaimsUseTheIndexes(t *testing.T) {
	s := open(t, ledgerPath(t), nil)
	for name, query := range map[string]string{
		"lanes of events": eventQueue.lanes, "lanes of deliveries": deliveryQueue.lanes,
		"next event": eventQueue.nextDue, "next delivery": deliveryQueue.nextDue,
		"pending events": eventQueue.pending, "pending deliveries": deliveryQueue.pending,
		"due events": dueEvents, "due deliveries": dueDeliveries, "end": endDelivery, "wake": wakeDeliveries,
		"log":           logQuery(s, LogFilter{Company: "a"}),
		"log of failed": logQuery(s, LogFilter{Company: "a", States: []DeliveryState{DeliveryFailed}}),
		"resend":        resendDelivery,
		"copy":          copyDelivery,
		"purge":         "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE company = $1 LIMIT $2)",
		"retention":     retainedTables[0].window,
		"inbox":         readDeliveries + inInbox + " AND received_at = 0 AND deliveries.id < $3 ORDER BY deliveries.id DESC LIMIT 100",
		"message":       "UPDATE deliveries SET received_at = $3 " + inInbox + " AND id = $4",
		"opted out":     "SELECT user_id, rule FROM preferences WHERE company = $1 AND user_id IN ($2, $3) AND rule IN ($4, $5) AND enabled = 0",
		"unused":        removeUnused,
		"list":          readDeliveries + "WHERE deliveries.id > $1 AND company = $2 ORDER BY deliveries.id LIMIT 100",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rows, err := s.reader.QueryContext(bg, "EXPLAIN QUERY PLAN "+query, "a", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { g.Expect(rows.Close()).To(Succeed()) }()
			var plan []string
			for rows.Next() {
				var id, parent, unused int
				var step string
				g.Expect(rows.Scan(&id, &parent, &unused, &step)).To(Succeed())
				plan = append(plan, step)
			}
			g.Expect(rows.Err()).NotTo(HaveOccurred())
			for _, step := range plan {
				scansTable := strings.HasPrefix(step, "SCAN ") && !strings.Contains(step, "USING COVERING INDEX") &&
					!strings.HasPrefix(step, "SCAN waiting") && !strings.HasPrefix(step, "SCAN oldest") && !strings.Contains(step, "CONSTANT ROW")
				g.Expect(scansTable || strings.Contains(step, "TEMP B-TREE")).To(BeFalse(), strings.Join(plan, "\n"))
			}
		})
	}
}

func logQuery(s *Store, f LogFilter) string {
	where, _ := s.where(f)
	return readDeliveries + where + " ORDER BY deliveries.id DESC LIMIT 16"
}

// BenchmarkClaimInAFlood claims and releases beside 100,000 pending events of
// one company and a few of 50 others.
func BenchmarkClaimInAFlood(b *testing.B) {
	s := open(b, b.TempDir()+"/ledger.db", nil)
	err := s.write(bg, &job{run: func(w *writer) error {
		for i := range 100_150 {
			company := "flood"
			if i >= 100_000 {
				company = fmt.Sprint("company-", i%50)
			}
			if _, err := w.exec(insertBareEvent, company, fmt.Sprint(i), "x", 1, 1, benchData); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		claimed, err := s.ClaimEvents(bg, 64, 60e9)
		if err != nil || len(claimed) != 64 {
			b.Fatal(len(claimed), err)
		}
		b.StopTimer()
		done := make(chan error)
		for _, e := range claimed {
			go func() { done <- s.ReleaseEvent(bg, e) }()
		}
		for range claimed {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}
