// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhookserver is the HTTP server that the Rehive platform calls: to activate and
// deactivate the extension for a company, to rotate its service token, and to deliver its
// webhooks. Admins call it to see what happened to messages and to send them again; users,
// to choose what they receive and to read their inbox. It runs in the same manager as the
// controllers.
//
// The server holds no state of its own. A lifecycle call becomes a CompanyActivation and
// its Secret, which the controllers act on; a webhook becomes an event in the ledger and is
// acknowledged only after that.
//
// Answers have the platform's envelope and, where Rehive's own extension framework defines
// them, its exact words: see docs/http-api.md.
package webhookserver
