// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// api measures the latency of admins' lists of notifications, with many rules in the
// cluster.
func (b *bench) api(ctx context.Context) error {
	const (
		rate     = 500 // calls per second
		pageSize = 50
		rules    = 10_000 // in the cluster
	)
	length := 30 * time.Second
	if b.short {
		length = 10 * time.Second
	}
	if err := b.scene(ctx); err != nil {
		return err
	}
	if err := b.multiplyRules(ctx, b.companies, rules/companyCount); err != nil {
		return err
	}
	defer func() { _ = b.divideRules(context.WithoutCancel(ctx)) }()
	tokens := make([]string, companyCount)
	for i, company := range b.companies {
		admin, err := b.set.Platform.AddUser(company.company, rehivetest.User{Group: "admin"})
		if err != nil {
			return err
		}
		tokens[i] = admin.Token
	}
	list := &apiLoad{url: fmt.Sprintf("%s/api/admin/notifications/?page_size=%d", b.set.Manager.PublicURL, pageSize), tokens: tokens}
	defer list.client.CloseIdleConnections()
	if _, err := list.run(ctx, 50, 2*time.Second); err != nil { // verify each token once
		return err
	}
	profiled := b.profileFor(ctx, "api", length-2*time.Second)
	took, err := list.run(ctx, rate, length)
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	t := &table{name: "api", title: fmt.Sprintf("Lists of %d notifications, with %s rules in the cluster", pageSize, grouped(rules)), what: "load", columns: []string{
		"p50 ms", "p99 ms", "max ms", "KiB per answer",
	}}
	t.add(fmt.Sprintf("%d calls/s", rate), sample{took.quantile(.5)}, sample{took.quantile(.99)}, sample{took.quantile(1)}, sample{float64(list.bytes.Load()) / float64(list.calls.Load()) / 1024})
	t.note("%d companies have %d rules each; latency is measured from when a call was due", companyCount, rules/companyCount)
	b.report(fmt.Sprintf("p99 of %d lists of %d notifications per second, with %s rules", rate, pageSize, grouped(rules)), sample{took.quantile(.99)}, " ms", atMost(50))
	return b.finish(t)
}

// apiLoad calls one URL with many tokens in turn.
type apiLoad struct {
	url          string
	tokens       []string
	client       http.Client
	calls, bytes atomic.Int64
}

// run makes calls at a rate, however long they take, and returns the latency of each since
// it was due.
func (l *apiLoad) run(ctx context.Context, rate int, length time.Duration) (latencies, error) {
	const workers = 64
	l.client.Transport = &http.Transport{MaxIdleConnsPerHost: workers}
	total := int64(length.Seconds() * float64(rate))
	took := make(latencies, total)
	var next atomic.Int64
	var failures [workers]error
	start := time.Now()
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			for failures[i] == nil {
				n := next.Add(1) - 1
				if n >= total {
					return
				}
				due := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(due))
				failures[i] = l.call(ctx, l.tokens[n%int64(len(l.tokens))])
				took[n] = time.Since(due)
			}
		})
	}
	running.Wait()
	return took, errors.Join(failures[:]...)
}

func (l *apiLoad) call(ctx context.Context, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url, nil)
	if err != nil {
		return fmt.Errorf("calling the API: %w", err)
	}
	request.Header.Set("Authorization", "Token "+token)
	response, err := l.client.Do(request)
	if err != nil {
		return fmt.Errorf("calling the API: %w", err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", response.Status)
	}
	if err != nil {
		return fmt.Errorf("calling the API: %w", err)
	}
	l.calls.Add(1)
	l.bytes.Add(n)
	return nil
}
