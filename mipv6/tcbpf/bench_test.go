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
	for _, c := range []struct {
		name  string
		route dataplane.Route
	}{
		{"optimised", dataplane.Route{Kind: dataplane.Optimised}},
		{"held", dataplane.Route{Kind: dataplane.Held}},
		{"relay to", dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor}},
		{"kept", dataplane.Route{Kind: dataplane.Held, Keep: true}},
		{"released", dataplane.Route{Kind: dataplane.Tunnelled}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := p.SetRoute(flow(i), c.route); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("connection", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			f := flow(i)
			f.HomePort, f.ClientPort = 80, uint16(1+i%60000)
			if err := p.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("batch of 64", func(b *testing.B) {
		changes := make([]dataplane.Change, 64)
		for i := 0; b.Loop(); i++ {
			for j := range changes {
				changes[j] = dataplane.Change{Flow: flow(64*i + j), Route: dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor, From: agent}}
			}
			if err := p.SetRoutes(changes); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/flow")
	})
	b.Run("removed", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := p.RemoveRoute(flow(i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
