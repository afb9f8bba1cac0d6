-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- How an SMS is sent other than as its text: through WhatsApp or Twilio Verify.

-- +goose Up

ALTER TABLE contents ADD COLUMN sms TEXT NOT NULL DEFAULT ''; -- JSON, or nothing
