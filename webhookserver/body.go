// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// readFields reads the members of a request's JSON object that have the given names. An
// empty body counts as an empty object, as on Rehive.
func (s *Server) readFields(r *http.Request, names ...string) (*fields, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, &rest.Error{
			Status:  http.StatusUnsupportedMediaType,
			Message: "Compressed bodies are not supported (Content-Encoding: " + rest.Truncate(encoding, 50) + "). Send plain JSON, without that header.",
		}
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return &fields{}, nil
	}
	if contentType := r.Header.Get("Content-Type"); contentType != "application/json" {
		if mediaType, _, err := mime.ParseMediaType(contentType); err != nil || mediaType != "application/json" {
			return nil, rest.UnsupportedMediaType(rest.Truncate(contentType, 100))
		}
	}
	members, err := parseObject(body, s.limits.JSONDepth, names...)
	if err != nil {
		return nil, err
	}
	return &fields{members: members}, nil
}

// readBody reads the whole body, up to the route's limit. The connection may be closed
// meanwhile to make room for others.
func readBody(r *http.Request) ([]byte, error) {
	c, size := connectionFrom(r.Context()), r.ContentLength
	slow := c != nil && size != 0 && (c.vouchedAt.IsZero() || size < 0 || size > smallBody)
	if c != nil {
		c.bodyRead = true
	}
	switch {
	case slow:
		c.startBody(size)
	case c != nil:
		c.wait()
	}
	body, err := readAll(r.Body, size)
	switch {
	case slow:
		c.endBody(err)
	case c != nil:
		c.serve()
	}
	var maxBytes *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &maxBytes):
		return nil, rest.TooLarge(maxBytes.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &rest.Error{Status: http.StatusRequestTimeout, Message: "The request body did not arrive in time."}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &rest.Error{Status: http.StatusBadRequest, Message: "The request body is incomplete."}
	default:
		return nil, &rest.Error{Status: http.StatusBadRequest, Message: "The request body could not be read.", Cause: err}
	}
}

// readAll reads to the end. Its buffer grows with the bytes that have arrived, never on the
// strength of the announced size alone.
func readAll(r io.Reader, announced int64) ([]byte, error) {
	size := int64(smallBody)
	if announced >= 0 {
		size = min(announced, size)
	}
	b := make([]byte, 0, size+bytes.MinRead)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) == cap(b) {
			size := 2 * int64(cap(b))
			if announced >= int64(cap(b)) {
				size = min(size, announced+bytes.MinRead)
			}
			grown := make([]byte, len(b), size)
			copy(grown, b)
			b = grown
		}
	}
}

// parseObject returns the named members of a JSON object as raw JSON that shares body's
// memory. The last of duplicate names wins. Values are only checked against the grammar, so
// a number keeps all its digits.
func parseObject(body []byte, maxDepth int, names ...string) (map[string]json.RawMessage, error) {
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(body, []byte("\xff\xfe")) || bytes.HasPrefix(body, []byte("\xfe\xff")) {
		return nil, rest.ParseError("the body begins with a byte order mark; send UTF-8 without one")
	}
	if !utf8.Valid(body) {
		return nil, rest.ParseError("the body is not valid UTF-8")
	}
	s := scanner{body: body, maxDepth: maxDepth}
	if members, ok := s.object(names); ok {
		return members, nil
	}
	return nil, notAnObject(body, maxDepth)
}

// notAnObject returns an error that says why a body is not a JSON object.
func notAnObject(body []byte, maxDepth int) *rest.Error {
	if len(body) > 1 && (body[0] == 0 || body[1] == 0) {
		return rest.ParseError("the body is UTF-16; send UTF-8")
	}
	if nestedDeeper(body, maxDepth) {
		return rest.ParseError("nested deeper than %d levels", maxDepth)
	}
	if err := syntaxError(body, maxDepth); err != nil {
		return err
	}
	if kind := rest.Kind(bytes.TrimLeft(body, jsonSpace)); kind != "NoneType" {
		return rest.InvalidField(nil, rest.NonFieldErrors, "Invalid data. Expected a dictionary, but got "+kind+".")
	}
	return rest.InvalidField(nil, rest.NonFieldErrors, "No data provided")
}

const jsonSpace = " \t\r\n"

// syntaxError returns an error that says where and why a body is not JSON, or nil if it is.
func syntaxError(body []byte, maxDepth int) *rest.Error {
	s := scanner{body: body, maxDepth: maxDepth}
	if s.document() {
		return nil
	}
	message, at := s.fault.message, s.fault.at
	if at == noPosition {
		return rest.ParseError("%s", message)
	}
	line := bytes.Count(body[:at], []byte("\n")) + 1
	column := utf8.RuneCount(body[bytes.LastIndexByte(body[:at], '\n')+1:at]) + 1
	return rest.ParseError("%s: line %d column %d (char %d)", message, line, column, utf8.RuneCount(body[:at]))
}

// nestedDeeper reports whether arrays and objects are nested deeper than limit. It doesn't
// recurse and accepts invalid JSON, so it can guard recursive parsers.
func nestedDeeper(b []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringLength(b[i:]) - 1
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// stringLength returns the length of the JSON string at the start of b, with its quotes. An
// unterminated string extends to the end of b.
func stringLength(b []byte) int {
	for i := 1; i < len(b); {
		// Most of a webhook is strings, and IndexByte is vectorized.
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			break
		}
		escape := bytes.IndexByte(b[i:i+quote], '\\')
		if escape < 0 {
			return i + quote + 1
		}
		i += escape + 2
	}
	return len(b)
}
