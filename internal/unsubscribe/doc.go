// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package unsubscribe makes and checks the links by which users opt out of a rule's messages
// without logging in (RFC 8058). A link holds a company, a user, a rule and an expiry, and is
// signed; nothing about it is stored.
package unsubscribe
