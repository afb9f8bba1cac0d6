-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Messages that stand in for others.

-- +goose Up

ALTER TABLE deliveries ADD COLUMN fallback INTEGER NOT NULL DEFAULT 0;       -- 1: another delivery may stand in for it
ALTER TABLE deliveries ADD COLUMN fallback_of INTEGER NOT NULL DEFAULT 0;    -- the delivery that it stands in for
ALTER TABLE deliveries ADD COLUMN fallback_after INTEGER NOT NULL DEFAULT 0; -- how long that one may stay unread, in milliseconds; 0: it need not be read

CREATE INDEX deliveries_fallback ON deliveries (fallback_of) WHERE fallback_of <> 0;
