-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- How many messages of a rule with a limit each recipient received in the current period.

-- +goose Up

CREATE TABLE throttles (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    company   TEXT NOT NULL,
    rule      TEXT NOT NULL,
    channel   TEXT NOT NULL,
    recipient TEXT NOT NULL, -- the same for all spellings of a mailbox
    ends_at   INTEGER NOT NULL, -- when the period ends
    n         INTEGER NOT NULL,
    UNIQUE (company, rule, channel, recipient)
);

CREATE INDEX throttles_ends ON throttles (ends_at);
