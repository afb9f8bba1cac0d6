-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- What providers report about messages that they accepted, why an address is suppressed
-- (there can be several reasons, each of which ends by itself), and keys that the ledger
-- generates.

-- +goose Up

ALTER TABLE deliveries ADD COLUMN outcome TEXT NOT NULL DEFAULT '';        -- what the provider reported last
ALTER TABLE deliveries ADD COLUMN outcome_detail TEXT NOT NULL DEFAULT ''; -- a sentence about it
ALTER TABLE deliveries ADD COLUMN outcome_at INTEGER NOT NULL DEFAULT 0;

-- SQLite can't change a UNIQUE constraint, so the table is rebuilt.
CREATE TABLE suppressions_new (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    company    TEXT NOT NULL,
    channel    TEXT NOT NULL,
    recipient  TEXT NOT NULL, -- whose address it is, if it is one of several, such as a push token; else empty
    address    TEXT NOT NULL, -- the recipient's normal form; of a push token, its hash
    reason     TEXT NOT NULL,
    source     TEXT NOT NULL DEFAULT 'Provider', -- who reported it: Provider, Feedback or Admin
    note       TEXT NOT NULL DEFAULT '',
    since_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, -- 0 for never
    UNIQUE (company, channel, recipient, address, reason)
);

INSERT INTO suppressions_new (id, company, channel, recipient, address, reason, since_at, expires_at)
SELECT id, company, channel, recipient, address, CASE reason WHEN 'DeviceNotRegistered' THEN 'DeadToken' ELSE reason END, since_at, expires_at
FROM suppressions ORDER BY id;

DELETE FROM sqlite_sequence WHERE name = 'suppressions_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'suppressions_new', seq FROM sqlite_sequence WHERE name = 'suppressions';

DROP TABLE suppressions;
ALTER TABLE suppressions_new RENAME TO suppressions;

CREATE INDEX suppressions_expiry ON suppressions (expires_at);
CREATE INDEX suppressions_company ON suppressions (company, id);

-- Keys that this ledger generated, by what they are for.
CREATE TABLE keys (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT NOT NULL UNIQUE,
    value BLOB NOT NULL
);
