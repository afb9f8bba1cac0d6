// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/flow"
)

// TestHandshakesAreShared begins TLS handshakes from a few addresses as fast as it can. They
// get no more than the share of strangers, and known callers and another stranger get theirs.
func TestHandshakesAreShared(t *testing.T) {
	const perSecond = 20
	f := newFixture(t)
	s, _, _ := f.serveTLS(Limits{Handshakes: perSecond, ReadHeaderTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second})
	config := &tls.Config{InsecureSkipVerify: true}
	flood, stop := context.WithCancel(t.Context())
	start := time.Now()
	var shaken atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			dialer := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stranger(i, 4))}}, Config: config}
			for flood.Err() == nil {
				if conn, err := dialer.DialContext(flood, "tcp", s.Addr().String()); err == nil {
					shaken.Add(1)
					_ = conn.Close()
				}
			}
		})
	}
	s.knownNetworks.add(flow.NetworkOf(parseAddress("127.0.0.2")), holder{}, time.Now())
	for _, address := range []string{"127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.9.9.9"} {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, DisableKeepAlives: true}, Timeout: time.Minute}
		resp, err := c.Get("https://" + s.Addr().String() + "/")
		f.Expect(err).NotTo(gomega.HaveOccurred(), address)
		_ = resp.Body.Close()
	}
	f.Eventually(shaken.Load, "1m").Should(gomega.BeNumerically(">", handshakeBurst*perSecond/strangersHandshakes))
	stop()
	wg.Wait()
	most := (handshakeBurst + time.Since(start).Seconds()) * perSecond / strangersHandshakes
	f.Expect(float64(shaken.Load())).To(gomega.BeNumerically("<=", most+1), "in %s", time.Since(start))
	f.Expect(func() error { _, err := tls.Dial("tcp", s.Addr().String(), config); return err }()).To(gomega.Succeed())
}
