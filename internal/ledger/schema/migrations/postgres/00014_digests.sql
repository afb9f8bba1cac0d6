-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- The messages beyond a limit are collected in an event, which is due at the end of the period.

-- +goose Up

ALTER TABLE throttles ADD COLUMN digest BIGINT NOT NULL DEFAULT 0;       -- the event that collects in the current period; 0: none yet
ALTER TABLE events ADD COLUMN collected BIGINT NOT NULL DEFAULT 0;       -- how many messages it collected
ALTER TABLE events ADD COLUMN collected_from TEXT COLLATE "C" NOT NULL DEFAULT '';    -- of which events, the first ones only: their IDs, each followed by a comma
