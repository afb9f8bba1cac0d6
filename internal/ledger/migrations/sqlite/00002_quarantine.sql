-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- The state "quarantined", and how many claims in a row ended without an outcome.
-- SQLite can't change a CHECK, so the tables are rebuilt. The new ones are made
-- beside the old, because renaming the old would carry their indexes and foreign
-- keys along; the child table goes first, because dropping a parent deletes its
-- children; and AUTOINCREMENT goes on where it was, because a delivery names its
-- event by an ID that no other event may ever get.

-- +goose Up

CREATE TABLE events_new (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    company         TEXT    NOT NULL,
    event_id        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    received_at     INTEGER NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'done', 'failed', 'cancelled', 'quarantined')),
    reason          TEXT    NOT NULL DEFAULT '',
    attempts        INTEGER NOT NULL DEFAULT 0,
    unfinished      INTEGER NOT NULL DEFAULT 0, -- claims since the last outcome that ended without one
    next_attempt_at INTEGER NOT NULL,
    lease           INTEGER NOT NULL DEFAULT 0,
    message         TEXT    NOT NULL DEFAULT '',
    updated_at      INTEGER NOT NULL,
    data            BLOB    NOT NULL,
    UNIQUE (company, event_id)
);

INSERT INTO events_new (id, company, event_id, name, received_at, state, attempts, next_attempt_at, lease, message, updated_at, data)
SELECT id, company, event_id, name, received_at, state, attempts, next_attempt_at, lease, message, updated_at, data FROM events ORDER BY id;

CREATE TABLE deliveries_new (
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
                      CHECK (state IN ('pending', 'sent', 'failed', 'skipped', 'cancelled', 'quarantined')),
    reason            TEXT    NOT NULL DEFAULT '',
    message           TEXT    NOT NULL DEFAULT '',
    attempts          INTEGER NOT NULL DEFAULT 0,
    unfinished        INTEGER NOT NULL DEFAULT 0, -- claims since the last outcome that ended without one
    next_attempt_at   INTEGER NOT NULL,
    lease             INTEGER NOT NULL DEFAULT 0,
    provider_id       TEXT    NOT NULL DEFAULT '',
    received_at       INTEGER NOT NULL DEFAULT 0, -- when its user said so; 0: not yet
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (event, rule_uid, channel, recipient, copy)
);

INSERT INTO deliveries_new (id, event, company, event_id, event_name, event_received_at, rule_uid, rule_name, copy, channel, recipient, user_id,
    state, reason, message, attempts, next_attempt_at, lease, provider_id, received_at, created_at, updated_at)
SELECT id, event, company, event_id, event_name, event_received_at, rule_uid, rule_name, copy, channel, recipient, user_id,
    state, reason, message, attempts, next_attempt_at, lease, provider_id, received_at, created_at, updated_at FROM deliveries ORDER BY id;

CREATE TABLE contents_new (
    delivery INTEGER PRIMARY KEY REFERENCES deliveries_new (id) ON DELETE CASCADE,
    sender   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    text     TEXT NOT NULL,
    html     TEXT NOT NULL
);

INSERT INTO contents_new SELECT delivery, sender, subject, text, html FROM contents ORDER BY delivery;

DELETE FROM sqlite_sequence WHERE name IN ('events_new', 'deliveries_new');
INSERT INTO sqlite_sequence (name, seq) SELECT name || '_new', seq FROM sqlite_sequence WHERE name IN ('events', 'deliveries');

DROP TABLE contents;
DROP TABLE deliveries;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
ALTER TABLE deliveries_new RENAME TO deliveries;
ALTER TABLE contents_new RENAME TO contents;

CREATE INDEX events_due ON events (company, next_attempt_at) WHERE state = 'pending';
CREATE INDEX events_quarantined ON events (company, id) WHERE state = 'quarantined';

CREATE INDEX deliveries_due ON deliveries (company, channel, next_attempt_at) WHERE state = 'pending';
CREATE INDEX deliveries_company ON deliveries (company, id);
CREATE INDEX deliveries_failed ON deliveries (company, id) WHERE state = 'failed';
CREATE INDEX deliveries_quarantined ON deliveries (company, id) WHERE state = 'quarantined';
CREATE INDEX deliveries_inbox ON deliveries (company, user_id, id) WHERE channel = 'system' AND state = 'sent';
