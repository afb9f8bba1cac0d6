// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
)

// benchmarkBody returns a webhook body of typical size, about two kilobytes.
func benchmarkBody(b *testing.B, company string) []byte {
	user := object{"id": "00000000-0000-0000-0000-000000000000", "email": "joe@example.com", "first_name": "Joe", "last_name": "Soap", "groups": []any{object{"name": "user"}}}
	currency := object{"code": "ZAR", "display_code": "ZAR", "description": "Rand", "symbol": "R", "unit": "rand", "divisibility": 2}
	transaction := object{
		"id": "00000000-0000-0000-0000-000000000001", "tx_type": "debit", "status": "Complete", "amount": -500, "total_amount": -500,
		"user": user, "creator": user, "currency": currency, "account_currency": object{"currency": currency}, "partner": object{"user": user, "id": "x"},
		"metadata": object{"note": "a note that somebody wrote about this transaction", "tags": []string{"a", "b", "c"}},
		"fees":     []any{object{"amount": 0, "description": "a fee"}}, "created": 1509618707485, "updated": 1509618708277,
	}
	body, err := json.Marshal(object{"id": 123456, "event": "transaction.execute", "company": company, "data": transaction})
	if err != nil {
		b.Fatal(err)
	}
	return body
}

func BenchmarkReadEvent(b *testing.B) {
	body := benchmarkBody(b, "acme")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseObject(body, 128, "id", "event", "company", "data"); err != nil {
			b.Fatal(err)
		}
	}
}

// discardingStore accepts events and discards them.
type discardingStore struct{ Ledger }

func (discardingStore) AcceptEvent(context.Context, ledger.Event) (bool, error) { return false, nil }

// BenchmarkWebhook measures a webhook without the network and the ledger: parsing the body,
// looking up the company in the cache, comparing the secret and answering.
func BenchmarkWebhook(b *testing.B) {
	c := shared
	ctx, kube := b.Context(), c.mgr.GetClient()
	const company, secret = "bench-company", "0123456789abcdef0123456789abcdef"
	for i := range 200 { // other companies for a realistic lookup
		name := fmt.Sprintf("%s-%d", company, i)
		if i == 0 {
			name = company
		}
		c.stub.decide(name, silent)
		a := &v1alpha1.CompanyActivation{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       v1alpha1.CompanyActivationSpec{Company: name},
		}
		err := kube.Create(ctx, a)
		if apierrors.IsAlreadyExists(err) {
			break // the benchmark is run again with more iterations
		}
		if err != nil {
			b.Fatal(err)
		}
		if err := activation.Save(ctx, kube, a, activation.Credentials{Token: "t", WebhookSecret: secret}); err != nil {
			b.Fatal(err)
		}
	}
	platform, err := rehive.New("http://127.0.0.1:1/3/")
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Options{Address: "127.0.0.1:0", Client: kube, Activations: c.activations, APIReader: kube, Platform: platform, Ledger: discardingStore{}, Namespace: namespace})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	body := benchmarkBody(b, company)
	send := func() int {
		r := httptest.NewRequest(http.MethodPost, "/api/webhook/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Secret "+secret)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for send() != 200 { // until the cache has synced
		if ctx.Err() != nil {
			b.Fatal(ctx.Err())
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if code := send(); code != 200 {
				b.Errorf("answered %d", code)
			}
		}
	})
}
