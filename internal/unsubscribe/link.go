// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package unsubscribe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Validity is how long a link works after it was made. Laws on commercial email want 30 days
// at least.
const Validity = 90 * 24 * time.Hour

// Path is the path of the page behind links, below the server's public URL. The token
// follows.
const Path = "/unsubscribe/"

// A token consists of:
//
//	1 byte    version
//	4 bytes   keyID
//	4 bytes   expiry in hours since 1970
//	16 bytes  user
//	8 bytes   RuleID
//	...       company
//	16 bytes  HMAC-SHA-256 of the above, truncated
const (
	version      = 1
	fixedLength  = 1 + 4 + 4 + 16 + 8
	macLength    = 16
	maxCompany   = 100
	maxTokenText = (fixedLength + maxCompany + macLength + 2) / 3 * 4
)

// ErrInvalid means that a token was not made with one of the keys, or has expired.
var ErrInvalid = errors.New("the unsubscribe link is invalid or has expired")

// RuleID identifies a rule of a company in a link.
type RuleID [8]byte

// RuleIDOf returns the identifier of a rule with the given namespace/name. A rule that is
// deleted and created again keeps it.
func RuleIDOf(name string) RuleID {
	digest := sha256.Sum256([]byte("rule " + name))
	return RuleID(digest[:8])
}

// Claim is what a valid link says.
type Claim struct {
	// Company and User are the platform's identifiers.
	Company, User string
	Rule          RuleID
}

// Links creates and checks links. A nil *Links creates none. It is safe for concurrent use.
type Links struct {
	keys *Keys
	base string
	now  func() time.Time
}

// NewLinks returns the links below a server's public URL, which has no slash at its end.
func NewLinks(publicURL string, keys *Keys) *Links {
	return &Links{keys: keys, base: publicURL + Path, now: time.Now}
}

// URL returns the link by which a user opts out of the messages of a rule with the given
// namespace/name. It is empty if the user is unknown.
func (l *Links) URL(company, user, rule string) string {
	if l == nil || len(company) > maxCompany {
		return ""
	}
	id, err := uuid.Parse(user)
	if err != nil || company == "" {
		return ""
	}
	signing := l.keys.signing()
	b := make([]byte, 0, fixedLength+len(company)+macLength)
	b = append(b, version)
	b = append(b, signing.id[:]...)
	b = binary.BigEndian.AppendUint32(b, hours(l.now().Add(Validity)))
	b = append(b, id[:]...)
	ruleID := RuleIDOf(rule)
	b = append(b, ruleID[:]...)
	b = append(b, company...)
	b = append(b, mac(signing.secret, b)...)
	return l.base + base64.RawURLEncoding.EncodeToString(b)
}

// Check returns what a token says, or ErrInvalid.
func (l *Links) Check(token string) (Claim, error) {
	if l == nil || len(token) > maxTokenText || strings.ContainsAny(token, "\r\n") { // the decoder skips line breaks
		return Claim{}, ErrInvalid
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= fixedLength+macLength || b[0] != version {
		return Claim{}, ErrInvalid
	}
	signed, sum := b[:len(b)-macLength], b[len(b)-macLength:]
	valid := false
	for _, key := range l.keys.verifying(keyID(b[1:5])) {
		valid = hmac.Equal(mac(key.secret, signed), sum) || valid
	}
	if !valid || binary.BigEndian.Uint32(b[5:9]) < hours(l.now()) {
		return Claim{}, ErrInvalid
	}
	return Claim{
		Company: string(signed[fixedLength:]),
		User:    uuid.UUID(b[9:25]).String(),
		Rule:    RuleID(b[25:33]),
	}, nil
}

// hours counts the hours since 1970, which fit until the year 491,000.
func hours(t time.Time) uint32 { return uint32(t.Unix() / 3600) }

func mac(secret, message []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("rehive unsubscribe link\x00"))
	h.Write(message)
	return h.Sum(nil)[:macLength]
}
