-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- As in SQLite; see there.

-- +goose Up

CREATE INDEX deliveries_arrived ON deliveries (updated_at, id) WHERE channel = 'system' AND state = 'sent';
