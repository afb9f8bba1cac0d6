// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"testing"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/ledger"
)

func TestSuppressions(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) {
		o.Suppressions = (&delivery.Suppressions{Ledger: o.Ledger.(ledger.Store)}).Of
	})
	const path = "/api/admin/suppressions/"
	made := f.admined("adminSuppressionsCreate", "POST", path, `{"type":"email","recipient":"Zoe@Example.com","note":"asked by phone"}`, 201)
	f.Expect(made).To(gomega.And(
		gomega.HaveKeyWithValue("recipient", "zoe@example.com"), gomega.HaveKeyWithValue("reason", "Manual"), gomega.HaveKeyWithValue("source", "Admin"),
		gomega.HaveKeyWithValue("note", "asked by phone"), gomega.HaveKeyWithValue("until", 0.0), gomega.HaveKeyWithValue("device", gomega.BeNil())))
	again := f.admined("adminSuppressionsCreate", "POST", path, `{"type":"email","recipient":"zoe@example.com"}`, 201)
	f.Expect(again).To(gomega.And(gomega.HaveKeyWithValue("id", made["id"]), gomega.HaveKeyWithValue("note", "asked by phone")))
	f.admined("adminSuppressionsCreate", "POST", path, `{"type":"sms","recipient":"+27 82 000 0001"}`, 201)
	for body, message := range map[string]string{
		`{"type":"email"}`: "This field is required.", `{"type":"email","recipient":"zoe"}`: "This ", `{"type":"system","recipient":"zoe"}`: "not a valid choice",
	} {
		r := f.call(f.admin.Token, "POST", path, body)
		f.Expect(r.status).To(gomega.Equal(400), r.String())
		f.Expect(r.body).To(gomega.ContainSubstring(message))
	}
	for query, want := range map[string]int{"": 2, "?type=sms": 1, "?reason=Stop": 0, "?recipient=ZOE@example.com": 1, "?page_size=1&page=2": 1, "?pagination=cursor&page_size=1": 1} {
		list := f.admined("adminSuppressionsList", "GET", path+query, "", 200)["results"].([]any)
		f.Expect(list).To(gomega.HaveLen(want), query)
	}

	// A message to the recipient can't be sent again, and one to another recipient can.
	f.received(f.company, "e-1", "transaction.execute", ledger.NewDelivery{
		RuleName: namespace + "/paid", Channel: ledger.ChannelEmail, Recipient: "zoe@example.com", Content: ledger.Content{Text: "You paid."},
	})
	all, err := f.store.ListDeliveries(t.Context(), ledger.DeliveryFilter{Company: f.company})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	claimed, err := f.store.ClaimDeliveries(t.Context(), ledger.Claim{Limit: 1, Lease: 1e9})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(f.store.SkipDelivery(t.Context(), claimed[0], "Suppressed", "The recipient is suppressed.")).To(gomega.Succeed())
	send := fmt.Sprintf("/api/admin/logs/%d/send/", all[0].ID)
	r := f.call(f.admin.Token, "POST", send, "")
	f.Expect(r.status).To(gomega.Equal(409), r.String())
	f.Expect(r.body).To(gomega.ContainSubstring("suppressed (Manual)"))
	f.expectSuccess(f.call(f.admin.Token, "POST", send, `{"recipient":"ann@example.com"}`))

	one := fmt.Sprintf("%s%.0f/", path, made["id"])
	f.admined("adminSuppressionsRetrieve", "GET", one, "", 200)
	f.admined("adminSuppressionsDestroy", "DELETE", one, "", 200)
	f.Expect(f.call(f.admin.Token, "GET", one, "").status).To(gomega.Equal(404))
	f.expectSuccess(f.call(f.admin.Token, "POST", send, ""))

	// Another company has a list of its own.
	list, err := f.store.ListSuppressions(t.Context(), ledger.SuppressionFilter{Company: "another"}, 0, 10)
	f.Expect(err).NotTo(gomega.HaveOccurred())
	f.Expect(list.Suppressions).To(gomega.BeEmpty())
	f.Expect(f.call("", "GET", path, "").status).To(gomega.Equal(401))
}
