// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// IsUnavailable reports whether opening a ledger failed because the database did not
// accept connections at that moment: it is unreachable, starting, stopping, a standby, or
// has no connection left. Waiting may help, unlike with a wrong password or an unsuitable
// server.
func IsUnavailable(err error) bool {
	if noConnectionLeft(err) {
		return true
	}
	var failed *pgconn.ConnectError
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case "25006", // it is a standby
			"57P01", "57P02", "57P03": // it is stopping or starting
			return true
		case "55000": // the database does not allow connections
			return errors.As(err, &failed)
		}
		return false
	}
	return errors.As(err, &failed) || errors.Is(err, context.DeadlineExceeded)
}
