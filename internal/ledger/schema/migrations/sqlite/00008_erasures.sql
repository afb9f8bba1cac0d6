-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- That a user's data was erased, without saying whose it was.

-- +goose Up

CREATE TABLE erasures (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    company     TEXT NOT NULL,
    subject     TEXT NOT NULL, -- SHA-256 of the company and the user's ID
    cause       TEXT NOT NULL, -- who asked for it: platform or admin
    deliveries  INTEGER NOT NULL,
    events      INTEGER NOT NULL,
    preferences INTEGER NOT NULL,
    erased_at   INTEGER NOT NULL
);

CREATE INDEX erasures_company ON erasures (company, id);
