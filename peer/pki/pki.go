// Package pki makes and loads the certificates of the replicas' secure channel:
// one authority for the group, and a certificate per replica whose IP SANs are
// its care-of addresses. All keys are ECDSA P-256.
//
// The authority's key (ca.key) is needed only where certificates are issued; a
// replica needs ca.pem and its own two files.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"time"
)

// Lifetimes. A certificate begins a little in the past, for clocks that differ.
const (
	AuthorityLifetime = 10 * 365 * 24 * time.Hour
	LeafLifetime      = 2 * 365 * 24 * time.Hour
	clockSkew         = time.Hour
)

// Names of the authority's files.
const (
	AuthorityCertificate = "ca.pem"
	AuthorityKey         = "ca.key"
)

// validName is what a replica may be called: it becomes a file name.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// NewAuthority makes an authority: ca.pem and ca.key in dir, which must exist.
// It fails with an error that is fs.ErrExist rather than overwrite either.
func NewAuthority(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("pki: key: %w", err)
	}
	template, err := newTemplate("vanycast authority", AuthorityLifetime)
	if err != nil {
		return err
	}
	template.IsCA = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("pki: authority: %w", err)
	}
	return writePair(filepath.Join(dir, AuthorityCertificate), der, filepath.Join(dir, AuthorityKey), key)
}

// Issue makes a replica's certificate: name.pem and name.key in dir, where the
// authority's files are, valid for the care-of addresses addrs. It fails with
// an error that is fs.ErrExist rather than overwrite either.
func Issue(dir, name string, addrs []netip.Addr) error {
	if !validName.MatchString(name) || name == "ca" {
		return fmt.Errorf("pki: %q cannot be a replica's name", name)
	}
	if len(addrs) == 0 {
		return errors.New("pki: a certificate needs at least one care-of address")
	}
	authority, signer, err := loadAuthority(dir, time.Now())
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("pki: key: %w", err)
	}
	template, err := newTemplate(name, LeafLifetime)
	if err != nil {
		return err
	}
	if template.NotAfter.After(authority.NotAfter) {
		template.NotAfter = authority.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	for _, a := range addrs {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("pki: %s cannot be a care-of address", a)
		}
		template.IPAddresses = append(template.IPAddresses, net.IP(a.Unmap().AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("pki: certificate of %s: %w", name, err)
	}
	return writePair(filepath.Join(dir, name+".pem"), der, filepath.Join(dir, name+".key"), key)
}

// newTemplate is what both kinds of certificates have in common.
func newTemplate(name string, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("pki: serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true,
	}, nil
}
