// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/platformevent"
)

// TestVocabulary checks what a console can complete, and that it is asked for only once.
func TestVocabulary(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	const path = "/api/admin/vocabulary/"
	all := f.admined("adminVocabularyRetrieve", "GET", path, "", 200)
	f.Expect(all["events"]).To(gomega.HaveLen(len(platformevent.All())))
	f.Expect(all["fields"]).To(gomega.BeEmpty())
	f.Expect(all["variables"]).To(gomega.ContainElement(gomega.And(
		gomega.HaveKeyWithValue("path", "context.company.name"), gomega.HaveKeyWithValue("type", "text"))))
	f.Expect(all["filters"]).To(gomega.ContainElements(
		gomega.And(gomega.HaveKeyWithValue("signature", "value|money:divisibility"), gomega.HaveKeyWithValue("since", "Rehive"), gomega.HaveKeyWithValue("library", gomega.BeNil())),
		gomega.And(gomega.HaveKeyWithValue("signature", "value|naturalday[:format]"), gomega.HaveKeyWithValue("library", "humanize"))))
	f.Expect(all["tags"]).To(gomega.ContainElement(gomega.And(
		gomega.HaveKeyWithValue("name", "ifequal"), gomega.HaveKeyWithValue("removed", "4.0"))))

	for _, event := range append(platformevent.All(), &platformevent.Event{Name: "weather.change"}) {
		query := path + "?event=" + url.QueryEscape(event.Name)
		f.admined("adminVocabularyRetrieve", "GET", query, "", 200) // as the API is described
		f.Expect(len(f.call(f.admin.Token, "GET", query, "").body)).To(gomega.BeNumerically("<", 96<<10), event.Name)
	}
	of := f.admined("adminVocabularyRetrieve", "GET", path+"?event=document.update", "", 200)
	f.Expect(of["fields"]).To(gomega.ContainElements(
		gomega.HaveKeyWithValue("path", "user.groups.0.name"),
		gomega.And(gomega.HaveKeyWithValue("path", "original_document.status"), gomega.HaveKeyWithValue("values", gomega.ContainElement("verified"))),
		gomega.And(gomega.HaveKeyWithValue("path", "note"), gomega.HaveKeyWithValue("nullable", true), gomega.HaveKeyWithValue("description", "The reviewer's comment."))))

	answer := f.call(f.admin.Token, "GET", path, "")
	tag := answer.header.Get("ETag")
	f.Expect(answer.header.Get("Cache-Control")).To(gomega.Equal("private, max-age=300"))
	for known, status := range map[string]int{tag: 304, "W/" + tag: 304, `"a", ` + tag: 304, "*": 304, `"a"`: 200, "": 200} {
		r := f.send("GET", path, nil, http.Header{"Authorization": {"Token " + f.admin.Token}, "If-None-Match": {known}})
		f.Expect(r.status).To(gomega.Equal(status), known)
		f.Expect(r.header.Get("ETag")).To(gomega.Equal(tag))
		f.Expect(r.body == "").To(gomega.Equal(status == 304))
	}
	other := f.call(f.admin.Token, "GET", path+"?event=document.update", "")
	f.Expect(other.header.Get("ETag")).NotTo(gomega.Equal(tag))
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/notifications/", "").header.Get("Cache-Control")).To(gomega.Equal("no-store"))
	f.Expect(f.call(f.addUser(f.company, "user").Token, "GET", path, "").status).To(gomega.Equal(403))
}
