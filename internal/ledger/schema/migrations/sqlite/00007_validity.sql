-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Until when a message may be sent, and what must not be kept once it is.

-- +goose Up

ALTER TABLE deliveries ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0; -- 0: never
ALTER TABLE deliveries ADD COLUMN sensitive INTEGER NOT NULL DEFAULT 0;  -- 1: its texts are masked when it ends
ALTER TABLE contents ADD COLUMN digest TEXT NOT NULL DEFAULT '';         -- of texts that were masked, with a key
ALTER TABLE events ADD COLUMN masked INTEGER NOT NULL DEFAULT 0;         -- 1: its data was masked
