// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// task is the delivery of one occurrence to one webhook.
type task struct {
	id        int64
	webhook   *webhook
	event     string
	body      []byte
	data      json.RawMessage // part of body
	attempts  []Attempt
	created   int64
	completed int64 // milliseconds, 0: not
	failed    int64
}

func (t *task) finished() bool { return t.completed != 0 || t.failed != 0 }

func newTask(id int64, w *webhook, event string, data json.RawMessage, now int64) *task {
	quoted := func(s string) []byte {
		q, _ := json.Marshal(s) // text always encodes
		return q
	}
	body := make([]byte, 0, len(data)+len(event)+len(w.company.ID)+80)
	body = append(body, `{"id": `...)
	body = strconv.AppendInt(body, id, 10)
	body = append(append(body, `, "event": `...), quoted(event)...)
	body = append(append(body, `, "company": `...), quoted(w.company.ID)...)
	body = append(body, `, "data": `...)
	start := len(body)
	body = append(body, data...)
	return &task{
		id: id, webhook: w, event: event, data: body[start:len(body):len(body)],
		body: append(body, '}'), created: now,
	}
}

// deliveries is the state of the webhook tasks, guarded by the platform's lock.
type deliveries struct {
	tasks     []*task // oldest first
	compactAt int     // length of tasks at which finished ones are dropped
	queue     []*task
	running   int // workers
	inFlight  int
	scheduled int
	completed int
	failed    int
	closed    bool
	idle      []chan struct{}
	workers   sync.WaitGroup
}

// Stats counts webhook tasks. Scheduled ones wait for another attempt.
type Stats struct {
	Queued    int `json:"queued"`
	InFlight  int `json:"in_flight"`
	Scheduled int `json:"scheduled"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
}

// Stats counts the webhook tasks since the start.
func (p *Platform) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{len(p.queue), p.inFlight, p.scheduled, p.completed, p.failed}
}

// Tasks lists a company's webhook tasks, oldest first.
func (p *Platform) Tasks(companyID string) []Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []Task{}
	for _, t := range p.tasks {
		if t.webhook.company.ID == companyID {
			all = append(all, Task{
				ID: t.id, Webhook: t.webhook.ID, Event: t.event, Attempts: slices.Clone(t.attempts),
				Completed: t.completed != 0, Failed: t.failed != 0, Body: t.body,
			})
		}
	}
	return all
}

// Redeliver queues a task once more, finished or not, as a platform does whose
// own record of the outcome got lost. The id stays the same.
func (p *Platform) Redeliver(taskID int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tasks {
		if t.id == taskID {
			t.completed, t.failed = 0, 0
			p.enqueue(t)
			return nil
		}
	}
	return errors.New("there is no such webhook task")
}

// Idle waits until no webhook task is queued or in flight. Those scheduled for
// another attempt don't count: advance the clock for them.
func (p *Platform) Idle(ctx context.Context) error {
	p.mu.Lock()
	if len(p.queue)+p.inFlight == 0 {
		p.mu.Unlock()
		return nil
	}
	idle := make(chan struct{})
	p.idle = append(p.idle, idle)
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keep remembers a task for the lists, within TaskHistory. Needs the lock.
func (p *Platform) keep(t *task) {
	p.tasks = append(p.tasks, t)
	if len(p.tasks) < max(p.compactAt, 2*p.opts.TaskHistory) {
		return
	}
	drop := len(p.tasks) - p.opts.TaskHistory
	kept := make([]*task, 0, 2*p.opts.TaskHistory)
	for i, old := range p.tasks {
		if i >= drop || !old.finished() {
			kept = append(kept, old)
		}
	}
	p.tasks = kept
	p.compactAt = 2 * len(kept)
}

// enqueue hands a task to the workers, starting one if fewer than allowed run.
// Needs the lock.
func (p *Platform) enqueue(t *task) {
	if p.closed {
		return
	}
	p.queue = append(p.queue, t)
	if p.running < p.opts.Workers {
		p.running++
		p.workers.Add(1)
		go p.work()
	}
}

// work attempts tasks until there are none left.
func (p *Platform) work() {
	defer p.workers.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 && !p.closed {
		t := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		if !t.webhook.Enabled || t.webhook.Archived {
			p.settle(t, Attempt{Time: p.clock.Now(), Error: "The webhook is disabled."})
		} else {
			url, secret := t.webhook.URL, t.webhook.Secret
			p.inFlight++
			p.mu.Unlock()
			attempt := p.attempt(url, secret, t.body)
			p.mu.Lock()
			p.inFlight--
			p.settle(t, attempt)
		}
		p.tellIdle()
	}
	p.running--
}

func (p *Platform) tellIdle() {
	if len(p.queue)+p.inFlight > 0 {
		return
	}
	for _, idle := range p.idle {
		close(idle)
	}
	p.idle = nil
}

func (p *Platform) attempt(url, secret string, body []byte) Attempt {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	errLate := errors.New("timed out")
	defer p.clock.AfterFunc(webhookTimeout, func() { cancel(errLate) })()
	result := Attempt{Time: p.clock.Now()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		result.Error = "The URL is invalid."
		return result
	}
	p.setHeaders(req)
	req.Header.Set("Authorization", "Secret "+secret)
	resp, err := p.client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
	}
	switch {
	case errors.Is(context.Cause(ctx), errLate):
		result.Error = "The request timed out."
	case err != nil:
		result.Error = "The connection failed."
	default:
		result.Code = resp.StatusCode
		if !result.accepted() {
			result.Error = http.StatusText(resp.StatusCode)
		}
	}
	return result
}

func (a Attempt) accepted() bool {
	return a.Code == http.StatusOK || a.Code == http.StatusCreated || a.Code == http.StatusAccepted
}

// settle records an attempt and decides what comes next. Needs the lock.
func (p *Platform) settle(t *task, a Attempt) {
	t.attempts = append(t.attempts, a)
	w := t.webhook
	if a.Code >= 500 {
		if w.failures++; w.failures >= p.opts.DisableAfter {
			w.Enabled, w.updated = false, p.nowMS()
		}
	}
	switch {
	case a.accepted():
		w.failures = 0
		t.completed = p.nowMS()
		p.completed++
	case !w.Enabled, w.Archived, len(t.attempts) > maxRetries:
		t.failed = p.nowMS()
		p.failed++
	default:
		delay := time.Duration(float64(retryDelay(len(t.attempts))) / p.opts.RetryCompression)
		p.scheduled++
		p.clock.AfterFunc(delay, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.scheduled--
			p.enqueue(t)
		})
	}
}

// retryDelay is how long the platform waits after a number of failed attempts:
// a minute, then twice as long each time, an hour at most. The limit and the
// number of retries are Rehive's; the steps between are not documented.
func retryDelay(attempts int) time.Duration {
	return min(time.Minute<<(attempts-1), maxRetryDelay)
}

func (p *Platform) stopDeliveries() {
	p.mu.Lock()
	p.closed = true
	p.queue = nil
	p.mu.Unlock()
	p.workers.Wait()
	p.mu.Lock()
	p.tellIdle()
	p.mu.Unlock()
}
