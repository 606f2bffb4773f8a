package tcbpf_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

// What a handoff costs at the data plane: the flow optimised at the acceptor,
// held and forgotten at the donor.
func BenchmarkSetRoute(b *testing.B) {
	n := lab.New(b)
	replica, other := n.Host("replica"), n.Host("other")
	n.Link(replica, other, lab.Names("eth0", "eth0"))
	replica.Addr("eth0", netip.PrefixFrom(careOf, 64))
	replica.Route(netip.MustParsePrefix("::/0"), agent)
	var p *tcbpf.Plane
	err := replica.Do(func() (err error) {
		p, err = tcbpf.New(tcbpf.Config{Interface: "eth0"})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	if err := p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}); err != nil {
		b.Fatal(err)
	}
	flow := func(i int) dataplane.Flow {
		client := netip.MustParseAddr("2001:db8:a::").As16()
		binary.BigEndian.PutUint32(client[12:], uint32(i%100_000+1))
		return dataplane.Flow{Home: home, Client: netip.AddrFrom16(client)}
	}
	for _, kind := range []dataplane.RouteKind{dataplane.Optimised, dataplane.Held} {
		b.Run(kind.String(), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := p.SetRoute(flow(i), dataplane.Route{Kind: kind}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("removed", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := p.RemoveRoute(flow(i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
