// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	pageSize = 250 // the platform's maximum

	// maxPages bounds lists that are read whole into memory.
	maxPages = 100
	// maxStreamedPages bounds lists that are read page by page: a million users.
	maxStreamedPages = 4000
)

type page[T any] struct {
	Next    *string `json:"next"`
	Results []T     `json:"results"`
}

// list reads all pages of a list. Objects are told apart by key: when the list
// changes between two pages the platform shows an object on both, and a child
// transaction counted twice would be money.
func list[T any, K comparable](ctx context.Context, s Session, in call, key func(T) K) ([]T, error) {
	var all []T
	seen := make(map[K]struct{})
	for item, err := range stream[T](ctx, s, in, maxPages) {
		if err != nil {
			return nil, err
		}
		if _, again := seen[key(item)]; again {
			continue
		}
		seen[key(item)] = struct{}{}
		all = append(all, item)
	}
	return all, nil
}

// stream reads a list page by page, each when it is asked for. An error ends it.
func stream[T any](ctx context.Context, s Session, in call, limit int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		request := in
		request.method = http.MethodGet
		query := url.Values{"page_size": {strconv.Itoa(pageSize)}}
		for name, values := range in.query {
			query[name] = values
		}
		request.query = query
		for n := 0; ; n++ {
			if n == limit {
				yield(none, garbled(in.op, http.StatusOK, fmt.Sprintf("the list is longer than %d pages", limit)))
				return
			}
			var p page[json.RawMessage]
			if err := s.do(ctx, request, &p); err != nil {
				yield(none, err)
				return
			}
			if p.Results == nil {
				// Not an empty list: taken for one, it would look as if
				// everything had been deleted.
				yield(none, garbled(in.op, http.StatusOK, "the answer is not a list"))
				return
			}
			for _, raw := range p.Results {
				var item T
				if err := json.Unmarshal(raw, &item); err != nil || string(raw) == "null" {
					yield(none, garbled(in.op, http.StatusOK, "an object of the list has an unexpected form"+fieldOf(err)))
					return
				}
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == nil || *p.Next == "" {
				return
			}
			next, err := s.client.nextPage(in.path, *p.Next)
			if err != nil {
				yield(none, garbled(in.op, http.StatusOK, err.Error()))
				return
			}
			request.url = next
		}
	}
}

// nextPage checks a list's link to its next page. The token goes wherever this
// URL points, so it must be the very list that was asked for.
func (c *Client) nextPage(path []string, raw string) (*url.URL, error) {
	own := c.endpoint(path, nil)
	next, err := own.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("the list's next page is not a URL")
	}
	if next.Scheme != own.Scheme || !strings.EqualFold(hostPort(next), hostPort(own)) ||
		next.EscapedPath() != own.EscapedPath() || next.User != nil {
		return nil, fmt.Errorf("the list's next page is not on this list")
	}
	next.Fragment = ""
	return next, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname() + ":" + port
}
