// Package station runs single roles on the laboratory's hosts, for tests: each
// on a real data plane and the socket for Mobility Headers, without a daemon.
package station

import (
	"context"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

// Contact is the contact address, Agent the home agent's.
var (
	Contact = netip.MustParseAddr(lab.ContactAddress)
	Agent   = netip.MustParseAddr(lab.HomeAgent)
)

// Station is a host with a data plane and the socket for Mobility Headers.
type Station struct {
	Host  *lab.Host
	Addr  netip.Addr
	Plane *tcbpf.Plane
	Conn  *mhsock.Socket

	t *testing.T
}

// New sets a host up until the test ends.
func New(t *testing.T, h *lab.Host) *Station {
	t.Helper()
	site, ok := lab.SiteOf(h.Name())
	if !ok {
		t.Fatalf("no site %q", h.Name())
	}
	s := &Station{t: t, Host: h, Addr: site.Addr}
	if err := h.Do(func() (err error) {
		if s.Plane, err = tcbpf.New(tcbpf.Config{Interface: "eth0"}); err != nil {
			return err
		}
		s.Conn, err = mhsock.Open(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{s.Conn.Close(), s.Plane.Close()} {
			if err != nil {
				t.Errorf("closing on %s: %v", h.Name(), err)
			}
		}
	})
	return s
}

// Serve runs a role until the test ends, as a daemon does.
func (s *Station) Serve(run func(context.Context) error, mobility func(mhsock.Received) bool, icmp func(mhsock.ICMPError) bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	go mhsock.Each(ctx, s.Conn.Receive, mobility)
	go mhsock.Each(ctx, s.Conn.ReceiveError, icmp)
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the role on %s: %v", s.Host.Name(), err)
		}
	})
}
