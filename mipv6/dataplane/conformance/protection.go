package conformance

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// sendRaw sends a whole IPv6 packet from a host.
func sendRaw(t *testing.T, h *lab.Host, packet []byte) {
	t.Helper()
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, packet, 0, &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// datagram is a UDP packet to port 9 without a checksum of consequence: it is
// only looked at on the wire.
func datagram(t *testing.T, from, to netip.Addr) []byte {
	t.Helper()
	return marshal(t, mipv6.Packet{Src: from, Dst: to, NextHeader: 17, Payload: []byte{0x11, 0x22, 0, 9, 0, 8, 0xbe, 0xef}})
}

func marshal(t *testing.T, p mipv6.Packet) []byte {
	t.Helper()
	p.HopLimit = 64
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inside puts a packet into a tunnel.
func inside(t *testing.T, from, to netip.Addr, inner []byte) []byte {
	t.Helper()
	return marshal(t, mipv6.Packet{Src: from, Dst: to, NextHeader: 41, Payload: inner})
}

// Only the home agent's tunnel leads to a contact address, and only a registered
// care-of address's tunnel leads out of the home agent (RFC 6275 §10.4.5).
func testForeignTunnels(t *testing.T, newPlane Factory) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, newPlane)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))

	toContact := datagram(t, clientAddr, contactAddr)
	fromContact := datagram(t, contactAddr, clientAddr)
	cases := []struct {
		name   string
		from   *lab.Host
		packet []byte
		plane  dataplane.Plane
		name2  string // of the counter
		passes bool
	}{
		{"home agent to contact address", top.agent, inside(t, agentAddr, replicaAddr, toContact), p.replica, dataplane.CounterTunnelledIn, true},
		{"stranger to contact address", top.near, inside(t, nearAddr, replicaAddr, toContact), p.replica, dataplane.CounterTunnelledIn, false},
		{"home agent to another inner address", top.agent, inside(t, agentAddr, replicaAddr, datagram(t, clientAddr, replicaAddr)), p.replica, dataplane.CounterTunnelledIn, false},
		{"truncated inner header", top.agent, inside(t, agentAddr, replicaAddr, toContact[:39]), p.replica, dataplane.CounterTunnelledIn, false},
		{"replica out of the home agent", top.replica, inside(t, replicaAddr, agentAddr, fromContact), p.agent, dataplane.CounterHomeAgentIn, true},
		{"stranger out of the home agent", top.near, inside(t, nearAddr, agentAddr, fromContact), p.agent, dataplane.CounterHomeAgentIn, false},
		{"replica with another inner source", top.replica, inside(t, replicaAddr, agentAddr, datagram(t, contact2Addr, clientAddr)), p.agent, dataplane.CounterHomeAgentIn, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := c.plane.Counters()[c.name2]
			sendRaw(t, c.from, c.packet)
			// The same way, later: when it has arrived, so has the packet.
			if c.from == top.near {
				ping(t, c.from, map[dataplane.Plane]netip.Addr{p.replica: replicaAddr, p.agent: agentAddr}[c.plane], 56)
			} else if c.from == top.agent {
				ping(t, c.from, replicaAddr, 56)
			} else {
				ping(t, c.from, agentAddr, 56)
			}
			if passed := c.plane.Counters()[c.name2] > before; passed != c.passes {
				t.Errorf("decapsulated: %v, want %v", passed, c.passes)
			}
		})
	}
}

// What comes to a contact address without tunnel and routing header is dropped,
// and no answer gives it away.
func testNative(t *testing.T, newPlane Factory) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, newPlane)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))
	top.near.Route(netip.PrefixFrom(contactAddr, 128), replicaAddr)
	c := capture(t, top.near, "eth0", func() { noPing(t, top.near, contactAddr) })
	count(t, c, "icmpv6.type == 128", some)
	count(t, c, "icmpv6 && ipv6.src == 2001:db8:1::10 && !(icmpv6.type == 135 || icmpv6.type == 136)", none)
	if p.replica.Counters()[dataplane.CounterDropNative] == 0 {
		t.Error("nothing counted as " + dataplane.CounterDropNative)
	}
	// A routing header that is not quite one of ours does not help.
	for name, change := range map[string]func([]byte){
		"type":          func(b []byte) { b[42] = 0 },
		"segments left": func(b []byte) { b[43] = 2 },
		"length":        func(b []byte) { b[41] = 4 },
		"home address":  func(b []byte) { b[63] ^= 0xff },
	} {
		b := marshal(t, mipv6.Packet{Src: nearAddr, Dst: replicaAddr, RoutingHome: contactAddr, NextHeader: 17, Payload: datagram(t, nearAddr, contactAddr)[40:]})
		change(b)
		sendRaw(t, top.near, b)
		ping(t, top.near, replicaAddr, 56)
		if n := p.replica.Counters()[dataplane.CounterOptimisedIn]; n != 0 {
			t.Errorf("changed %s: %d routing headers taken off", name, n)
		}
	}
}

// Nobody gets the contact address as source who did not ask for it, and nothing
// leaves with it that only a link may carry, nor after it was removed.
func testSource(t *testing.T, newPlane Factory) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, newPlane)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))
	for _, to := range []netip.Addr{clientAddr, legacyAddr, agentAddr, nearAddr, contact2Addr} {
		if got := chosenSource(t, top.replica, to); got != replicaAddr {
			t.Errorf("towards %v the kernel chooses %v, want %v", to, got, replicaAddr)
		}
	}
	c := capture(t, top.replica, "eth0", func() {
		// Multicast, and what is left of a socket whose address has gone.
		sendRaw(t, top.replica, datagram(t, contactAddr, netip.MustParseAddr("ff0e::1")))
		must(t, p.replica.RemoveContact(contactAddr))
		sendRaw(t, top.replica, datagram(t, contactAddr, clientAddr))
		ping(t, top.replica, clientAddr, 56)
	})
	count(t, c, "ipv6.src == 2001:db8:9::1", none)
	if p.replica.Counters()[dataplane.CounterDropContactGone] == 0 {
		t.Error("nothing counted as " + dataplane.CounterDropContactGone)
	}
}

// chosenSource is the source address that the kernel takes for a destination.
func chosenSource(t *testing.T, h *lab.Host, to netip.Addr) netip.Addr {
	t.Helper()
	var got netip.Addr
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet6{Addr: to.As16(), Port: 9}); err != nil {
			return err
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		got = netip.AddrFrom16(name.(*unix.SockaddrInet6).Addr)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
