-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- As in SQLite; see there.

-- +goose Up

ALTER TABLE deliveries
    ADD COLUMN fallback BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN fallback_of BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN fallback_after BIGINT NOT NULL DEFAULT 0;

CREATE INDEX deliveries_fallback ON deliveries (fallback_of) WHERE fallback_of <> 0;
