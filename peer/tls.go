package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// addrOf is the address of one end of a TCP connection, in the form that
// certificates and configurations have.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// tlsConfig is common to both sides. A session is never resumed: each
// connection proves both ends anew.
func (n *Node) tlsConfig(remote netip.Addr) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{n.cfg.Certificate},
		RootCAs:                n.cfg.Authority,
		ClientCAs:              n.cfg.Authority,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ServerName:             remote.String(),
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyAddress(s, remote)
		},
	}
}

// verifyAddress checks that the other side's certificate, whose chain is
// verified already, is for the address that it speaks from.
func verifyAddress(s tls.ConnectionState, remote netip.Addr) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	cert := s.PeerCertificates[0]
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == remote {
			return nil
		}
	}
	return fmt.Errorf("certificate of %q is for %v, not for %s", cert.Subject.CommonName, cert.IPAddresses, remote)
}

// secure makes an authenticated connection out of a TCP one: the TLS handshake
// and both hellos, within the time of ctx.
func (n *Node) secure(ctx context.Context, tcp net.Conn, remote netip.Addr, dialed bool) (*conn, error) {
	var t *tls.Conn
	if dialed {
		t = tls.Client(tcp, n.tlsConfig(remote))
	} else {
		t = tls.Server(tcp, n.tlsConfig(remote))
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, &handshakeError{err}
	}
	// From here on the context's end must end the reads below.
	stop := context.AfterFunc(ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) })
	theirs, err := n.exchangeHello(t)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, &handshakeError{err}
	}
	return newConn(t, remote, dialed, n.ours, theirs, &n.count, n.crew, n.serve), nil
}

func (n *Node) exchangeHello(t *tls.Conn) (hello, error) {
	b := n.ours.marshal()
	if _, err := t.Write(append(header{length: len(b), typ: frameHello}.append(nil), b...)); err != nil {
		return hello{}, err
	}
	h, payload, err := readFrame(t, make([]byte, headerLen+maxFragment))
	if err != nil {
		return hello{}, err
	}
	if h.typ != frameHello {
		return hello{}, &ProtocolError{"the first frame is no hello"}
	}
	return parseHello(payload)
}

// handshakeError is a failure after TCP was connected: of TLS, of the
// certificates or of the hellos.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
