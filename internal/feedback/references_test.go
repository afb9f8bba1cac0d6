// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package feedback

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

func named(name string) *v1alpha1.DeliveryProvider {
	return &v1alpha1.DeliveryProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid of " + name)}}
}

func TestReferences(t *testing.T) {
	r := NewReferences([]byte("a key"), "https://notify.example.com/")
	mail := named("mail")
	for _, id := range []int64{1, 127, 128, 1 << 40, math.MaxInt64} {
		reference := r.For(mail)(&provider.Message{Delivery: id, Key: "key"})
		if len(reference) > maxReference {
			t.Errorf("%s is too long", reference)
		}
		target, ok := r.Read(mail, reference)
		if !ok || target.Delivery != id || !target.IsFor("key") || target.IsFor("other") {
			t.Errorf("%d: %+v, %t", id, target, ok)
		}
		if _, ok := r.Read(named("other"), reference); ok {
			t.Error("another provider's reference is accepted")
		}
		if _, ok := NewReferences([]byte("another key"), "").Read(mail, reference); ok {
			t.Error("a reference of another key is accepted")
		}
		b, err := base64.RawURLEncoding.DecodeString(reference)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 1
			if target, ok := r.Read(mail, base64.RawURLEncoding.EncodeToString(b)); ok {
				t.Errorf("with byte %d changed: %+v", i, target)
			}
			b[i] ^= 1
		}
	}
	for _, reference := range []string{"", "AQ", "ä", strings.Repeat("A", 32), strings.Repeat("A", 1000), r.For(mail)(&provider.Message{Delivery: -1}), r.For(mail)(&provider.Message{})} {
		if target, ok := r.Read(mail, reference); ok {
			t.Errorf("%q: %+v", reference, target)
		}
	}
}

func TestURL(t *testing.T) {
	r := NewReferences([]byte("a key"), "https://notify.example.com/")
	p := named("mail")
	secret := strings.TrimSuffix(strings.TrimPrefix(r.URL(p), "https://notify.example.com/api/feedback/ns/mail/"), "/")
	if len(secret) < 20 || strings.Contains(secret, "/") || !r.Opens(p, secret) {
		t.Errorf("%s", r.URL(p))
	}
	elsewhere := p.DeepCopy()
	elsewhere.Namespace = "other"
	if r.Opens(named("other"), secret) || r.Opens(elsewhere, secret) || r.Opens(p, "") || r.Opens(&v1alpha1.DeliveryProvider{}, secret) {
		t.Error("a secret opens more than its own provider")
	}
}

// TestReplacedProvider checks that what was copied into a provider's settings, and what it
// knows messages by, stays valid when the object is deleted and created again.
func TestReplacedProvider(t *testing.T) {
	r := NewReferences([]byte("a key"), "https://notify.example.com")
	p := named("mail")
	again := p.DeepCopy()
	again.UID = "another"
	if r.URL(again) != r.URL(p) {
		t.Errorf("%s became %s", r.URL(p), r.URL(again))
	}
	if target, ok := r.Read(again, r.For(p)(&provider.Message{Delivery: 7, Key: "key"})); !ok || target.Delivery != 7 {
		t.Errorf("%+v, %t", target, ok)
	}
}

// TestEarlierVersions checks that URLs and references that were derived from an object's UID
// are accepted while the object exists.
func TestEarlierVersions(t *testing.T) {
	r := NewReferences([]byte("a key"), "https://notify.example.com")
	p := named("mail")
	again := p.DeepCopy()
	again.UID = "another"
	const path, reference = "gKqls9OoodyxyH3TYRrx2g", "Byxw4SvFzR5KMfCchzXgTaP6ujP1" // as an earlier version made them
	if !r.Opens(p, path) || r.Opens(again, path) {
		t.Errorf("%s", r.secret(string(p.UID)))
	}
	if target, ok := r.Read(p, reference); !ok || target.Delivery != 7 || !target.IsFor("key") {
		t.Errorf("%+v, %t", target, ok)
	}
	if _, ok := r.Read(again, reference); ok {
		t.Error("a reference is accepted for another object")
	}
}
