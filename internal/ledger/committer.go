// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBatch is how many jobs share a commit at most: enough that the cost of
	// the fsync is small beside theirs, few enough that none waits long.
	maxBatch = 256
	// largeJob is how many bytes a job writes at least to count as large, and
	// maxBatchLarge how many the large jobs of a commit write together, unless there is
	// only one: writing a mebibyte takes some ten milliseconds, for which all others wait.
	largeJob      = 64 << 10
	maxBatchLarge = 1 << 20
	// maxQueue is how many jobs may wait for a commit.
	maxQueue = 4096
	// While webhooks come less than quiet apart, patient jobs wait for each other, at
	// most hold. They cost the webhooks least in one go.
	quiet = 2 * time.Millisecond
	hold  = 5 * time.Millisecond
	// minMutedLog is how often at most a failing database is logged.
	minMutedLog = 10 * time.Second
)

// job is a piece of work for the writer.
type job struct {
	// ctx is the caller's: a job whose caller has gone is not begun.
	ctx context.Context
	// run changes the database. It may be the only part of its transaction that
	// fails. It may be run again after what it did was undone.
	run func(*writer) error
	// one says that run is a single statement, which fails as a whole by itself, and
	// reads that it changes nothing.
	one, reads bool
	// loose says that it does no harm if a power cut undoes the change, as with a
	// claim: the commit doesn't wait for the disk unless it is shared.
	loose bool
	// bytes is about how many bytes the job writes; it need not be set for small ones.
	bytes int
	// accepts says that a webhook waits for this job, patient that it can wait itself
	// while there are webhooks.
	accepts, patient bool
	// committed, if not nil, is called after the commit, and ended once it is known what
	// became of the job, with its error.
	committed func()
	ended     func(error)

	queued time.Time // of a patient job
	err    error
	done   chan struct{}
}

// committer runs all writes, one transaction after another. Whatever came while
// one was being committed goes into the next together, so that concurrent
// callers share the fsync; a caller who is alone waits for nobody and commits by
// itself. What dispatches events makes way for webhooks, which someone waits for, for
// some milliseconds.
type committer struct {
	ctx    context.Context // never done
	open   func(context.Context) (*writer, error)
	log    func(err error)
	jobs   chan *job
	queued wake // has a value after a job was queued
	// committed has a value after a commit.
	committed wake
	closing   chan struct{}
	done      chan struct{}

	// turn is held by who commits, and guards what follows.
	turn   sync.Mutex
	writer *writer
	// held are the patient jobs that wait, the oldest first, and accepted is when a
	// webhook's event was committed last.
	held     []*job
	accepted time.Time
	// large are the large jobs that wait, the oldest first. Few go into each commit.
	large  []*job
	logged time.Time

	// failure is why the last commit failed; nil after one that didn't.
	failure atomic.Pointer[error]
}

