// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	sqldriver "database/sql/driver"
	"strings"
)

// oneLine is a connector whose errors have one line each. Those of pgx have a line for each host
// that it tried.
type oneLine struct{ sqldriver.Connector }

// Connect implements [sqldriver.Connector].
func (c oneLine) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil && strings.Contains(err.Error(), "\n") {
		err = &oneLineError{err}
	}
	return conn, err
}

type oneLineError struct{ error }

// Error returns the lines of the error, separated by semicolons.
func (e *oneLineError) Error() string {
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(e.error.Error())
}

func (e *oneLineError) Unwrap() error { return e.error }
