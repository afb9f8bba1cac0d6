// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// Statements are those that must use the indexes.
func (s *Store) Statements() map[string]string {
	log := func(f ledger.LogFilter) string {
		where, _ := s.where(f)
		return schema.SelectDeliveries + where + " ORDER BY deliveries.id DESC LIMIT 16"
	}
	return map[string]string{
		"lanes of events": eventQueue.lanes, "lanes of deliveries": deliveryQueue.lanes,
		"next event": eventQueue.nextDue, "next delivery": deliveryQueue.nextDue,
		"pending events": eventQueue.pending, "pending deliveries": deliveryQueue.pending,
		"end": endDelivery, "wake": wakeDeliveries,
		"log":           log(ledger.LogFilter{Company: "a"}),
		"log of failed": log(ledger.LogFilter{Company: "a", States: []ledger.DeliveryState{ledger.DeliveryFailed}}),
		"resend":        resendDelivery,
		"copy":          insertCopy,
		"purge":         "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE company = $1 LIMIT $2)",
		"retention":     retainedTables[0].window,
		"inbox":         schema.SelectDeliveries + "WHERE " + inInbox + " AND received_at = 0 AND deliveries.id < $3 ORDER BY deliveries.id DESC LIMIT 100",
		"message":       "UPDATE deliveries SET received_at = $3 WHERE " + inInbox + " AND id = $4",
		"arrivals":      arrivals + "100",
		"newest":        newestInInbox,
		"opted out":     "SELECT user_id, rule FROM preferences WHERE company = $1 AND user_id IN ($2, $3) AND rule IN ($4, $5) AND enabled = 0",
		"unused":        removeUnused,
		"primary":       markPrimary,
		"link":          linkFallback,
		"release":       releaseFallbacks,
		"arm":           armFallbacks,
		"dismiss":       dismissFallbacks,
		"unread":        unreadPrimary,
		"throttle":      countThrottled,
		"collect":       collect,
		"period":        endOfPeriod,
		"digest":        setDigest,
		"collected":     collectedEvent,
		"outcome":       recordOutcome,
		"list":          schema.SelectDeliveries + "WHERE deliveries.id > $1 AND company = $2 ORDER BY deliveries.id LIMIT 100",
	}
}

// HistoryStatements are those whose first parameter is a company, or an event's key.
func (s *Store) HistoryStatements() map[string]string {
	logOfOne, _ := s.where(ledger.LogFilter{Company: "a", EventID: "1"})
	where, _ := s.whereEvent(ledger.EventFilter{Company: "a"})
	one, _ := s.whereEvent(ledger.EventFilter{Company: "a", ID: "1"})
	return map[string]string{
		"events":     "SELECT " + eventColumns + " FROM events " + where + " ORDER BY " + eventOrder + direction(false) + " LIMIT 10",
		"event":      "SELECT " + eventColumns + " FROM events " + one,
		"of one":     schema.SelectDeliveries + deliveriesOfEvent + " ORDER BY " + deliveriesOrder + " LIMIT 10",
		"log of one": schema.SelectDeliveries + logOfOne + " ORDER BY deliveries.id DESC LIMIT 10 OFFSET 0",
		"outcomes":   countOutcomes + "10",
		"earlier":    earlierTo,
	}
}

// HoldLog takes the turns of all queries of the log until release is called.
func (s *Store) HoldLog() (release func()) {
	for range cap(s.logQueries) {
		s.logQueries <- struct{}{}
	}
	return func() {
		for range cap(s.logQueries) {
			<-s.logQueries
		}
	}
}
