// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func TestErasures(t *testing.T) {
	f := newActiveFixture(t)
	const user = "11111111-2222-4333-8444-555555555555"
	email := ledger.NewDelivery{
		RuleName: namespace + "/paid", Channel: ledger.ChannelEmail, Recipient: "zoe@example.com", UserID: user,
		Content: ledger.Content{Subject: "Hi Zoe", Text: "You paid."},
	}
	nameless := email
	nameless.UserID, nameless.Recipient = "", "zoe.other@example.com"
	f.received(f.company, "e-1", "transaction.execute", email, nameless)
	foreign := email
	f.received("somebody-else", "e-2", "transaction.execute", foreign)

	done := f.admined("adminErasuresCreate", "POST", "/api/admin/erasures/", `{"user":"`+user+`","email":"Zoe.Other@example.com"}`, 200)
	f.Expect(done).To(gomega.And(gomega.HaveKeyWithValue("messages", 2.0), gomega.HaveKeyWithValue("cause", "admin")))
	logs := f.admined("adminLogsList", "GET", "/api/admin/logs/", "", 200)
	f.Expect(logs["results"]).To(gomega.BeEmpty())
	list := f.admined("adminErasuresList", "GET", "/api/admin/erasures/", "", 200)["results"].([]any)
	f.Expect(list).To(gomega.HaveLen(1))
	f.Expect(list[0]).To(gomega.And(gomega.HaveKeyWithValue("subject", done["subject"]), gomega.HaveKeyWithValue("messages", 2.0)))
	others, err := f.store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: "somebody-else"})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(others).To(gomega.HaveLen(1), "another company's messages stay")

	for body, message := range map[string]string{
		`{}`: "This field is required.", `{"user":"zoe"}`: "Must be a valid UUID.", `{"user":"%"}`: "Must be a valid UUID.",
	} {
		r := f.call(f.admin.Token, "POST", "/api/admin/erasures/", body)
		f.Expect(r.status).To(gomega.Equal(400), r.String())
		f.Expect(r.body).To(gomega.ContainSubstring(message))
	}
	f.Expect(f.call("", "POST", "/api/admin/erasures/", `{"user":"`+user+`"}`).status).To(gomega.Equal(401))
}
