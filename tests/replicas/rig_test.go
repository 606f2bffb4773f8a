package replicas

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/mipv6/correspondent"
	"github.com/vanycast/vanycast/mipv6/homeagent"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/station"
)

// rig is the laboratory with all roles running.
type rig struct {
	net      *lab.ThesisNet
	replicas map[netip.Addr]*anycast.Node
	client   *correspondent.Role
	agent    *homeagent.Role
}

func newRig(t *testing.T) *rig {
	net := lab.Thesis(t, lab.Wire())
	return &rig{
		net: net, replicas: make(map[netip.Addr]*anycast.Node),
		agent: station.HomeAgent(t, net.HA), client: station.Correspondent(t, net.Modern),
	}
}

// replica starts anycast on a host, with the contact address passive.
func (r *rig) replica(t *testing.T, h *lab.Host) *anycast.Address {
	t.Helper()
	s := station.New(t, h)
	n, err := anycast.New(anycast.Config{CareOf: s.Addr},
		anycast.Deps{Plane: s.Plane, MH: s.Conn, Relay: anycast.RelayOver(channel{r, s.Addr})})
	if err != nil {
		t.Fatal(err)
	}
	r.replicas[s.Addr] = n
	s.Serve(n.Run, n.HandleMH, n.HandleICMP)
	glass, _ := lab.SiteOf("glass")
	reich, _ := lab.SiteOf("reich")
	a, err := n.Passive(t.Context(), anycast.Contact{
		Address: station.Contact, HomeAgent: station.Agent, ContactNodes: []netip.Addr{glass.Addr, reich.Addr},
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
