package pki

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"
)

// ErrExpired: a certificate is not valid at this time, before or after.
var ErrExpired = errors.New("certificate is not valid now")

// ErrWrongAddress: the certificate is not for this care-of address.
var ErrWrongAddress = errors.New("certificate is for another address")

// ErrUntrusted: the authority did not sign the certificate, or not for a
// replica.
var ErrUntrusted = errors.New("certificate is not the authority's")

// Load reads a replica's certificate and key and the authority's certificate,
// and checks at time now what the peers will check: validity, address,
// signature. Every error names the file.
func Load(certificate, key, authority string, careOf netip.Addr, now time.Time) (tls.Certificate, *x509.CertPool, error) {
	fail := func(err error) (tls.Certificate, *x509.CertPool, error) { return tls.Certificate{}, nil, err }
	ca, err := loadCertificate(authority, now)
	if err != nil {
		return fail(err)
	}
	if !ca.IsCA {
		return fail(fmt.Errorf("pki: %s: not an authority's certificate", authority))
	}
	leaf, err := loadCertificate(certificate, now)
	if err != nil {
		return fail(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return fail(fmt.Errorf("pki: %s: %w (%s): %w", certificate, ErrUntrusted, authority, err))
		}
	}
	if !covers(leaf.IPAddresses, careOf) {
		return fail(fmt.Errorf("pki: %s: %w: it is for %v, the care-of address is %s", certificate, ErrWrongAddress, leaf.IPAddresses, careOf))
	}
	certPEM, err := readFile(certificate)
	if err != nil {
		return fail(err)
	}
	keyPEM, err := readFile(key)
	if err != nil {
		return fail(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fail(fmt.Errorf("pki: %s with %s: %w", certificate, key, err))
	}
	return pair, pool, nil
}

// covers tells whether a certificate's addresses include a.
func covers(ips []net.IP, a netip.Addr) bool {
	for _, ip := range ips {
		if b, ok := netip.AddrFromSlice(ip); ok && b.Unmap() == a.Unmap() {
			return true
		}
	}
	return false
}

// loadCertificate reads the first certificate of a PEM file.
func loadCertificate(path string, now time.Time) (*x509.Certificate, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("pki: %s: no PEM certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", path, err)
	}
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, fmt.Errorf("pki: %s: %w: from %s until %s", path, ErrExpired,
			cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	}
	return cert, nil
}

// loadAuthority reads the authority with its key.
func loadAuthority(dir string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	cert, err := loadCertificate(filepath.Join(dir, AuthorityCertificate), now)
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, AuthorityKey)
	b, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, nil, fmt.Errorf("pki: %s: no PEM private key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("pki: %s: a %T cannot sign", path, key)
	}
	if pub, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("pki: %s is not the key of %s", path, AuthorityCertificate)
	}
	return cert, signer, nil
}
