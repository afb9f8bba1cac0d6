// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

// ownServer is a server that no other test uses.
func ownServer(t *testing.T) *postgrestest.Server {
	t.Helper()
	s, err := postgrestest.StartInMemory()
	if err != nil {
		postgrestest.Skip(t, err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// with returns a URL with other parameters.
func with(t *testing.T, address string, parameters map[string]string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, value := range parameters {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// The primary dies under load and its standby takes over: nothing that was
// acknowledged is lost, and the old one is not written when it is back.
func TestFailoverLosesNothing(t *testing.T) {
	g := NewWithT(t)
	primary := ownServer(t)
	address, err := primary.NewDatabase()
	g.Expect(err).NotTo(HaveOccurred())
	standby, err := primary.Standby()
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(standby.Stop()).To(Succeed()) }()
	hosts := []string{}
	for _, server := range []*postgrestest.Server{primary, standby} {
		u, err := url.Parse(server.URL("", ""))
		g.Expect(err).NotTo(HaveOccurred())
		hosts = append(hosts, u.Query().Get("host"))
	}
	at := place{url: with(t, address, map[string]string{"host": strings.Join(hosts, ","), "target_session_attrs": "read-write"})}
	s := at.open(t, nil)
	ledgertest.Accept(t, s, "held", "1")
	held, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Hour})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(held).To(HaveLen(1))

	stop := make(chan struct{})
	acknowledged := acceptThroughout(t, s, stop)
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }) }
	defer end()
	count := func() (n int) {
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		_ = s.d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM events").Scan(&n)
		return n
	}
	flows := func() {
		t.Helper()
		before := count()
		g.Eventually(count).Should(BeNumerically(">", before+20), "events flow")
	}
	flows()
	g.Expect(primary.Halt(true)).To(Succeed())
	_, err = s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "between"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(standby.Promote()).To(Succeed())
	g.Eventually(count).Should(BeNumerically(">", 0), "it is found")
	flows()
	g.Expect(primary.Demote()).To(Succeed())
	flows()
	end()
	ids := acknowledged()
	// Also one who comes now finds the new one, though the old is asked first.
	again := at.open(t, nil)
	for _, replica := range []*opened{s, again} {
		var old bool
		g.Expect(replica.d.pool.QueryRowContext(bg, "SELECT pg_is_in_recovery()").Scan(&old)).To(Succeed())
		g.Expect(old).To(BeFalse(), "it takes no writes")
	}
	for _, id := range ids {
		duplicate, err := again.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(duplicate).To(BeTrue(), "event %s was acknowledged and is lost", id)
	}
	g.Expect(again.CompleteEvent(bg, held[0], nil)).To(Succeed(), "a lease outlives the failover")
	t.Logf("%d acknowledged", len(ids))
}

// network is between a ledger and its database. It can be slow, and it can be cut.
type network struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	delay    time.Duration
	cut      chan struct{} // nil: not cut; closed when it isn't any more
	open     map[net.Conn]bool
	done     sync.WaitGroup
}

func newNetwork(t *testing.T, address string) (n *network, through string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n = &network{listener: listener, target: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"), open: map[net.Conn]bool{}}
	n.done.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			n.done.Go(func() { n.connect(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		n.heal()
		n.reset()
		n.done.Wait()
	})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return n, with(t, address, map[string]string{"host": "127.0.0.1", "port": port, "sslmode": "disable"})
}

func (n *network) connect(client net.Conn) {
	server, err := net.Dial("unix", n.target)
	if err != nil {
		_ = client.Close()
		return
	}
	n.mu.Lock()
	n.open[client], n.open[server] = true, true
	n.mu.Unlock()
	n.done.Go(func() { n.carry(client, server) })
	n.carry(server, client)
}

// carry brings what comes from one end to the other.
func (n *network) carry(from, to net.Conn) {
	defer func() { _ = from.Close(); _ = to.Close() }()
	b := make([]byte, 1024)
	for {
		size, err := from.Read(b)
		if err != nil {
			return
		}
		n.mu.Lock()
		delay, cut := n.delay, n.cut
		n.mu.Unlock()
		time.Sleep(delay)
		if cut != nil {
			<-cut
		}
		if _, err := to.Write(b[:size]); err != nil {
			return
		}
	}
}

func (n *network) slow(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// sever drops everything without closing connections.
func (n *network) sever() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = make(chan struct{})
}

func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut != nil {
		close(n.cut)
		n.cut = nil
	}
}

// reset ends all connections.
func (n *network) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		_ = c.Close()
	}
	clear(n.open)
}

