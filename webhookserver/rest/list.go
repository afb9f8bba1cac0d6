// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// List is a page of a resource's items.
type List[T any] struct {
	Items []T
	// Count is how many items match in total. It is not needed when reading by cursor.
	Count int
	// More reports whether there are items beyond this page, in the direction of reading.
	More bool
}

// Slice returns a page of items that are all in memory, ordered by creation, oldest first.
// Position returns an item's unique and stable position for cursors; positions must be
// ordered like the items.
func Slice[T any](items []T, p Page, position func(*T) string) List[T] {
	if p.ByCursor {
		return sliceByCursor(items, p, position)
	}
	if p.Last {
		p.Number = lastPage(len(items), p.Size)
	}
	if p.NewestFirst {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	first := min(p.Offset(), len(items))
	last := min(first+p.Size, len(items))
	return List[T]{Items: items[first:last], Count: len(items), More: last < len(items)}
}

func sliceByCursor[T any](items []T, p Page, position func(*T) string) List[T] {
	if !p.Ascending {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	if p.Cursor == "" {
		last := min(p.Size, len(items))
		return List[T]{Items: items[:last], More: last < len(items)}
	}
	at := slices.IndexFunc(items, func(t T) bool { return position(&t) == p.Cursor })
	switch {
	case at < 0: // deleted meanwhile: the list ends here
		return List[T]{}
	case p.Backward:
		first := max(0, at-p.Size)
		return List[T]{Items: items[first:at], More: first > 0}
	}
	last := min(at+1+p.Size, len(items))
	return List[T]{Items: items[at+1 : last], More: last < len(items)}
}

func lastPage(count, size int) int { return max(1, (count+size-1)/size) }

// appendPage appends the data of a list.
func appendPage[T any](b []byte, s *Serializer[T], list List[T], count int, next, previous *string, byCursor bool) []byte {
	b = append(b, '{')
	if !byCursor {
		b = append(b, `"count":`...)
		b = strconv.AppendInt(b, int64(count), 10)
		b = append(b, ',')
	}
	b = append(b, `"next":`...)
	b = appendLink(b, next)
	b = append(b, `,"previous":`...)
	b = appendLink(b, previous)
	b = append(b, `,"results":[`...)
	for i := range list.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.Append(b, &list.Items[i])
	}
	return append(b, "]}"...)
}

func appendLink(b []byte, link *string) []byte {
	if link == nil {
		return append(b, "null"...)
	}
	return AppendString(b, *link)
}

// pageLink returns the URL of a list's page with a number.
func pageLink(r *http.Request, publicURL string, number int) *string {
	return link(r, publicURL, func(query url.Values) {
		query.Del("page")
		if number > 1 {
			query.Set("page", strconv.Itoa(number))
		}
	})
}

func cursorLink(r *http.Request, publicURL, position string, backward bool) *string {
	return link(r, publicURL, func(query url.Values) { query.Set("cursor", cursor(position, backward)) })
}

func link(r *http.Request, publicURL string, change func(url.Values)) *string {
	query := queryOf(r)
	change(query)
	if publicURL == "" {
		publicURL = "http://" + r.Host
	}
	text := publicURL + r.URL.EscapedPath()
	if len(query) > 0 {
		text += "?" + query.Encode()
	}
	return &text
}
