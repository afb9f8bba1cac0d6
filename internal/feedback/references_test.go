// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package feedback

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

func TestReferences(t *testing.T) {
	r := NewReferences([]byte("a key"), "https://notify.example.com/")
	for _, id := range []int64{1, 127, 128, 1 << 40, math.MaxInt64} {
		reference := r.For("uid")(&provider.Message{Delivery: id, Key: "key"})
		if len(reference) > maxReference {
			t.Errorf("%s is too long", reference)
		}
		target, ok := r.Read("uid", reference)
		if !ok || target.Delivery != id || !target.IsFor("key") || target.IsFor("other") {
			t.Errorf("%d: %+v, %t", id, target, ok)
		}
		if _, ok := r.Read("other", reference); ok {
			t.Error("another provider's reference is accepted")
		}
		if _, ok := NewReferences([]byte("another key"), "").Read("uid", reference); ok {
			t.Error("a reference of another key is accepted")
		}
		b, err := base64.RawURLEncoding.DecodeString(reference)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 1
			if target, ok := r.Read("uid", base64.RawURLEncoding.EncodeToString(b)); ok {
				t.Errorf("with byte %d changed: %+v", i, target)
			}
			b[i] ^= 1
		}
	}
	for _, reference := range []string{"", "AQ", "ä", strings.Repeat("A", 32), strings.Repeat("A", 1000), r.For("uid")(&provider.Message{Delivery: -1}), r.For("uid")(&provider.Message{})} {
		if target, ok := r.Read("uid", reference); ok {
			t.Errorf("%q: %+v", reference, target)
		}
	}
}

func TestURL(t *testing.T) {
	r := NewReferences([]byte("a key"), "https://notify.example.com/")
	p := &v1alpha1.DeliveryProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "mail", UID: "1"}}
	secret := strings.TrimSuffix(strings.TrimPrefix(r.URL(p), "https://notify.example.com/api/feedback/ns/mail/"), "/")
	if len(secret) < 20 || strings.Contains(secret, "/") || !r.Opens(p, secret) {
		t.Errorf("%s", r.URL(p))
	}
	again := p.DeepCopy()
	again.UID = "2"
	if r.Opens(again, secret) || r.Opens(p, "") || r.Opens(&v1alpha1.DeliveryProvider{}, secret) {
		t.Error("a secret opens more than its own provider")
	}
}