func TestSlowDatabaseIsUnavailableInTimeThenRecovers(t *testing.T) {
	g := NewWithT(t)
	net, address := newNetwork(t, newPlace(t).url)
	s := place{url: address}.open(t, nil)
	ledgertest.Accept(t, s, "shop", "1")
	net.slow(2 * time.Second)
	ctx, cancel := context.WithTimeout(bg, 300*time.Millisecond)
	defer cancel()
	_, err := s.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: "2", Data: make([]byte, 4096)})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(s.Healthy(ctx)).To(MatchError(ledger.ErrUnavailable))
	net.slow(10 * time.Millisecond)
	g.Eventually(func() error {
		ctx, cancel := context.WithTimeout(bg, 5*time.Second)
		defer cancel()
		_, err := s.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: "2"})
		return err
	}).Should(Succeed())
	g.Expect(s.Healthy(bg)).To(Succeed())
}

// One of two replicas is cut off from the database while it sends a delivery:
// the other takes it over when the lease ends, and the first knows that it must no
// longer send it.
func TestPartitionedReplicaLosesItsWork(t *testing.T) {
	g := NewWithT(t)
	clk := ledgertest.NewMachineClock()
	at := newPlace(t)
	net, address := newNetwork(t, at.url)
	lost, other := place{url: address}.open(t, clk), at.open(t, clk)
	ledgertest.Accept(t, other, "shop", "1")
	g.Expect(other.CompleteEvent(bg, ledgertest.ClaimOne(t, other), []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
	d := ledgertest.ClaimDelivery(t, lost) // for a minute
	net.sever()
	clk.Pass(59 * time.Second)
	claimed, err := other.ClaimDeliveries(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(BeEmpty(), "the other may be sending it")
	g.Expect(lost.LeaseLeft(d.Lease)).To(Equal(time.Second))
	clk.Pass(time.Second)
	g.Expect(lost.LeaseLeft(d.Lease)).To(BeZero(), "known without the database")
	taken := ledgertest.ClaimDelivery(t, other)
	g.Expect(taken.ID).To(Equal(d.ID))
	ctx, cancel := context.WithTimeout(bg, 200*time.Millisecond)
	defer cancel()
	g.Expect(lost.RenewDelivery(ctx, &d, time.Minute)).To(MatchError(ledger.ErrUnavailable))
	_, err = lost.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: "2"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(other.MarkSent(bg, taken, "id")).To(Succeed())

	net.heal()
	net.reset()
	g.Eventually(func() error { return lost.Healthy(bg) }).Should(Succeed())
	g.Expect(lost.MarkSent(bg, d, "id")).To(MatchError(ledger.ErrLeaseLost))
	ledgertest.Accept(t, lost, "shop", "3")
}

func TestTLSWithAnAuthorityOfOnesOwn(t *testing.T) {
	g := NewWithT(t)
	server := ownServer(t)
	address, err := server.NewDatabase()
	g.Expect(err).NotTo(HaveOccurred())
	authority, certificate, key := certificates(t)
	port, err := server.ListenTLS(certificate, key)
	g.Expect(err).NotTo(HaveOccurred())
	root := filepath.Join(t.TempDir(), "ca.crt")
	g.Expect(os.WriteFile(root, authority, 0o600)).To(Succeed())
	tls := func(host, root string) string {
		return with(t, address, map[string]string{"host": host, "port": fmt.Sprint(port), "sslmode": "verify-full", "sslrootcert": root})
	}
	s := place{url: tls("127.0.0.1", root)}.open(t, nil)
	ledgertest.Accept(t, s, "shop", "1")
	var encrypted bool
	g.Expect(s.d.pool.QueryRowContext(bg, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted)).To(Succeed())
	g.Expect(encrypted).To(BeTrue())

	stranger, _, _ := certificates(t)
	other := filepath.Join(t.TempDir(), "other.crt")
	g.Expect(os.WriteFile(other, stranger, 0o600)).To(Succeed())
	for name, address := range map[string]string{"another's certificate": tls("127.0.0.1", other), "another's name": tls("localhost", root)} {
		_, err := place{url: address}.try()
		g.Expect(err).To(MatchError(ContainSubstring("certificate")), name)
	}
}

// certificates returns a new authority and its certificate for 127.0.0.1.
func certificates(t *testing.T) (authority, certificate, key []byte) {
	t.Helper()
	g := NewWithT(t)
	create := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		g.Expect(err).NotTo(HaveOccurred())
		if signer == nil {
			signer = private
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		template.SerialNumber = big.NewInt(1)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
		g.Expect(err).NotTo(HaveOccurred())
		return private, der
	}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	signer, root := create(ca, ca, nil)
	private, leaf := create(&x509.Certificate{Subject: pkix.Name{CommonName: "database"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, ca, signer)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	g.Expect(err).NotTo(HaveOccurred())
	encode := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	return encode("CERTIFICATE", root), encode("CERTIFICATE", leaf), encode("PRIVATE KEY", secret)
}
