// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger/postgrestest"
)

// place is where the ledger of one test is: opened again, it is the same ledger.
type place struct {
	path, url string
}

func (p place) open(t testing.TB, c clock.PassiveClock) *Store {
	t.Helper()
	s, err := Open(context.Background(), p.options(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (p place) options(c clock.PassiveClock) Options {
	if p.path != "" {
		return Options{Path: p.path, Clock: c}
	}
	// Nobody else is there to be watched for, but where a test says so.
	return Options{URL: p.url, Password: postgrestest.Password, Clock: c, watchEvery: time.Hour}
}

// server is shared by the tests; TestMain stops it.
var server struct {
	sync.Mutex
	*postgrestest.Server
	err error
}

// postgresServer returns the tests' server. Tests that stop it must not run beside
// others.
func postgresServer(t testing.TB) *postgrestest.Server {
	t.Helper()
	server.Lock()
	defer server.Unlock()
	if server.Server == nil && server.err == nil {
		server.Server, server.err = postgrestest.StartInMemory()
	}
	if server.err != nil {
		postgrestest.Skip(t, server.err)
	}
	return server.Server
}

func stopPostgresServer() error {
	if server.Server == nil {
		return nil
	}
	return server.Stop()
}

// postgresPlace is a new ledger on PostgreSQL.
func postgresPlace(t testing.TB) place {
	t.Helper()
	url, err := postgresServer(t).NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return place{url: url}
}

// conformance is what every database must do.
var conformance = []func(*testing.T, place){
	testAcceptedEventSurvivesReopening,
	testAcceptEventRefusesWhatHasNoKey,
	testSameIDOfTwoCompaniesIsTwoEvents,
	testConcurrentSameEventIsStoredOnce,
	testEventsAreAnnouncedOnce,
	testClaimsAreFairBetweenCompanies,
	testSmallClaimsGoRoundTheCompanies,
	testHandover,
	testClaimedData,
	testEventsWithinBounds,
	testLeaseExpires,
	testStoppedClaimKeepsNothing,
	testRetryReleaseAndFail,
	testAnyTextCanBeStored,
	testCompletedEventLeavesItsDeliveries,
	testNothingToSendWakesNobody,
	testOutcomes,
	testClaimedContent,
	testDeliveryLeaseExpires,
	testClaimLeavesRoomForOtherCompanies,
	testClaimDividesABound,
	testClaimPassesLanesWithoutRoom,
	testWakeDeliveries,
	testPreferences,
	testPreferencesByUID,
	testSharedContent,
	testPendingIsBounded,
	testStorageIsBounded,
	testLargeEventGoesInSteps,
	testInterruptedStepsAreRepeated,
	testEventIsBounded,
	testLargeEventsDelayNobody,
	testInbox,
	testLog,
	testEventHistory,
	testEventOutcomes,
	testReplay,
	testReplayIsRepeatable,
	testReplaysAtOnce,
	testReplayReplacesWhatFailed,
	testLogTurns,
	testResendFailed,
	testResendSent,
	testResendRefuses,
	testResendAtOnce,
	testResendAll,
	testPurgeCompany,
	testCancelCompany,
	testResumeCompany,
	testDeleteBefore,
	testStats,
	testCleanerDeletesWhatIsOld,
	testCollector,
	testKillersAreQuarantined,
	testHangingWorkIsQuarantined,
	testOutcomesClearSuspicion,
	testHandedOverEventCounts,
	testSuspectsAreHandedOutApart,
	testReleaseQuarantinedEvents,
	testQuarantinedDelivery,
	testAttemptsHaveACeiling,
	testLedgerOfTheFirstVersion,
	testQuotas,
	testQuotasAreExact,
	testClosedStoreRefuses,
}

// alone are the tests that measure time, or read what the whole process counts.
var alone = map[string]bool{"LargeEventsDelayNobody": true, "Collector": true}

func TestConformance(t *testing.T) {
	for database, newPlace := range map[string]func(testing.TB) place{
		"SQLite":     func(t testing.TB) place { return place{path: t.TempDir() + "/state/ledger.db"} },
		"PostgreSQL": postgresPlace,
	} {
		t.Run(database, func(t *testing.T) {
			for _, test := range conformance {
				name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
				name = name[strings.LastIndex(name, ".test")+len(".test"):]
				t.Run(name, func(t *testing.T) {
					if !alone[name] {
						t.Parallel() // they wait for the disk most of the time
					}
					test(t, newPlace(t))
				})
			}
		})
	}
}

// committerOf is the committer of a ledger on SQLite.
func committerOf(s *Store) *committer { return s.db.(*sqliteDatabase).committer }
