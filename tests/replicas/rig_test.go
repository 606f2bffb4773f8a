package replicas

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/mipv6/correspondent"
	"github.com/vanycast/vanycast/mipv6/homeagent"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/tests/lab"
)

var (
	contact = netip.MustParseAddr(lab.ContactAddress)
	agent   = netip.MustParseAddr(lab.HomeAgent)
)

// station is a host with a data plane and the socket for Mobility Headers.
type station struct {
	t     *testing.T
	host  *lab.Host
	addr  netip.Addr
	plane *tcbpf.Plane
	conn  *mhsock.Socket
}

func newStation(t *testing.T, h *lab.Host) *station {
	t.Helper()
	site, ok := lab.SiteOf(h.Name())
	if !ok {
		t.Fatalf("no site %q", h.Name())
	}
	s := &station{t: t, host: h, addr: site.Addr}
	if err := h.Do(func() (err error) {
		if s.plane, err = tcbpf.New(tcbpf.Config{Interface: "eth0"}); err != nil {
			return err
		}
		s.conn, err = mhsock.Open(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{s.conn.Close(), s.plane.Close()} {
			if err != nil {
				t.Errorf("closing on %s: %v", h.Name(), err)
			}
		}
	})
	return s
}

// serve runs a role until the test ends: what a daemon does.
func (s *station) serve(run func(context.Context) error, mobility func(mhsock.Received) bool, icmp func(mhsock.ICMPError) bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	go func() {
		for {
			r, err := s.conn.Receive(ctx)
			if err != nil {
				return
			}
			mobility(r)
		}
	}()
	go func() {
		for {
			e, err := s.conn.ReceiveError(ctx)
			if err != nil {
				return
			}
			icmp(e)
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the role on %s: %v", s.host.Name(), err)
		}
	})
}

// rig is the laboratory with all roles running.
type rig struct {
	net      *lab.ThesisNet
	replicas map[netip.Addr]*anycast.Node
	client   *correspondent.Role
	agent    *homeagent.Role
}

func newRig(t *testing.T) *rig {
	net := lab.Thesis(t, lab.Wire())
	r := &rig{net: net, replicas: make(map[netip.Addr]*anycast.Node)}
	ha, modern := newStation(t, net.HA), newStation(t, net.Modern)
	if err := net.HA.Do(func() (err error) {
		r.agent, err = homeagent.New(
			homeagent.Config{Address: agent, Prefix: netip.MustParsePrefix(lab.HomePrefix), Interface: "eth0"},
			homeagent.Deps{Plane: ha.plane, MH: ha.conn})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ignore := func(mhsock.ICMPError) bool { return false }
	ha.serve(r.agent.Run, r.agent.HandleMH, ignore)
	var err error
	r.client, err = correspondent.New(correspondent.Config{}, correspondent.Deps{Plane: modern.plane, MH: modern.conn})
	if err != nil {
		t.Fatal(err)
	}
	modern.serve(r.client.Run, r.client.HandleMH, r.client.HandleICMP)
	return r
}

// replica starts anycast on a host, with the contact address passive.
func (r *rig) replica(t *testing.T, h *lab.Host) *anycast.Address {
	t.Helper()
	s := newStation(t, h)
	n, err := anycast.New(anycast.Config{CareOf: s.addr},
		anycast.Deps{Plane: s.plane, MH: s.conn, Relay: anycast.RelayOver(channel{r, s.addr})})
	if err != nil {
		t.Fatal(err)
	}
	r.replicas[s.addr] = n
	s.serve(n.Run, n.HandleMH, n.HandleICMP)
	glass, _ := lab.SiteOf("glass")
	reich, _ := lab.SiteOf("reich")
	a, err := n.Passive(t.Context(), anycast.Contact{
		Address: contact, HomeAgent: agent, ContactNodes: []netip.Addr{glass.Addr, reich.Addr},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// channel is the replicas' channel, without the network: package peer has its
// own tests.
type channel struct {
	rig  *rig
	from netip.Addr
}

// Call implements anycast.Caller.
func (c channel) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	n := c.rig.replicas[to]
	if n == nil {
		return nil, fmt.Errorf("%v: %w", to, peer.ErrUnreachable)
	}
	switch kind {
	case peer.KindHomeTest:
		return n.HandleHomeTest(ctx, c.from, req)
	case peer.KindRefresh:
		return n.HandleRefresh(ctx, c.from, req)
	}
	return nil, fmt.Errorf("unexpected call of kind %v", kind)
}
