// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// answerTime is the minimum time for which the load waits for an answer, like the platform.
const answerTime = 5 * time.Second

// connection is one keep-alive connection of the load. net/http's client would use more CPU
// than the server under test, on the cores that they share; this one writes prepared bytes
// and parses as little of the answer as possible.
type connection struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	limit   time.Time // the current deadline
}

// webhook is a prepared call of /api/webhook/, which only lacks the event's number.
type webhook struct {
	company, secret, data string
	// parts are the pieces of the request. The event's number goes between them.
	parts []string
}

const numberDigits = 12

// newWebhook prepares a call. Each {number} in data, which is JSON, is replaced with the
// event's number.
func newWebhook(company, secret, event, data string) *webhook {
	const number = "{number}"
	body := fmt.Sprintf(`{"id":"%s","event":%q,"company":%q,"data":%s}`, number, event, company, data)
	length := len(body) + strings.Count(body, number)*(numberDigits-len(number))
	request := fmt.Sprintf("POST /api/webhook/ HTTP/1.1\r\nHost: operator\r\nAuthorization: Secret %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", secret, length, body)
	return &webhook{company: company, secret: secret, data: data, parts: strings.Split(request, number)}
}

// write appends the whole request to b.
func (w *webhook) write(b []byte, number int64) []byte {
	var digits [numberDigits]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + number%10)
		number /= 10
	}
	for i, part := range w.parts {
		if i > 0 {
			b = append(b, digits[:]...)
		}
		b = append(b, part...)
	}
	return b
}

// post sends an event and returns when it is acknowledged.
func (c *connection) post(ctx context.Context, w *webhook, number int64) error {
	c.request = w.write(c.request[:0], number)
	err := c.exchange(ctx)
	if err != nil && c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
	return err
}

func (c *connection) exchange(ctx context.Context) error {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return fmt.Errorf("connecting to the manager: %w", err)
		}
		c.conn, c.reader, c.limit = conn, bufio.NewReaderSize(conn, 1<<10), time.Time{}
	}
	// Not at each call, because setting a deadline is expensive.
	if now := time.Now(); c.limit.Sub(now) < answerTime {
		c.limit = now.Add(2 * answerTime)
		if err := c.conn.SetDeadline(c.limit); err != nil {
			return err
		}
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return fmt.Errorf("sending a webhook: %w", err)
	}
	status, err := c.readAnswer()
	if err != nil {
		return fmt.Errorf("reading the answer to a webhook: %w", err)
	}
	if status != 200 {
		return fmt.Errorf("a webhook was answered with %d", status)
	}
	return nil
}

// readAnswer reads an answer with a Content-Length, like all answers of /api/webhook/.
func (c *connection) readAnswer() (status int, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("it begins with %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("it begins with %q", line)
	}
	length := -1
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("it has no Content-Length")
	}
	_, err = io.CopyN(io.Discard, c.reader, int64(length))
	return status, err
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// pacer returns when to send the next event; false ends the load.
type pacer func() (at time.Time, ok bool)

// source returns an event that is due at a time, and its number.
type source func(due time.Time) (*webhook, int64)

// load sends events to the manager, see run.
func (b *bench) load(ctx context.Context, connections int, pace pacer, next source) (latencies, error) {
	return run(ctx, strings.TrimPrefix(b.set.Manager.PublicURL, "http://"), connections, pace, next)
}

// run sends events over some connections until the pacer ends each of them, and returns the
// latency of every acknowledged event since it was due. The first error ends the run.
func run(ctx context.Context, address string, connections int, pace pacer, next source) (latencies, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]latencies, connections)
	var running sync.WaitGroup
	for i := range connections {
		running.Go(func() {
			c := &connection{address: address}
			defer c.close()
			for ctx.Err() == nil {
				at, ok := pace()
				if !ok {
					return
				}
				if wait := time.Until(at); wait > 0 {
					time.Sleep(wait)
				}
				w, number := next(at)
				if err := c.post(ctx, w, number); err != nil {
					cancel(err)
					return
				}
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	running.Wait()
	return slices.Concat(took...), context.Cause(ctx)
}

// flatOut sends as fast as the answers arrive.
func flatOut(end time.Time) pacer {
	return func() (time.Time, bool) {
		now := time.Now()
		return now, now.Before(end)
	}
}

// times sends a number of events as fast as the answers arrive.
func times(n int64) pacer {
	var sent atomic.Int64
	return func() (time.Time, bool) { return time.Now(), sent.Add(1) <= n }
}

// atRate sends events at an even rate. Latency counts from when an event was due, so it
// includes waiting for a free connection.
func atRate(perSecond float64, start, end time.Time) pacer {
	var mu sync.Mutex
	sent := 0
	return func() (time.Time, bool) {
		mu.Lock()
		defer mu.Unlock()
		at := start.Add(time.Duration(float64(sent) / perSecond * float64(time.Second)))
		sent++
		return at, at.Before(end)
	}
}
