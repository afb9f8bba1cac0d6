-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Addresses that a company's messages are not sent to any more.

-- +goose Up

CREATE TABLE suppressions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    company    TEXT NOT NULL,
    channel    TEXT NOT NULL,
    recipient  TEXT NOT NULL, -- whose address it is, such as a user's ID
    address    TEXT NOT NULL, -- of a push token, its hash
    reason     TEXT NOT NULL,
    since_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, -- 0 for never
    UNIQUE (company, channel, recipient, address)
);

CREATE INDEX suppressions_expiry ON suppressions (expires_at);
