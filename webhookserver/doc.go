// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhookserver is the HTTP server that the Rehive platform calls: to
// activate and deactivate the extension for a company, to rotate its service
// token, and to deliver its webhooks. Admins call it to find out what became of
// messages and to send them again, users to choose what they get and to read their
// inbox. It runs in the same manager as the controllers.
//
// The server holds no state of its own. A lifecycle call becomes a
// CompanyActivation and its Secret, which the controllers act on; a webhook
// becomes an event in the ledger, and is acknowledged only then.
//
// Answers have the platform's envelope and, where it defines them, the very
// words of Rehive's own extension framework: see docs/http-api.md.
package webhookserver
