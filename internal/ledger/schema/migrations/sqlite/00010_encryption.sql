-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Encryption of what events and messages say. An event's data is encrypted in its own
-- column. And a company's storage includes how an SMS is sent, which was counted when it
-- was stored but not when it was deleted.

-- +goose Up

ALTER TABLE contents ADD COLUMN sealed BLOB NOT NULL DEFAULT x''; -- all texts, encrypted; the other columns are empty then

-- The keys with which rows are, or may be, encrypted.
CREATE TABLE encryption_keys (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    key     TEXT    NOT NULL UNIQUE, -- its ID
    proof   BLOB    NOT NULL, -- something encrypted with it
    used_at INTEGER NOT NULL, -- when a process last said that it encrypts with it
    pass    INTEGER NOT NULL DEFAULT 0 -- 1: all rows from before are encrypted with it, too
);

DROP TRIGGER deliveries_deleted;
-- +goose StatementBegin
CREATE TRIGGER deliveries_deleted AFTER DELETE ON deliveries BEGIN
    UPDATE storage SET bytes = bytes - 1024 - COALESCE((
        SELECT OCTET_LENGTH(sender) + OCTET_LENGTH(subject) + OCTET_LENGTH(text) + OCTET_LENGTH(html) + OCTET_LENGTH(sms) + OCTET_LENGTH(sealed) FROM contents
        WHERE id = OLD.content AND NOT EXISTS (
            SELECT 1 FROM deliveries WHERE event = OLD.event AND rule = OLD.rule AND channel = OLD.channel AND content = OLD.content)), 0)
    WHERE company = OLD.company;
    DELETE FROM contents WHERE id = OLD.content AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE event = OLD.event AND rule = OLD.rule AND channel = OLD.channel AND content = OLD.content);
END;
-- +goose StatementEnd
