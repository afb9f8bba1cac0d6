// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provider is the contract between the delivery worker and the drivers that
// send messages (packages smtp, sendgrid, twilio and expo): a message, a receipt, and
// errors that say what an outcome means for the message. Package providertest holds the
// conformance suite that every driver passes.
package provider
