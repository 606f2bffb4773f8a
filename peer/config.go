package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"
)

// Handler answers one request. from is the peer's care-of address, proven by
// its certificate. The context ends when the caller waits no more, when its
// connection is lost, or when this node closes; what must be finished all the
// same needs a context of its own. An error goes to the caller as a
// RemoteError. req belongs to the handler.
type Handler func(ctx context.Context, from netip.Addr, req []byte) ([]byte, error)

// Config is what a Node needs. Zero fields have defaults where named.
type Config struct {
	// Listen is the care-of address and port; outgoing connections are bound
	// to the address too.
	Listen netip.AddrPort
	// Certificate has the address of Listen as an IP SAN, Authority signed it
	// and those of all the peers.
	Certificate tls.Certificate
	Authority   *x509.CertPool
	// Allowed tells whether a care-of address is a known replica's.
	Allowed func(netip.Addr) bool
	// Port is where the peers listen; default: the port of Listen.
	Port uint16
	// ConnectTimeout bounds TCP and TLS together; default 1 s.
	ConnectTimeout time.Duration
	// MaxMessage is the longest request or response taken, in bytes; default
	// 64 MiB. Twice as much, per connection, is what requests under work hold
	// at most; what exceeds that is refused with CodeBusy.
	MaxMessage int
	// MaxInFlight is how many requests of one connection are worked on at
	// once; default 256. Callers wait for their turn.
	MaxInFlight int
	// Heartbeat is the longest silence of this side; a peer that was silent
	// for three of its own is dead. Default 1 s.
	Heartbeat time.Duration
	// RefusalInterval is how often at most a refused source is logged;
	// default one minute.
	RefusalInterval time.Duration
	// Control, if not nil, is called with each socket before it connects or
	// listens, as net.Dialer's; those that are accepted are the listener's children.
	Control func(network, address string, c syscall.RawConn) error
	Logger  *slog.Logger
}

// Upper limits of what can be configured and announced.
const (
	limitMessage  = 1 << 30
	limitInFlight = 1 << 16
)

// withDefaults returns the configuration made whole, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	switch {
	case !c.Listen.Addr().IsValid() || c.Listen.Addr().IsUnspecified():
		return c, fmt.Errorf("peer: listen address %s is not a care-of address", c.Listen)
	case len(c.Certificate.Certificate) == 0:
		return c, errors.New("peer: no certificate")
	case c.Authority == nil:
		return c, errors.New("peer: no authority")
	case c.Allowed == nil:
		return c, errors.New("peer: nobody is allowed: no function Allowed")
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = time.Second
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = 64 << 20
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 256
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = time.Second
	}
	if c.RefusalInterval <= 0 {
		c.RefusalInterval = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxMessage > limitMessage || c.MaxInFlight > limitInFlight || c.Heartbeat < minHeartbeat || c.Heartbeat > maxHeartbeat {
		return c, fmt.Errorf("peer: limits out of range: message %d (at most %d), in flight %d (at most %d), heartbeat %v (%v to %v)",
			c.MaxMessage, limitMessage, c.MaxInFlight, limitInFlight, c.Heartbeat, minHeartbeat, maxHeartbeat)
	}
	return c, nil
}
