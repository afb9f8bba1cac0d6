// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/secure/precis"
)

const (
	// maxScramIterations is the most work that a server may ask for a login: about
	// half a second. Servers ask for 4,096 to some 600,000.
	maxScramIterations = 1 << 20
	// maxScramSalt is the longest salt; servers use 16 to 64 bytes.
	maxScramSalt = 1 << 10
	// lightScram is how many iterations are too few to wait for a turn.
	lightScram = 1 << 14
)

// heavyScram lets one login of many iterations be computed at a time, so that servers
// that ask for much work take one core at most.
var heavyScram = make(chan struct{}, 1)

// scram is SCRAM (RFC 5802, RFC 7677) without channel binding.
type scram struct {
	hash               func() hash.Hash
	username, password string
	keys               *scramCache

	bare   string // the client's first message without its header
	asked  bool   // the server asked for the first message again
	server []byte // the signature that proves that the server knows the password
	proven bool
}

const scramHeader = "n,,"

// prepare normalizes a user name or password, or returns it unchanged if it can't.
func prepare(profile *precis.Profile, s string) string {
	if prepared, err := profile.String(s); err == nil {
		return prepared
	}
	return s
}

func (s *scram) first() []byte {
	nonce := make([]byte, 18)
	_, _ = rand.Read(nonce) // never fails
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(prepare(precis.OpaqueString, s.username))
	s.bare = "n=" + name + ",r=" + base64.StdEncoding.EncodeToString(nonce)
	return []byte(scramHeader + s.bare)
}

func (s *scram) next(ctx context.Context, challenge []byte) ([]byte, error) {
	if bytes.HasPrefix(challenge, []byte("e=")) {
		return []byte{}, nil // the refusal follows
	}
	if len(challenge) == 0 && !s.asked && s.server == nil {
		// Some servers ignore the response that comes with AUTH, and ask for it.
		s.asked = true
		return []byte(scramHeader + s.bare), nil
	}
	if s.server != nil {
		// The server's last message may come as a challenge.
		return []byte{}, s.verify(challenge)
	}
	nonce, salt, iterations, err := s.parse(string(challenge))
	if err != nil {
		return nil, err
	}
	salted, err := s.keys.derive(ctx, s.hash, prepare(precis.OpaqueString, s.password), salt, iterations)
	if err != nil {
		return nil, err
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(s.hash, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	final := "c=" + base64.StdEncoding.EncodeToString([]byte(scramHeader)) + ",r=" + nonce
	message := s.bare + "," + string(challenge) + "," + final
	key := mac(salted, "Client Key")
	h := s.hash()
	h.Write(key)
	proof := mac(h.Sum(nil), message)
	subtle.XORBytes(proof, proof, key)
	s.server = mac(mac(salted, "Server Key"), message)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// parse reads the server's first message.
func (s *scram) parse(challenge string) (nonce string, salt []byte, iterations int, err error) {
	bad := func(what string) error { return fmt.Errorf("%w: %s", errUnsafeAuth, what) }
	fields := strings.SplitN(challenge, ",", 4)
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "r=") || !strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return "", nil, 0, bad("the challenge isn't SCRAM's")
	}
	nonce = fields[0][2:]
	_, mine, _ := strings.Cut(s.bare, ",r=")
	if !strings.HasPrefix(nonce, mine) || len(nonce) == len(mine) {
		return "", nil, 0, bad("the challenge isn't for this login")
	}
	salt, err = base64.StdEncoding.DecodeString(fields[1][2:])
	if err != nil || len(salt) == 0 || len(salt) > maxScramSalt {
		return "", nil, 0, bad("the salt is invalid")
	}
	iterations, err = strconv.Atoi(fields[2][2:])
	if err != nil || iterations < 1 || iterations > maxScramIterations {
		return "", nil, 0, bad("it asks for too much work")
	}
	return nonce, salt, iterations, nil
}

// verify checks the server's last message.
func (s *scram) verify(message []byte) error {
	signature, ok := bytes.CutPrefix(message, []byte("v="))
	got, err := base64.StdEncoding.DecodeString(string(signature))
	if !ok || err != nil || s.server == nil || subtle.ConstantTimeCompare(got, s.server) != 1 {
		return fmt.Errorf("%w: it doesn't know the password itself", errUnsafeAuth)
	}
	s.proven = true
	return nil
}

// finish refuses a server that hasn't proved that it knows the password. Its last
// message may also be in the reply that accepts the login.
func (s *scram) finish(text string) error {
	if s.proven {
		return nil
	}
	for _, word := range strings.Fields(text) {
		if message, err := base64.StdEncoding.DecodeString(word); err == nil && bytes.HasPrefix(message, []byte("v=")) {
			return s.verify(message)
		}
	}
	return fmt.Errorf("%w: it doesn't prove that it knows the password itself", errUnsafeAuth)
}

// scramCache keeps the last derived key: connections to a server have the same salt.
type scramCache struct {
	mu   sync.Mutex
	of   string
	salt []byte
	key  []byte
}

// derive is PBKDF2 with HMAC (Hi in RFC 5802). It ends with the context.
func (c *scramCache) derive(ctx context.Context, h func() hash.Hash, password string, salt []byte, iterations int) ([]byte, error) {
	of := fmt.Sprintf("%d/%d", h().Size(), iterations)
	c.mu.Lock()
	key := c.key
	known := key != nil && c.of == of && bytes.Equal(c.salt, salt)
	c.mu.Unlock()
	if known {
		return key, nil
	}
	if iterations > lightScram {
		select {
		case heavyScram <- struct{}{}:
			defer func() { <-heavyScram }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	mac := hmac.New(h, []byte(password))
	mac.Write(salt)
	mac.Write(binary.BigEndian.AppendUint32(nil, 1))
	last := mac.Sum(nil)
	key = bytes.Clone(last)
	for i := 1; i < iterations; i++ {
		if i%(1<<12) == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		mac.Reset()
		mac.Write(last)
		last = mac.Sum(last[:0])
		subtle.XORBytes(key, key, last)
	}
	c.mu.Lock()
	c.of, c.salt, c.key = of, bytes.Clone(salt), key
	c.mu.Unlock()
	return key, nil
}
