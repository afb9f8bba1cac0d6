// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// TestHeavyCallsTakeTurns checks that calls which parse, check or encode a company's texts
// wait for that company's turn only. Otherwise, 128 previews at once took the processors from
// everybody's webhooks for seconds, and 128 lists of notifications the container's memory.
func TestHeavyCallsTakeTurns(t *testing.T) {
	// With fewer processors, two companies take turns with each other too.
	f := newFixture(t, func(o *Options) { o.Limits.APIWork = int(apiWork(4)) })
	f.expectSuccess(f.activate(f.admin.Token))
	other := f.addUser(f.addCompany("other"), "admin")
	f.expectSuccess(f.activate(other.Token))
	n := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", welcome, 201)
	one := fmt.Sprintf("/api/admin/notifications/%.0f/", n["id"])
	layout := f.admined("adminLayoutsCreate", "POST", "/api/admin/layouts/", `{"name":"Frame","type":"email","html_layout":"<body>{{ content }}</body>"}`, 201)

	// As if the company were making as many such calls as it may.
	party := holderOf(f.activation()).String()
	work, ok := f.server.apiWork.TryAcquire(party, f.server.apiWork.Share())
	f.Expect(ok).To(gomega.BeTrue())
	heavy := []struct{ method, path, body string }{
		{"GET", "/api/admin/notifications/", ""}, {"POST", "/api/admin/notifications/", welcome},
		{"GET", one, ""}, {"PATCH", one, `{"subject":"Hi"}`}, {"PUT", one, welcome}, {"DELETE", one, ""},
		{"POST", one + "preview/", ""}, {"POST", previewPath, welcome},
		{"GET", "/api/admin/layouts/", ""}, {"GET", fmt.Sprintf("/api/admin/layouts/%s/", layout["id"]), ""},
		{"GET", "/api/admin/templates/", ""}, {"GET", "/api/admin/layout-templates/", ""},
		{"GET", "/api/user/logs/", ""},
	}
	type result struct {
		call   string
		status int
	}
	results := make(chan result)
	for _, c := range heavy {
		go func() {
			results <- result{c.method + " " + c.path, f.call(f.admin.Token, c.method, c.path, c.body).status}
		}()
	}
	for range heavy {
		r := <-results
		f.Expect(r.status).To(gomega.Equal(http.StatusServiceUnavailable), r.call)
	}
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/company/", "").status).To(gomega.Equal(200), "light calls need no turn")
	f.Expect(f.call(other.Token, "GET", "/api/admin/notifications/", "").status).To(gomega.Equal(200), "another company has its own turns")
	work.Release()
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/notifications/", "").status).To(gomega.Equal(200))
	f.Expect(f.server.apiWork.Used()).To(gomega.BeZero())
}

// TestMemoryOfAPICalls checks that a company's bodies and answers in memory are bounded.
func TestMemoryOfAPICalls(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	large := strings.TrimSuffix(welcome, "}") + `,"html_message":"` + strings.Repeat("x", 2*smallAnswer) + `"}`
	f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/", large, 201)
	party := holderOf(f.activation()).String()
	fill := func(b *flow.Budget) *flow.Grant {
		all, ok := b.TryAcquire(party, b.Share())
		f.Expect(ok).To(gomega.BeTrue())
		return &all
	}

	// Two other companies that take all they can leave room for this one.
	var others []*flow.Grant
	for _, b := range []*flow.Budget{f.server.apiSlots, f.server.apiBodies, f.server.apiAnswers} {
		for _, other := range []string{"other", "another"} {
			for n := b.Share(); n > 0; {
				grant, ok := b.TryAcquire(other, n)
				if others = append(others, &grant); !ok {
					n /= 2
				}
			}
		}
	}
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/notifications/", "").status).To(gomega.Equal(200))
	f.Expect(f.call(f.admin.Token, "POST", previewPath, large).status).To(gomega.Equal(200))
	for _, grant := range others {
		grant.Release()
	}

	answers := fill(f.server.apiAnswers)
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/notifications/", "").status).To(gomega.Equal(http.StatusServiceUnavailable))
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/company/", "").status).To(gomega.Equal(200), "small answers are not counted")
	f.Expect(f.call(f.admin.Token, "POST", "/api/admin/notifications/", large).status).To(gomega.Equal(201), "a write that was done is confirmed")
	answers.Release()
	f.Expect(f.call(f.admin.Token, "GET", "/api/admin/notifications/", "").status).To(gomega.Equal(200))

	bodies := fill(f.server.apiBodies)
	f.Expect(f.call(f.admin.Token, "POST", previewPath, large).status).To(gomega.Equal(http.StatusServiceUnavailable))
	f.Expect(f.call(f.admin.Token, "POST", previewPath, welcome).status).To(gomega.Equal(200), "small bodies are not counted")
	bodies.Release()
	f.Expect(f.call(f.admin.Token, "POST", previewPath, large).status).To(gomega.Equal(200))

	f.Eventually(f.server.apiAnswers.Used).Should(gomega.BeZero())
	f.Expect(f.server.apiBodies.Used()).To(gomega.BeZero())
}

// TestWorkOfOperations checks that no operation on a company's texts is declared as light.
func TestWorkOfOperations(t *testing.T) {
	f := newFixture(t)
	operations := f.server.operations()
	for i := range operations {
		op := &operations[i]
		texts := strings.Contains(op.Path, "/notifications/") || strings.Contains(op.Path, "/layouts/") || strings.HasSuffix(op.Path, "templates/")
		if op.For != rest.Admins || !texts || strings.HasSuffix(op.Path, "/trigger/") {
			continue
		}
		if op.Work() != rest.HeavyWork {
			t.Errorf("%s %s has the work %d, want HeavyWork", op.Method, op.Path, op.Work())
		}
	}
}

// TestHeavyWorkLeavesAProcessor checks how many companies' heavy calls are served at once.
func TestHeavyWorkLeavesAProcessor(t *testing.T) {
	g := gomega.NewWithT(t)
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 3, 8: 7} {
		b, served := flow.NewBudget(apiWork(processors)), 0
		for company := range processors + 1 {
			if _, ok := b.TryAcquire(fmt.Sprint(company), int64(rest.HeavyWork)); ok {
				served++
			}
		}
		g.Expect(served).To(gomega.Equal(want), "with %d processors", processors)
	}
}
