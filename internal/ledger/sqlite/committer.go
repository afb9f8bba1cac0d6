// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

const (
	// maxBatch is how many jobs may share a commit: enough that the fsync costs little
	// beside them, few enough that none waits long.
	maxBatch = 256
	// largeJob is the size in bytes from which a job counts as large, and maxBatchLarge
	// how many bytes the large jobs of a commit may write together, unless there is only
	// one: writing a mebibyte takes some ten milliseconds, for which all others wait.
	largeJob      = 64 << 10
	maxBatchLarge = 1 << 20
	// maxQueue is how many jobs may wait for a commit.
	maxQueue = 4096
	// While webhooks arrive less than quiet apart, background jobs wait for each other
	// for up to hold. They delay the webhooks least when they run together.
	quiet = 2 * time.Millisecond
	hold  = 5 * time.Millisecond
)

// job is work for the writer.
type job struct {
	// ctx is the caller's: a job whose caller has gone is not started.
	ctx context.Context
	// run changes the database, see [driver.Job].
	run func(*writer) error
	// single, relaxed, background, bytes and committed are those of a [driver.Job].
	single, relaxed, background bool
	bytes                       int
	committed                   func()
	// reads says that run changes nothing, and accepts that a webhook waits for it.
	reads, accepts bool
	// ended, if not nil, is called with the job's error once its outcome is known.
	ended func(error)

	queued time.Time // of a background job
	err    error
	done   chan struct{}
}

// committer runs all writes, one transaction after another. Jobs that arrive during a
// commit share the next one, so that concurrent callers share the fsync; a caller who is
// alone waits for nobody and commits by itself. Background jobs, which dispatch events,
// give way for some milliseconds to webhooks, which somebody waits for.
type committer struct {
	ctx       context.Context // never done
	open      func(context.Context) (*writer, error)
	log       func(err error)
	jobs      chan *job
	queued    driver.Signal // raised after a job was queued
	committed driver.Signal // raised after a commit
	closing   chan struct{}
	done      chan struct{}

	// turn is held by the goroutine that commits, and guards the fields below.
	turn   sync.Mutex
	writer *writer
	// held are the background jobs that wait, the oldest first, and accepted is when the
	// last webhook's event was committed.
	held     []*job
	accepted time.Time
	// large are the large jobs that wait, the oldest first. Few go into each commit.
	large []*job

	// failure is why the last commit failed; nil if it did not.
	failure atomic.Pointer[error]
}

func newCommitter(ctx context.Context, open func(context.Context) (*writer, error), log func(error)) *committer {
	c := &committer{
		ctx:       context.WithoutCancel(ctx),
		open:      open,
		log:       log,
		jobs:      make(chan *job, maxQueue),
		queued:    driver.NewSignal(),
		committed: driver.NewSignal(),
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	go c.loop()
	return c
}

// do hands in a job and waits for its commit. Errors of the database wrap
// [ledger.ErrUnavailable]; errors of the job are returned as they are. After an error of
// the caller's context the job may still be committed.
func (c *committer) do(j *job) error {
	select {
	case <-c.closing:
		return j.refuse(driver.ErrClosed)
	default:
	}
	if !j.background && c.commitAlone(j) {
		return j.err
	}
	j.done = make(chan struct{})
	if j.background {
		j.queued = time.Now()
	}
	select {
	case c.jobs <- j:
		c.queued.Raise()
	case <-c.closing:
		return j.refuse(driver.ErrClosed)
	case <-j.ctx.Done():
		return j.refuse(driver.Refused(j.ctx.Err()))
	}
	select {
	case <-j.done:
		return j.err
	case <-j.ctx.Done():
		return driver.TimedOut(j.ctx.Err())
	case <-c.done:
	}
	select {
	case <-j.done: // in the last batch
		return j.err
	default:
		return j.refuse(driver.ErrClosed)
	}
}

// refuse ends a job that is not run.
func (j *job) refuse(err error) error {
	if j.ended != nil {
		j.ended(err)
	}
	return err
}

// commitAlone commits a job at once if nobody else writes or waits: handing it to another
// goroutine takes as long as a fast disk. If the disk hangs, so does this one caller;
// those that come after it are refused in time.
func (c *committer) commitAlone(j *job) bool {
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

// close commits the waiting jobs and stops.
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
		// Let the checkpointer have its turn, however much there is to write.
		c.turn.Unlock()
		c.turn.Lock()
	}
}

// commit commits a batch and reports the outcome of each job.
func (c *committer) commit(batch []*job) {
	var err error
	if c.writer == nil {
		c.writer, err = c.open(c.ctx)
	}
	if err == nil {
		err = c.writer.commit(batch)
	}
	if err != nil {
		// A connection that saw the disk fail may hold an incomplete transaction: the
		// next batch gets a new connection.
		if c.writer != nil {
			c.writer.discard()
			c.writer = nil
		}
		c.failure.Store(&err)
		c.log(err)
		err = fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
	} else if c.writer.changed {
		// A batch that changed nothing proves nothing: a full disk can be read.
		c.failure.Store(nil)
		c.committed.Raise()
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

// next waits for a job and takes those that queued behind it, and the background jobs
// when they have waited long enough. It returns nothing once the committer is closed and
// nothing waits. The caller holds the turn, which is released while next waits.
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

// queuedJobs takes the jobs in the queue, and as many of the large jobs as may share a
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
	case j.background:
		c.held = append(c.held, j)
	default:
		return append(batch, j)
	}
	return batch
}

// patience is how much longer the held jobs wait; 0 if there are none.
func (c *committer) patience() time.Duration {
	if len(c.held) == 0 {
		return 0
	}
	return min(hold-time.Since(c.held[0].queued), quiet-time.Since(c.accepted))
}
