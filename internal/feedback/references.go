// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package feedback receives what providers report about messages that they accepted. A
// message carries a reference that only the operator can issue, and each provider has a URL
// of its own that nobody can guess.
package feedback

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// KeyName is the name of the ledger's key that references and paths are made with.
const KeyName = "feedback"

// PathPrefix begins the path of every provider's URL.
const PathPrefix = "/api/feedback/"

const (
	macLength   = 16
	checkLength = 4
	// maxReference is the longest reference, encoded.
	maxReference = 60
)

// References issues references and URLs, and verifies them. It keeps nothing: both are
// derived from a key.
type References struct {
	key    []byte
	public string
}

// NewReferences returns the references of a key. The public URL is where providers reach the
// server, without a slash at its end.
func NewReferences(key []byte, publicURL string) *References {
	return &References{key: key, public: strings.TrimRight(publicURL, "/")}
}

// URL returns the URL at which a provider reports.
func (r *References) URL(p *v1alpha1.DeliveryProvider) string {
	return r.url(p, r.secret(identity(p)))
}

func (r *References) url(p *v1alpha1.DeliveryProvider, secret string) string {
	return r.public + PathPrefix + p.Namespace + "/" + p.Name + "/" + secret + "/"
}

// identity is what a provider's secret and references are derived from. It survives the
// replacement of the object, because people copy the URL into the provider's settings.
func identity(p *v1alpha1.DeliveryProvider) string { return p.Namespace + "/" + p.Name }

// identities are those that are accepted. Earlier versions used the object's UID.
func identities(p *v1alpha1.DeliveryProvider) []string {
	if p.UID == "" {
		return []string{identity(p)}
	}
	return []string{identity(p), string(p.UID)}
}

// secret is the part of a provider's URL that nobody can guess.
func (r *References) secret(identity string) string {
	return base64.RawURLEncoding.EncodeToString(r.mac("path", []byte(identity)))
}

// Opens reports whether a secret is one of a provider's URL.
func (r *References) Opens(p *v1alpha1.DeliveryProvider, secret string) bool {
	return slices.ContainsFunc(identities(p), func(identity string) bool {
		return hmac.Equal([]byte(r.secret(identity)), []byte(secret))
	})
}

// For returns a function that issues a provider's references.
func (r *References) For(p *v1alpha1.DeliveryProvider) func(*provider.Message) string {
	identity := []byte(identity(p))
	return func(m *provider.Message) string {
		b := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+checkLength+macLength), uint64(m.Delivery))
		b = append(b, checkOf(m.Key)...)
		b = append(b, r.mac("message", identity, b)...)
		return base64.RawURLEncoding.EncodeToString(b)
	}
}

// Target is the message that a reference is about.
type Target struct {
	// Delivery is its number in the ledger.
	Delivery int64
	check    []byte
}

// IsFor reports whether the message is the one with a key. After a ledger was restored from
// a backup, its numbers are issued again.
func (t *Target) IsFor(key string) bool { return hmac.Equal(t.check, checkOf(key)) }

// Read verifies a reference of a provider.
func (r *References) Read(p *v1alpha1.DeliveryProvider, reference string) (t Target, ok bool) {
	if len(reference) > maxReference {
		return t, false
	}
	b, err := base64.RawURLEncoding.DecodeString(reference)
	if err != nil || len(b) < 1+checkLength+macLength {
		return t, false
	}
	signed := b[:len(b)-macLength]
	if !slices.ContainsFunc(identities(p), func(identity string) bool {
		return hmac.Equal(r.mac("message", []byte(identity), signed), b[len(signed):])
	}) {
		return t, false
	}
	id, n := binary.Uvarint(signed)
	if n <= 0 || len(signed) != n+checkLength || int64(id) <= 0 {
		return t, false
	}
	return Target{Delivery: int64(id), check: signed[n:]}, true
}

// checkOf shortens the key of a message.
func checkOf(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:checkLength]
}

func (r *References) mac(purpose string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, r.key)
	_, _ = fmt.Fprintf(h, "%s,", purpose)
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:", len(part))
		_, _ = h.Write(part)
	}
	return h.Sum(nil)[:macLength]
}
