// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"net"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// TestErrorOfSeveralHosts checks that an error about several hosts has one line and names each.
func TestErrorOfSeveralHosts(t *testing.T) {
	g := NewWithT(t)
	var hosts []string
	for range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		g.Expect(err).NotTo(HaveOccurred())
		hosts = append(hosts, listener.Addr().String())
		g.Expect(listener.Close()).To(Succeed())
	}
	c := Config{URL: "postgres://ledger@" + strings.Join(hosts, ",") + "/ledger?sslmode=disable"}
	_, opened := Open(t.Context(), c, ledger.Options{})
	_, prepared := Prepare(t.Context(), c)
	for _, err := range []error{opened, prepared} {
		g.Expect(err).To(HaveOccurred())
		g.Expect(IsUnavailable(err)).To(BeTrue())
		g.Expect(err.Error()).NotTo(ContainSubstring("\n"))
		for _, host := range hosts {
			g.Expect(err.Error()).To(ContainSubstring(host))
		}
		t.Log(err)
	}
}
