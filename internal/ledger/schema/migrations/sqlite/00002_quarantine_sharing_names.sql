-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- The state "quarantined", and how many claims in a row ended without an outcome.
-- What is said is stored once for all deliveries that say it. Rules are known by
-- namespace/name, which survives a rule that is replaced or restored. And how much each
-- company stores is counted.
--
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
    rule              TEXT    NOT NULL, -- namespace/name
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
    content           INTEGER NOT NULL DEFAULT 0, -- contents.id; 0: it says nothing
    received_at       INTEGER NOT NULL DEFAULT 0, -- when its user said so; 0: not yet
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (event, rule, channel, recipient, copy)
);

-- Two rules of one name may have met one event, if the rule was replaced meanwhile. The
-- later row counts as a copy.
INSERT INTO deliveries_new (id, event, company, event_id, event_name, event_received_at, rule, copy, channel, recipient, user_id,
    state, reason, message, attempts, next_attempt_at, lease, provider_id, content, received_at, created_at, updated_at)
SELECT id, event, company, event_id, event_name, event_received_at, rule_name,
    copy + CASE WHEN EXISTS (
        SELECT 1 FROM deliveries o
        WHERE o.event = d.event AND o.rule_name = d.rule_name AND o.channel = d.channel AND o.recipient = d.recipient AND o.copy = d.copy AND o.id < d.id
    ) THEN id ELSE 0 END,
    channel, recipient, user_id, state, reason, message, attempts, next_attempt_at, lease, provider_id,
    CASE WHEN EXISTS (SELECT 1 FROM contents WHERE delivery = d.id) THEN id ELSE 0 END, received_at, created_at, updated_at
FROM deliveries d ORDER BY id;

-- A delivery that was never to be sent has none.
CREATE TABLE contents_new (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    sender  TEXT NOT NULL,
    subject TEXT NOT NULL,
    text    TEXT NOT NULL,
    html    TEXT NOT NULL
);

INSERT INTO contents_new SELECT delivery, sender, subject, text, html FROM contents ORDER BY delivery;

-- What users chose; of a rule that a user said nothing about there is no row. The name
-- of a rule is found in the log. Where it isn't there, the row keeps the UID, and counts
-- while a rule with this UID exists.
CREATE TABLE preferences_new (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    company    TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    rule       TEXT    NOT NULL, -- namespace/name, or uid:<UID>
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    updated_at INTEGER NOT NULL,
    UNIQUE (company, user_id, rule)
);

CREATE TABLE rule_names AS SELECT company, rule_uid, MAX(rule_name) AS name FROM deliveries GROUP BY company, rule_uid;
CREATE UNIQUE INDEX rule_names_uid ON rule_names (company, rule_uid);

INSERT INTO preferences_new (id, company, user_id, rule, enabled, updated_at)
SELECT id, company, user_id, COALESCE((SELECT name FROM rule_names n WHERE n.company = p.company AND n.rule_uid = p.rule_uid), 'uid:' || rule_uid), enabled, updated_at
FROM preferences p WHERE true ORDER BY updated_at, id
ON CONFLICT (company, user_id, rule) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at;

DROP TABLE rule_names;

DELETE FROM sqlite_sequence WHERE name IN ('events_new', 'deliveries_new', 'preferences_new');
INSERT INTO sqlite_sequence (name, seq) SELECT name || '_new', seq FROM sqlite_sequence WHERE name IN ('events', 'deliveries', 'preferences');

DROP TABLE contents;
DROP TABLE deliveries;
DROP TABLE events;
DROP TABLE preferences;
ALTER TABLE events_new RENAME TO events;
ALTER TABLE deliveries_new RENAME TO deliveries;
ALTER TABLE contents_new RENAME TO contents;
ALTER TABLE preferences_new RENAME TO preferences;

CREATE INDEX events_due ON events (company, next_attempt_at) WHERE state = 'pending';
CREATE INDEX events_quarantined ON events (company, id) WHERE state = 'quarantined';

CREATE INDEX deliveries_due ON deliveries (company, channel, next_attempt_at) WHERE state = 'pending';
CREATE INDEX deliveries_company ON deliveries (company, id);
CREATE INDEX deliveries_failed ON deliveries (company, id) WHERE state = 'failed';
CREATE INDEX deliveries_quarantined ON deliveries (company, id) WHERE state = 'quarantined';
CREATE INDEX deliveries_inbox ON deliveries (company, user_id, id) WHERE channel = 'system' AND state = 'sent';

-- About how many bytes each company stores: what its rows hold, and 1,024 for each row.
-- What is added is written with some delay, what is deleted is taken off at once.
CREATE TABLE storage (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    company TEXT    NOT NULL UNIQUE,
    bytes   INTEGER NOT NULL
);

INSERT INTO storage (company, bytes)
SELECT company, SUM(bytes) FROM (
    SELECT company, 1024 + OCTET_LENGTH(data) AS bytes FROM events
    UNION ALL
    SELECT company, 1024 + COALESCE(OCTET_LENGTH(sender) + OCTET_LENGTH(subject) + OCTET_LENGTH(text) + OCTET_LENGTH(html), 0)
    FROM deliveries LEFT JOIN contents ON contents.id = content
) GROUP BY company;

-- +goose StatementBegin
CREATE TRIGGER events_deleted AFTER DELETE ON events BEGIN
    UPDATE storage SET bytes = bytes - 1024 - OCTET_LENGTH(OLD.data) WHERE company = OLD.company;
END;
-- +goose StatementEnd

-- What is said goes with the last delivery that says it. Only deliveries of one rule,
-- channel and event share it, and those are few.
-- +goose StatementBegin
CREATE TRIGGER deliveries_deleted AFTER DELETE ON deliveries BEGIN
    UPDATE storage SET bytes = bytes - 1024 - COALESCE((
        SELECT OCTET_LENGTH(sender) + OCTET_LENGTH(subject) + OCTET_LENGTH(text) + OCTET_LENGTH(html) FROM contents
        WHERE id = OLD.content AND NOT EXISTS (
            SELECT 1 FROM deliveries WHERE event = OLD.event AND rule = OLD.rule AND channel = OLD.channel AND content = OLD.content)), 0)
    WHERE company = OLD.company;
    DELETE FROM contents WHERE id = OLD.content AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE event = OLD.event AND rule = OLD.rule AND channel = OLD.channel AND content = OLD.content);
END;
-- +goose StatementEnd
