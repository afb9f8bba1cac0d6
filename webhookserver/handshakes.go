// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"runtime"
	"time"

	"github.com/rehive/extension-operator/internal/flow"
)

const (
	// rsaHandshakes is how many TLS handshakes with an RSA key of 2048 bits take about a third
	// of one processor's second, and otherHandshakes the same for elliptic curves.
	rsaHandshakes, otherHandshakes = 250, 1500
	// strangersHandshakes is the fraction (one in …) of handshakes that strangers may make.
	strangersHandshakes = 5
	// handshakeBurst is for how many seconds' worth of handshakes may come at once.
	handshakeBurst = 2
)

// handshakes bounds the rate of TLS handshakes. Each takes a hundred times as long as the
// request that a client would be refused for, and anybody may begin one. Strangers have a
// small part of their own; among both strangers and known callers, those who make the fewest
// go first.
type handshakes struct {
	table            *connections
	known, strangers *flow.Gate
	patience         time.Duration
}

func newHandshakes(table *connections, perSecond float64, patience time.Duration) *handshakes {
	gate := func(rate float64) *flow.Gate {
		burst := max(int(handshakeBurst*rate), 1)
		return flow.NewGate(flow.GateOptions{
			Rate: rate, Burst: burst, FullDemand: float64(burst), Concurrent: table.limit, Waiting: table.limit,
		})
	}
	return &handshakes{table: table, known: gate(perSecond), strangers: gate(perSecond / strangersHandshakes), patience: patience}
}

// handshakesPerSecond returns the default rate for a certificate.
func handshakesPerSecond(certificate *tls.Certificate) float64 {
	perProcessor := otherHandshakes
	if _, ok := certificate.PrivateKey.(*rsa.PrivateKey); ok {
		perProcessor = rsaHandshakes
	}
	return float64(perProcessor * runtime.GOMAXPROCS(0))
}

// admit waits for the turn of a handshake (tls.Config.GetConfigForClient), before anything
// expensive is computed. Meanwhile the connection makes room for others, as one that is
// waiting for its client.
func (h *handshakes) admit(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := connectionOf(hello.Conn)
	if c == nil {
		return nil, nil //nolint:nilnil // the configuration of the server
	}
	h.table.mu.Lock()
	gate, caller := h.strangers, flow.CallerIn(c.network)
	if c.known {
		gate = h.known
		if c.party.holder != (holder{}) {
			// One company may have made any number of networks known.
			caller = flow.Caller{c.network.String(), "holder " + c.party.holder.String()}
		}
	}
	h.table.mu.Unlock()
	ctx, cancel := context.WithTimeout(hello.Context(), h.patience)
	defer cancel()
	leave, err := gate.Enter(ctx, caller)
	if err != nil {
		return nil, fmt.Errorf("waiting for the turn of a TLS handshake: %w", err)
	}
	leave()
	return nil, nil //nolint:nilnil // the configuration of the server
}
