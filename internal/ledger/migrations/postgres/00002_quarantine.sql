-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- The state "quarantined", and how many claims in a row ended without an outcome. The
-- columns and the state mean nothing to a replica of the version before, which may
-- still run. The old rows need no check: they had to pass a stricter one.

-- +goose Up

ALTER TABLE events
    ADD COLUMN reason TEXT NOT NULL DEFAULT '',
    ADD COLUMN unfinished BIGINT NOT NULL DEFAULT 0,
    DROP CONSTRAINT events_state_check,
    ADD CONSTRAINT events_state_check CHECK (state IN ('pending', 'done', 'failed', 'cancelled', 'quarantined')) NOT VALID;

ALTER TABLE deliveries
    ADD COLUMN unfinished BIGINT NOT NULL DEFAULT 0,
    DROP CONSTRAINT deliveries_state_check,
    ADD CONSTRAINT deliveries_state_check CHECK (state IN ('pending', 'sent', 'failed', 'skipped', 'cancelled', 'quarantined')) NOT VALID;

CREATE INDEX events_quarantined ON events (company, id) WHERE state = 'quarantined';
CREATE INDEX deliveries_quarantined ON deliveries (company, id) WHERE state = 'quarantined';
