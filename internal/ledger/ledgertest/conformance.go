// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// conformance is what every database must do.
var conformance = []func(*testing.T, Place){
	testAcceptedEventSurvivesReopening,
	testAcceptEventRefusesEmptyKeys,
	testSameIDOfTwoCompaniesIsTwoEvents,
	testConcurrentSameEventIsStoredOnce,
	testEventsAreAnnouncedOnce,
	testClaimsAreFairBetweenCompanies,
	testSmallClaimsRotateThroughCompanies,
	testHandover,
	testClaimedData,
	testEventsWithinBounds,
	testLeaseExpires,
	testStoppedClaimKeepsNothing,
	testRetryReleaseAndFail,
	testAnyTextCanBeStored,
	testCompletedEventLeavesItsDeliveries,
	testNothingToSendWakesNobody,
	testSMSOptions,
	testValidity,
	testValidityOfACopy,
	testSensitive,
	testDigest,
	testEraseUser,
	testInterruptedErasure,
	testEraseEscaped,
	testEncryption,
	testKeyRotation,
	testMissingKey,
	testTamperedRows,
	testStorageIsExact,
	testSentUnusually,
	testFallback,
	testFallbackNotNeeded,
	testFallbackOfExpired,
	testFallbackOfUnread,
	testFallbackAgain,
	testFallbackOfSettled,
	testFallbackOfReadIsFree,
	testClaimEndsAfterManyUnread,
	testSensitiveEventFails,
	testSensitiveAtOnce,
	testMaskedTextsAreFree,
	testOutcomes,
	testClaimedContent,
	testDeliveryLeaseExpires,
	testClaimLeavesRoomForOtherCompanies,
	testClaimDividesABound,
	testDueLanes,
	testWakeDeliveries,
	testPreferences,
	testPreferencesByUID,
	testSuppressions,
	testSuppressedRecipients,
	testSuppressionsAreBounded,
	testErasedSuppressions,
	testKeys,
	testFeedback,
	testFeedbackSettlesUnknownOutcomes,
	testUnreported,
	testSkippedDelivery,
	testSuppressionOfAnotherReplica,
	testErasedSuppressionOfAnotherReplica,
	testThrottle,
	testThrottleIsExact,
	testThrottleDigest,
	testDigestIsExact,
	testDigestEnds,
	testDigestsLeaveRoom,
	testSharedContent,
	testPendingIsBounded,
	testStorageIsBounded,
	testLargeEventGoesInSteps,
	testInterruptedStepsAreRepeated,
	testEventIsBounded,
	testLargeEventsDelayNobody,
	testSmallEventsPassLargeOnes,
	testInbox,
	testAllReceived,
	testLongInbox,
	testInboxArrivals,
	testLog,
	testEventHistory,
	testEventOutcomes,
	testReplay,
	testReplayIsRepeatable,
	testReplaysAtOnce,
	testReplayReplacesWhatFailed,
	testAttempts,
	testResendFailed,
	testResendSent,
	testResendRefuses,
	testResendAtOnce,
	testResendAll,
	testPurgeCompany,
	testPurgedCompanyStoresNothing,
	testCancelCompany,
	testResumeCompany,
	testDeleteBefore,
	testStats,
	testActivity,
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
	testQuotas,
	testQuotasAreExact,
	testClosedStoreRefuses,
}

// encrypted are the tests that are run with keys as well: those of what is encrypted, that
// don't measure it.
var encrypted = []func(*testing.T, Place){
	testAcceptedEventSurvivesReopening,
	testHandover,
	testAnyTextCanBeStored,
	testCompletedEventLeavesItsDeliveries,
	testSMSOptions,
	testSensitive,
	testDigest,
	testThrottleDigest,
	testSensitiveEventFails,
	testSensitiveAtOnce,
	testMaskedTextsAreFree,
	testEraseUser,
	testSharedContent,
	testLargeEventGoesInSteps,
	testInterruptedStepsAreRepeated,
	testInbox,
	testLog,
	testReplay,
	testReplaysAtOnce,
	testResendFailed,
	testResendSent,
	testResendRefuses,
	testResendAll,
	testDeleteBefore,
	testQuarantinedDelivery,
}

// alone are the tests that measure time, or read what the whole process counts.
var alone = map[string]bool{"LargeEventsDelayNobody": true, "SmallEventsPassLargeOnes": true, "Collector": true}

// Limits of the ledger that the tests go beyond.
const (
	maxReturned = 200
	step        = 500 // rows in one transaction of a long change
	stepRows    = 200 // of an event in one transaction
	maxLogText  = 16 << 10
	cleanLimit  = 5000
	cleanPause  = time.Second
	statsAge    = 10 * time.Second
	maxSuspects = 8
	suspectWait = time.Second
	rowBytes    = 1024
	byUID       = "uid:"
)

// RunEncrypted runs a part of the conformance suite with keys, like [Run].
func RunEncrypted(t *testing.T, newPlace func(testing.TB) Place) {
	run(t, encrypted, func(t testing.TB) Place { return newPlace(t).Encrypted(Keys(t, "1")) })
}

// Run runs the conformance suite, each test in a new place with the current tables.
func Run(t *testing.T, newPlace func(testing.TB) Place) { run(t, conformance, newPlace) }

func run(t *testing.T, tests []func(*testing.T, Place), newPlace func(testing.TB) Place) {
	for _, test := range tests {
		name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
		name = name[strings.LastIndex(name, ".test")+len(".test"):]
		t.Run(name, func(t *testing.T) {
			if !alone[name] {
				t.Parallel() // they wait for the disk most of the time
			}
			test(t, newPlace(t))
		})
	}
}
