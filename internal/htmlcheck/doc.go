// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package htmlcheck finds what email clients don't show as written in the HTML of messages:
// elements and styles that some of them don't support, images without a text, links that
// aren't encrypted, and messages that are so large that clients cut them off. Which client
// supports what is from the tests of caniemail.com; hack/caniemail updates the table.
//
// It reads templates and rendered messages alike, in time and memory proportional to their
// length, and no more than [MaxSize] of it.
package htmlcheck