func newCommitter(ctx context.Context, open func(context.Context) (*writer, error), log func(error)) *committer {
	c := &committer{
		ctx:       context.WithoutCancel(ctx),
		open:      open,
		log:       log,
		jobs:      make(chan *job, maxQueue),
		queued:    newWake(),
		committed: newWake(),
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	go c.loop()
	return c
}

// do hands in a job and waits for its commit. Errors of the database wrap
// [ErrUnavailable]; those of the job come as they are. After an error of the
// caller's context the job may still be committed.
func (c *committer) do(j *job) error {
	select {
	case <-c.closing:
		return j.refuse(errClosed)
	default:
	}
	if !j.patient && c.alone(j) {
		return j.err
	}
	j.done = make(chan struct{})
	if j.patient {
		j.queued = time.Now()
	}
	select {
	case c.jobs <- j:
		c.queued.raise()
	case <-c.closing:
		return j.refuse(errClosed)
	case <-j.ctx.Done():
		return j.refuse(fmt.Errorf("%w: too many writes are waiting: %w", ErrUnavailable, j.ctx.Err()))
	}
	select {
	case <-j.done:
		return j.err
	case <-j.ctx.Done():
		return fmt.Errorf("%w: the write took too long: %w", ErrUnavailable, j.ctx.Err())
	case <-c.done:
	}
	select {
	case <-j.done: // in the last batch
		return j.err
	default:
		return j.refuse(errClosed)
	}
}

var errClosed = fmt.Errorf("%w: it is closed", ErrUnavailable)

// refuse ends a job that is not run.
func (j *job) refuse(err error) error {
	if j.ended != nil {
		j.ended(err)
	}
	return err
}

// alone commits a job at once if nobody else writes or waits: to have another
// goroutine do it and tell takes as long as a quick disk. Where the disk hangs, so does
// this one caller; those that come after it are refused in time.
func (c *committer) alone(j *job) bool {
	if len(c.jobs) > 0 || !c.turn.TryLock() {
		return false
	}
	defer c.turn.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	c.commit([]*job{j})
	return true
}

// close commits what waits and stops.
func (c *committer) close() {
	close(c.closing)
	<-c.done
}

func (c *committer) loop() {
	c.turn.Lock()
	defer func() {
		if c.writer != nil {
			c.writer.close()
		}
		close(c.done)
		c.turn.Unlock()
	}()
	batch := make([]*job, 0, maxBatch)
	for {
		batch = c.next(batch[:0])
		if len(batch) == 0 {
			return
		}
		c.commit(batch)
		clear(batch)
		// However much there is to write, the checkpointer gets its turn.
		c.turn.Unlock()
		c.turn.Lock()
	}
}

// commit commits a batch and tells everybody.
func (c *committer) commit(batch []*job) {
	var err error
	if c.writer == nil {
		c.writer, err = c.open(c.ctx)
	}
	if err == nil {
		err = c.writer.commit(batch)
	}
	if err != nil {
		// A connection that saw the disk fail may hold a half-done
		// transaction: the next batch begins on a new one.
		if c.writer != nil {
			c.writer.discard()
			c.writer = nil
		}
		c.failure.Store(&err)
		if time.Since(c.logged) > minMutedLog {
			c.logged = time.Now()
			c.log(err)
		}
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	} else if c.writer.changed {
		// Else it proves nothing: a full disk can be read.
		c.failure.Store(nil)
		c.committed.raise()
	}
	for _, j := range batch {
		if j.accepts {
			c.accepted = time.Now()
		}
		if err != nil {
			j.err = err
		} else if j.err == nil && j.committed != nil {
			j.committed()
		}
		if j.ended != nil {
			j.ended(j.err)
		}
		if j.done != nil {
			close(j.done)
		}
	}
}

// next waits for a job and takes those that queued behind it, and the patient ones
// when their time has come. It returns nothing when the committer is closed and
// nothing waits. The caller holds the turn, which others have while it waits.
func (c *committer) next(batch []*job) []*job {
	for {
		batch = c.queuedJobs(batch)
		wait := c.patience()
		if wait <= 0 {
			batch, c.held = append(batch, c.held...), nil
		}
		if len(batch) > 0 {
			return batch
		}
		var due <-chan time.Time
		if len(c.held) > 0 {
			due = time.After(wait)
		}
		c.turn.Unlock()
		closed := false
		select {
		case <-c.queued:
		case <-due:
		case <-c.closing:
			closed = true
		}
		c.turn.Lock()
		if closed {
			batch = append(c.queuedJobs(batch), c.held...)
			c.held = nil
			return batch
		}
	}
}

// queuedJobs takes what is in the queue, and of the large jobs as many as may share a
// commit.
func (c *committer) queuedJobs(batch []*job) []*job {
	for len(batch) < maxBatch {
		select {
		case j := <-c.jobs:
			batch = c.take(batch, j)
			continue
		default:
		}
		break
	}
	n, bytes := 0, 0
	for n < len(c.large) && (n == 0 || bytes+c.large[n].bytes <= maxBatchLarge) {
		bytes += c.large[n].bytes
		n++
	}
	batch = append(batch, c.large[:n]...)
	c.large = slices.Delete(c.large, 0, n)
	return batch
}

func (c *committer) take(batch []*job, j *job) []*job {
	switch {
	case j.bytes >= largeJob:
		c.large = append(c.large, j)
	case j.patient:
		c.held = append(c.held, j)
	default:
		return append(batch, j)
	}
	return batch
}

// patience is how long the held jobs still wait; 0 if there are none.
func (c *committer) patience() time.Duration {
	if len(c.held) == 0 {
		return 0
	}
	return min(hold-time.Since(c.held[0].queued), quiet-time.Since(c.accepted))
}
