package conformance

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/tests/lab"
)

// openMH opens the sockets for Mobility Headers on a host.
func openMH(t *testing.T, h *lab.Host) *mhsock.Socket {
	t.Helper()
	var s *mhsock.Socket
	err := h.Do(func() (err error) {
		s, err = mhsock.Open(nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Mobility Headers ignore routes, bindings and holds (RFC 6275 §6.1, §11.6.1),
// and arrive with the addresses that their checksum was made over.
func testMobilityHeaders(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.client.SetBinding(binding))
	replica, agent, client := openMH(t, top.replica), openMH(t, top.agent), openMH(t, top.client)

	bu := &mipv6.BindingUpdate{Sequence: 7, Acknowledge: true, Lifetime: mipv6.MaxRRBindingLifetime}
	ba := &mipv6.BindingAcknowledgement{Sequence: 7, Lifetime: mipv6.MaxRRBindingLifetime}
	steps := []struct {
		name     string
		from, to *mhsock.Socket
		packet   mipv6.Packet
		message  mipv6.Message
		want     mhsock.Received
		tunnel   bool // crosses the replica's link inside the tunnel
	}{
		{
			name: "home test init goes by the home agent", from: replica, to: client, tunnel: true,
			packet:  mipv6.Packet{Src: contactAddr, Dst: clientAddr},
			message: &mipv6.HomeTestInit{Cookie: mipv6.Cookie{1}},
			want:    mhsock.Received{Src: contactAddr, Dst: clientAddr},
		},
		{
			name: "home test comes by the home agent", from: client, to: replica, tunnel: true,
			packet:  mipv6.Packet{Src: clientAddr, Dst: contactAddr},
			message: &mipv6.HomeTest{Cookie: mipv6.Cookie{1}},
			want:    mhsock.Received{Src: clientAddr, Dst: contactAddr},
		},
		{
			name: "care-of test init goes straight", from: replica, to: client,
			packet:  mipv6.Packet{Src: replicaAddr, Dst: clientAddr},
			message: &mipv6.CareOfTestInit{Cookie: mipv6.Cookie{2}},
			want:    mhsock.Received{Src: replicaAddr, Dst: clientAddr},
		},
		{
			name: "binding update with a home address option", from: replica, to: client,
			packet: mipv6.Packet{Src: replicaAddr, Dst: clientAddr, HomeAddress: contactAddr}, message: bu,
			want: mhsock.Received{Src: contactAddr, CareOf: replicaAddr, Dst: clientAddr},
		},
		{
			name: "binding acknowledgement with a routing header", from: client, to: replica,
			packet: mipv6.Packet{Src: clientAddr, Dst: replicaAddr, RoutingHome: contactAddr}, message: ba,
			want: mhsock.Received{Src: clientAddr, Dst: contactAddr},
		},
		{
			name: "home registration", from: replica, to: agent,
			packet: mipv6.Packet{Src: replicaAddr, Dst: agentAddr, HomeAddress: contactAddr}, message: bu,
			want: mhsock.Received{Src: contactAddr, CareOf: replicaAddr, Dst: agentAddr},
		},
		{
			name: "its acknowledgement", from: agent, to: replica,
			packet: mipv6.Packet{Src: agentAddr, Dst: replicaAddr, RoutingHome: contactAddr}, message: ba,
			want: mhsock.Received{Src: agentAddr, Dst: contactAddr},
		},
	}
	for _, kind := range []dataplane.RouteKind{dataplane.Tunnelled, dataplane.Optimised, dataplane.Held} {
		must(t, p.replica.SetRoute(flow, dataplane.Route{Kind: kind}))
		tunnelled := 0
		c := capture(t, top.replica, "eth0", func() {
			for _, step := range steps {
				packet := step.packet
				packet.HopLimit = 64
				must(t, packet.Carry(step.message, nil), step.from.Send(&packet))
				got, err := step.to.Receive(deadline(t))
				if err != nil {
					t.Fatalf("%v: %s: %v", kind, step.name, err)
				}
				step.want.Message = packet.Payload
				ignore := cmpopts.IgnoreFields(mhsock.Received{}, "Interface")
				if d := cmp.Diff(step.want, got, ignore, cmpopts.EquateComparable(netip.Addr{})); d != "" {
					t.Errorf("%v: %s: received (-want +got):\n%s", kind, step.name, d)
				}
				if step.tunnel {
					tunnelled++
				}
			}
		})
		count(t, c, "mipv6 && ipv6.nxt == 41", func(n int) bool { return n == tunnelled })
		count(t, c, "mipv6 && !(ipv6.nxt == 41)", func(n int) bool { return n == len(steps)-tunnelled })
	}
}

// A Home Address option that no binding covers is dropped and reported (RFC
// 6275 §9.3.3): none at all, and one that names another care-of address.
func testUnknownHomeAddress(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.replica.SetContact(contact), p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised}))
	want := dataplane.Event{Kind: dataplane.UnknownHomeAddress, Source: replicaAddr, Dest: clientAddr, Home: contactAddr}
	other := binding
	other.CareOf = nearAddr
	for _, prepare := range []func() error{
		func() error { return nil },
		func() error { return p.client.SetBinding(other) },
	} {
		must(t, prepare())
		before := p.client.Counters()
		noPing(t, top.replica, clientAddr, "-I", contactAddr.String())
		select {
		case got := <-p.client.Events():
			if got != want {
				t.Errorf("event %+v, want %+v", got, want)
			}
		case <-deadline(t).Done():
			t.Fatal("no event")
		}
		counted(t, p.client, dataplane.CounterDropUnknownHome, before)
	}
	// A router on the way is not concerned.
	router := b.New(t, top.edge, "core")
	defer router.Close()
	must(t, p.client.SetBinding(binding), p.agent.SetTunnel(tunnel))
	ping(t, top.replica, clientAddr, 56, "-I", contactAddr.String())
}
