-- Copyright 2026 The Rehive Extension Operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- The in-app messages in the order in which they were delivered, for the streams of all users.

-- +goose Up

CREATE INDEX deliveries_arrived ON deliveries (updated_at, id) WHERE channel = 'system' AND state = 'sent';
