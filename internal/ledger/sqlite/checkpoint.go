// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

const (
	// checkpointAfter is how many pages accumulate in the write-ahead log before they are
	// copied into the database: SQLite's default.
	checkpointAfter = 1000
	// restartAfter is how many pages the log has when the writer must wait until the last
	// is copied, so that the log can restart from its beginning. As long as new pages keep
	// arriving it only grows.
	restartAfter = 8000
	// writersCheckpoint is how many pages the log has when the writer copies them itself,
	// if nobody else has.
	writersCheckpoint = 2 * restartAfter
	// checkpointPause is the shortest time between two checks of the log.
	checkpointPause = 10 * time.Millisecond
)

// checkpointer copies committed pages from the write-ahead log into the database while
// the writer continues. SQLite's default is that the writer does it, which took a quarter
// of its time while webhooks waited.
type checkpointer struct {
	db             *sql.DB
	committer      *committer
	after, restart int64 // pages
	log            func(error)
	stop           context.CancelFunc
	stopped        sync.WaitGroup
}

func newCheckpointer(ctx context.Context, db *sql.DB, c *committer, o settings, log func(error)) *checkpointer {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &checkpointer{
		db: db, committer: c, log: log, stop: stop,
		after: cmp.Or(o.checkpointAfter, checkpointAfter), restart: cmp.Or(o.restartAfter, restartAfter),
	}
	p.stopped.Go(func() { p.loop(ctx) })
	return p
}

// close stops it. Pages left in the log stay there, or are copied when the last
// connection closes.
func (p *checkpointer) close() error {
	p.stop()
	p.stopped.Wait()
	return p.db.Close()
}

func (p *checkpointer) loop(ctx context.Context) {
	for {
		select {
		case <-p.committer.committed:
		case <-ctx.Done():
			return
		}
		if err := p.checkpoint(ctx); err != nil && ctx.Err() == nil {
			p.log(err)
		}
		timer := time.NewTimer(checkpointPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// checkpoint copies the log's pages if there are many. If it falls behind, the writer
// waits until all are copied.
func (p *checkpointer) checkpoint(ctx context.Context) error {
	pages, copied, err := p.pragma(ctx, "PRAGMA wal_checkpoint(NOOP)")
	if err != nil || pages-copied < p.after {
		return err
	}
	if pages-copied < p.restart {
		if pages, _, err = p.pragma(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil || pages < p.restart {
			return err
		}
	}
	p.committer.turn.Lock()
	defer p.committer.turn.Unlock()
	_, _, err = p.pragma(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	return err
}

// errReaders says that the log could not be emptied because it is being read.
var errReaders = fmt.Errorf("%w: the write-ahead log is being read", ledger.ErrUnavailable)

// truncate copies all pages and empties the log.
func (p *checkpointer) truncate(ctx context.Context) error {
	p.committer.turn.Lock()
	defer p.committer.turn.Unlock()
	var busy, pages, copied int64
	if err := p.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &copied); err != nil {
		return fmt.Errorf("%w: emptying the write-ahead log: %w", ledger.ErrUnavailable, err)
	}
	if busy != 0 {
		return errReaders
	}
	return nil
}

// pragma returns how many pages are in the log, and how many of them are also in the
// database.
func (p *checkpointer) pragma(ctx context.Context, query string) (pages, copied int64, err error) {
	var busy int64
	err = p.db.QueryRowContext(ctx, query).Scan(&busy, &pages, &copied)
	return pages, copied, err
}
