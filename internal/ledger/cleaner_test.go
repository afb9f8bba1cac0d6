// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
)

func TestCleanerKeepsWhatThePlatformMayRepeat(t *testing.T) {
	_, err := NewCleaner(nil, MinRetention-1, nil, logr.Discard())
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("at least 168h0m0s")))
}
