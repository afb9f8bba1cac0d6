// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/onsi/gomega"
)

// operationPattern matches a line of testdata/operations.txt, which lists the operations of
// Rehive's own extension: "POST /activate/ -> 200 ActionResponse".
var operationPattern = regexp.MustCompile(`^  ([A-Z]+) (\S+) -> (\d+) (\S+)$`)

// TestDescriptionHasRehiveOperations checks that the description contains each operation of
// Rehive's own extension with the same id, path, status, response, body and filters.
func TestDescriptionHasRehiveOperations(t *testing.T) {
	f := newFixture(t)
	doc := f.described()
	text, err := os.ReadFile("testdata/operations.txt")
	f.Expect(err).NotTo(gomega.HaveOccurred())
	var op *openapi3.Operation
	var id string
	found := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !strings.HasPrefix(line, " "):
			id = line
		case strings.HasPrefix(line, "  query: "):
			for parameter := range strings.SplitSeq(strings.TrimPrefix(line, "  query: "), ", ") {
				name, _, _ := strings.Cut(parameter, "?:")
				f.Expect(op.Parameters.GetByInAndName("query", name)).NotTo(gomega.BeNil(), id+" "+name)
			}
		case strings.HasPrefix(line, "  body"):
			optional := strings.HasPrefix(line, "  body?")
			f.Expect(op.RequestBody).NotTo(gomega.BeNil(), id)
			f.Expect(op.RequestBody.Value.Required).To(gomega.Equal(!optional), id)
			_, want, _ := strings.Cut(line, ": ")
			ref := op.RequestBody.Value.Content["application/json"].Schema.Ref
			got := ref[strings.LastIndexByte(ref, '/')+1:]
			// The client's generator uses its own suffix for the two forms of a component.
			f.Expect(strings.TrimSuffix(got, "Request")).To(gomega.Equal(strings.TrimSuffix(want, "Writable")), id)
		default:
			parts := operationPattern.FindStringSubmatch(line)
			f.Expect(parts).NotTo(gomega.BeNil(), line)
			item := doc.Paths.Value(parts[2])
			f.Expect(item).NotTo(gomega.BeNil(), id+" "+parts[2])
			op = item.GetOperation(parts[1])
			f.Expect(op).NotTo(gomega.BeNil(), id)
			f.Expect(op.OperationID).To(gomega.Equal(id))
			response := op.Responses.Value(parts[3])
			f.Expect(response).NotTo(gomega.BeNil(), id)
			if parts[1] != "DELETE" { // DELETE answers without data, like Rehive's code
				f.Expect(response.Value.Content["application/json"].Schema.Ref).To(gomega.HaveSuffix("/"+parts[4]), id)
			}
			found++
		}
	}
	f.Expect(found).To(gomega.Equal(41))
}

// TestDescriptionHasRehiveComponents checks that each field of Rehive's components exists.
func TestDescriptionHasRehiveComponents(t *testing.T) {
	f := newFixture(t)
	doc := f.described()
	text, err := os.ReadFile("testdata/components.txt")
	f.Expect(err).NotTo(gomega.HaveOccurred())
	field := regexp.MustCompile(`(?:^|, )([a-z_]+)\??:`)
	for line := range strings.Lines(string(text)) {
		name, fields, _ := strings.Cut(line, ": ")
		schema := doc.Components.Schemas[name]
		if base, ok := strings.CutSuffix(name, "Writable"); ok {
			schema = doc.Components.Schemas[base+"Request"]
		}
		if schema == nil {
			schema = doc.Components.Schemas[name+"Request"]
		}
		f.Expect(schema).NotTo(gomega.BeNil(), name)
		for _, match := range field.FindAllStringSubmatch(fields, -1) {
			isReadOnly := name == "Activate" && match[1] != "token"
			if !isReadOnly {
				f.Expect(schema.Value.Properties).To(gomega.HaveKey(match[1]), name)
			}
		}
	}
}

func TestDescriptionIsServed(t *testing.T) {
	f := newFixture(t)
	r := f.send("GET", "/api/schema.json", nil, nil)
	f.Expect(r.status).To(gomega.Equal(200))
	f.Expect(r.header.Get("Content-Type")).To(gomega.Equal("application/json"))
	var doc map[string]any
	f.Expect(json.Unmarshal([]byte(r.body), &doc)).To(gomega.Succeed())
	f.Expect(doc["openapi"]).To(gomega.Equal("3.1.0"))
	page := f.send("GET", "/api/", nil, nil)
	f.Expect(page.status).To(gomega.Equal(200))
	f.Expect(page.header.Get("Content-Type")).To(gomega.Equal("text/html; charset=utf-8"))
	f.Expect(page.body).To(gomega.ContainSubstring("POST /api/admin/logs/{log_id}/send/"))
	f.Expect(page.body).NotTo(gomega.MatchRegexp(`(src|href)="(https?:)?//`), "the page must not load anything from other hosts")
	f.Expect(f.send("POST", "/api/", strings.NewReader("{}"), nil).status).To(gomega.Equal(405))
}
