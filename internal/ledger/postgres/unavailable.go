// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// IsUnavailable reports whether opening a ledger failed because the database did not
// accept connections or writes at that moment: it is unreachable, starting, stopping, a standby,
// or has no connection or no room on its disk left. Waiting may help, unlike with a wrong password
// or an unsuitable server.
func IsUnavailable(err error) bool {
	if noConnectionLeft(err) || poolerWaits(err) {
		return true
	}
	var failed *pgconn.ConnectError
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case "25006", // it is a standby
			"57P01", "57P02", "57P03", // it is stopping or starting
			"53100": // its disk is full
			return true
		case "55000": // the database does not allow connections
			return errors.As(err, &failed)
		}
		return false
	}
	return errors.As(err, &failed) || errors.Is(err, context.DeadlineExceeded)
}

// poolerWaits reports whether PgBouncer answered because it can't reach the server, or because its
// administrator disabled the database. PgBouncer has one code for everything, so that only the text
// says so.
func poolerWaits(err error) bool {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) {
		return false
	}
	for _, text := range []string{"server_login_retry", "the database system is ", "server conn crashed", "server connections dropped", "connect failed"} {
		if strings.Contains(refusal.Message, text) {
			return true
		}
	}
	return refusal.Code == "08P01" && strings.HasSuffix(refusal.Message, " is disabled")
}
