-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Attempts to send a delivery that did not succeed, or were put off. A delivery that is
-- sent at once has none. Attempts in a row with the same outcome share a row.

-- +goose Up

CREATE TABLE attempts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL, -- deliveries.id
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    times    INTEGER NOT NULL,
    state    TEXT    NOT NULL, -- that of the delivery afterwards
    reason   TEXT    NOT NULL,
    message  TEXT    NOT NULL
);

CREATE INDEX attempts_delivery ON attempts (delivery);

-- +goose StatementBegin
CREATE TRIGGER attempts_deleted AFTER DELETE ON deliveries BEGIN
    UPDATE storage SET bytes = bytes - 512 * (SELECT COUNT(*) FROM attempts WHERE delivery = OLD.id)
    WHERE company = OLD.company AND EXISTS (SELECT 1 FROM attempts WHERE delivery = OLD.id);
    DELETE FROM attempts WHERE delivery = OLD.id;
END;
-- +goose StatementEnd
