-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- How many messages were charged to each quota of a day.

-- +goose Up

CREATE TABLE charges (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    company TEXT    NOT NULL,
    channel TEXT    NOT NULL,
    scope   TEXT    NOT NULL, -- company, recipient or country
    key     TEXT    NOT NULL, -- the recipient or country
    day     INTEGER NOT NULL, -- since 1970, in UTC
    n       INTEGER NOT NULL,
    UNIQUE (company, channel, scope, key, day)
);

CREATE INDEX charges_day ON charges (day);
