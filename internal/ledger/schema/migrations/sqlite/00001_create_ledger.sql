-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Times are milliseconds since the epoch by the ledger's clock. While work is claimed, lease is the
-- claim's number (0: not claimed) and next_attempt_at is when the lease ends, so
-- that one test, next_attempt_at <= now, finds both what is due and what a dead
-- worker held.

-- +goose Up

CREATE TABLE events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    company         TEXT    NOT NULL,
    event_id        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    received_at     INTEGER NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'done', 'failed', 'cancelled')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    lease           INTEGER NOT NULL DEFAULT 0,
    message         TEXT    NOT NULL DEFAULT '',
    updated_at      INTEGER NOT NULL,
    data            BLOB    NOT NULL,
    UNIQUE (company, event_id)
);

CREATE INDEX events_due ON events (company, next_attempt_at) WHERE state = 'pending';

-- A delivery repeats what it needs of its event, because the log outlives the
-- events.
CREATE TABLE deliveries (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    event             INTEGER NOT NULL, -- events.id, never used again for another
    company           TEXT    NOT NULL,
    event_id          TEXT    NOT NULL,
    event_name        TEXT    NOT NULL,
    event_received_at INTEGER NOT NULL,
    rule_uid          TEXT    NOT NULL,
    rule_name         TEXT    NOT NULL,
    copy              INTEGER NOT NULL DEFAULT 0, -- 0: as decided; else sent again by a person, the n-th time
    channel           TEXT    NOT NULL,
    recipient         TEXT    NOT NULL,
    user_id           TEXT    NOT NULL DEFAULT '', -- whom it is about, if that is known
    state             TEXT    NOT NULL
                      CHECK (state IN ('pending', 'sent', 'failed', 'skipped', 'cancelled')),
    reason            TEXT    NOT NULL DEFAULT '',
    message           TEXT    NOT NULL DEFAULT '',
    attempts          INTEGER NOT NULL DEFAULT 0,
    next_attempt_at   INTEGER NOT NULL,
    lease             INTEGER NOT NULL DEFAULT 0,
    provider_id       TEXT    NOT NULL DEFAULT '',
    received_at       INTEGER NOT NULL DEFAULT 0, -- when its user said so; 0: not yet
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (event, rule_uid, channel, recipient, copy)
);

CREATE INDEX deliveries_due ON deliveries (company, channel, next_attempt_at) WHERE state = 'pending';
CREATE INDEX deliveries_company ON deliveries (company, id);
CREATE INDEX deliveries_failed ON deliveries (company, id) WHERE state = 'failed';
CREATE INDEX deliveries_inbox ON deliveries (company, user_id, id) WHERE channel = 'system' AND state = 'sent';

-- What users chose; of a rule that a user said nothing about there is no row.
CREATE TABLE preferences (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    company    TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    rule_uid   TEXT    NOT NULL,
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    updated_at INTEGER NOT NULL,
    UNIQUE (company, user_id, rule_uid)
);

-- What a delivery says is apart from where it stands: to claim it or to mark it
-- sent writes no mail again. A delivery that was never to be sent has none.
CREATE TABLE contents (
    delivery INTEGER PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
    sender   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    text     TEXT NOT NULL,
    html     TEXT NOT NULL
);

-- One row, written to find out whether the ledger can be written.
CREATE TABLE probe (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    written_at INTEGER NOT NULL
);

-- One row once the machine's clock was set: how many milliseconds the ledger's
-- clock, which was not, is ahead of it.
CREATE TABLE clock (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    ahead INTEGER NOT NULL
);

-- +goose Down

DROP TABLE clock;
DROP TABLE probe;
DROP TABLE preferences;
DROP TABLE contents;
DROP TABLE deliveries;
DROP TABLE events;
