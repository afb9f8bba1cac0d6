// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// validity is the validity of a certificate, which is replaced when a third of it is
	// left.
	validity = 90 * 24 * time.Hour
	// clockSkew is how much an API server's clock may be behind.
	clockSkew = time.Hour
)

// certificate is a certificate that the webhook is served with.
type certificate struct {
	pair tls.Certificate
	// bundle are the PEM certificates of the authority that issued it, and of the one
	// before.
	bundle []byte
}

// issue creates a certificate for a host name or an IP address. The key of its authority
// signs nothing else and is discarded. Certificates of the previous bundle are kept while
// they are valid, because other replicas may still serve what they issued.
func issue(host string, previous []byte, now time.Time) (certificatePEM, keyPEM, bundle []byte, err error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("generating a key: %w", err)
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "rehive-extension-operator admission " + now.UTC().Format(time.RFC3339)},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("creating a certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("generating a key: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: "rehive-extension-operator admission"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("creating a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	bundle = encode("CERTIFICATE", authorityDER)
	for _, old := range parseBundle(previous) {
		if now.Before(old.NotAfter) {
			bundle = append(bundle, encode("CERTIFICATE", old.Raw)...)
			break // the newest comes first
		}
	}
	return encode("CERTIFICATE", leafDER), encode("PRIVATE KEY", keyDER), bundle, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parseBundle returns the certificates of a PEM bundle. It skips all other blocks.
func parseBundle(bundle []byte) (certificates []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return certificates
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, c)
		}
	}
}

// read parses a certificate, its key and the bundle of its authority. The bundle may be
// empty.
func read(certificatePEM, keyPEM, bundle []byte) (*certificate, error) {
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return &certificate{pair: pair, bundle: bundle}, nil
}

// check returns why the certificate can't be served for a host, or should be replaced.
func (c *certificate) check(host string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.bundle)
	if _, err := c.pair.Leaf.Verify(x509.VerifyOptions{DNSName: hostToVerify(host), Roots: roots, CurrentTime: now}); err != nil {
		return err
	}
	if now.Add(validity / 3).After(c.pair.Leaf.NotAfter) {
		return errors.New("it expires soon")
	}
	return nil
}

// hostToVerify returns a host in the form that crypto/x509 expects: IP addresses are in
// brackets.
func hostToVerify(host string) string {
	if net.ParseIP(host) != nil {
		return "[" + host + "]"
	}
	return host
}

// trusts reports whether a bundle has every certificate of another.
func trusts(bundle, of []byte) bool {
	have := parseBundle(bundle)
	for _, needed := range parseBundle(of) {
		found := false
		for _, c := range have {
			found = found || bytes.Equal(c.Raw, needed.Raw)
		}
		if !found {
			return false
		}
	}
	return true
}
