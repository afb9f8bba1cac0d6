// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/rehive/extension-operator/internal/ledger"
)

// listing is a query that is read in pages.
type listing[T any] struct {
	// name says in errors what is read.
	name string
	// query selects the rows, without the order and the limit. table and where select the
	// same rows, to count them.
	query, table, where string
	order               string
	args                []any
	scan                func(*sql.Rows, *T) error
}

// read returns at most limit rows (maxLogPage if more) after offset, and whether there are
// more. It holds one row more than it returns at most. The caller has its turn, see
// [Store.enterLog].
func (l *listing[T]) read(ctx context.Context, s *Store, offset, limit int) (found []T, more bool, err error) {
	limit = min(limit, maxLogPage)
	rows, err := s.pool.QueryContext(ctx, l.query+l.where+" ORDER BY "+l.order+" LIMIT "+strconv.Itoa(limit+1)+" OFFSET "+strconv.Itoa(offset), l.args...)
	if err != nil {
		return nil, false, stopped(ctx, "reading "+l.name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if len(found) == limit {
			return found, true, nil
		}
		var row T
		if err := l.scan(rows, &row); err != nil {
			return nil, false, stopped(ctx, "reading "+l.name, err)
		}
		found = append(found, row)
	}
	if err := rows.Err(); err != nil {
		return nil, false, stopped(ctx, "reading "+l.name, err)
	}
	return found, false, nil
}

// page is read in its turn and within its time, with the number of rows on all pages, at
// most [ledger.MaxLogCount].
func (l *listing[T]) page(ctx context.Context, s *Store, offset, limit int) (found []T, more bool, count int, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, false, 0, err
	}
	defer leave()
	offset = min(offset, ledger.MaxLogCount)
	found, more, err = l.read(ctx, s, offset, limit)
	if err != nil {
		return nil, false, 0, err
	}
	if count = offset + len(found); !more && (offset == 0 || len(found) > 0) {
		return found, false, count, nil // the last page: no need to count
	}
	query := "SELECT COUNT(*) FROM (SELECT 1 FROM " + l.table + " " + l.where + " LIMIT " + strconv.Itoa(ledger.MaxLogCount) + ") AS counted"
	if err := s.pool.QueryRowContext(ctx, query, l.args...).Scan(&count); err != nil {
		return nil, false, 0, stopped(ctx, "counting "+l.name, err)
	}
	return found, more, count, nil
}

// direction is the order of a listing by ID.
func direction(oldestFirst bool) string {
	if oldestFirst {
		return " ASC"
	}
	return " DESC"
}
