package conformance

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

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

// datagram is a UDP packet to port 9 with a text.
func datagram(t *testing.T, from, to netip.Addr, text string) []byte {
	t.Helper()
	udp := binary.BigEndian.AppendUint16([]byte{0x11, 0x22, 0, discard}, uint16(8+len(text)))
	udp = append(append(udp, 0, 0), text...)
	binary.BigEndian.PutUint16(udp[6:], mipv6.Checksum(udp, unix.IPPROTO_UDP, from, to))
	return marshal(t, mipv6.Packet{Src: from, Dst: to, NextHeader: unix.IPPROTO_UDP, Payload: udp})
}

const discard = 9 // a port, RFC 863

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
func testForeignTunnels(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))

	// Where the inner packets would arrive, and a packet that does.
	type place struct {
		socket net.PacketConn
		good   func(text string)
	}
	through := func(from *lab.Host, outer [2]netip.Addr, inner []byte) {
		sendRaw(t, from, inside(t, outer[0], outer[1], inner))
	}
	toReplica, toAgent := [2]netip.Addr{agentAddr, replicaAddr}, [2]netip.Addr{replicaAddr, agentAddr}
	contactPlace := place{listenPacket(t, top.replica, contactAddr), func(text string) {
		through(top.agent, toReplica, datagram(t, clientAddr, contactAddr, text))
	}}
	replicaPlace := place{listenPacket(t, top.replica, replicaAddr), func(text string) {
		sendRaw(t, top.agent, datagram(t, agentAddr, replicaAddr, text))
	}}
	clientPlace := place{listenPacket(t, top.client, clientAddr), func(text string) {
		through(top.replica, toAgent, datagram(t, contactAddr, clientAddr, text))
	}}
	for i, c := range []struct {
		name   string
		from   *lab.Host
		outer  [2]netip.Addr
		inner  [2]netip.Addr
		cut    int // bytes missing at the end
		to     place
		passes bool
	}{
		{"home agent to contact address", top.agent, toReplica, [2]netip.Addr{clientAddr, contactAddr}, 0, contactPlace, true},
		{"stranger to contact address", top.near, [2]netip.Addr{nearAddr, replicaAddr}, [2]netip.Addr{clientAddr, contactAddr}, 0, contactPlace, false},
		{"home agent to another inner address", top.agent, toReplica, [2]netip.Addr{clientAddr, replicaAddr}, 0, replicaPlace, false},
		{"truncated inner header", top.agent, toReplica, [2]netip.Addr{clientAddr, contactAddr}, 16, contactPlace, false},
		{"replica out of the home agent", top.replica, toAgent, [2]netip.Addr{contactAddr, clientAddr}, 0, clientPlace, true},
		{"stranger out of the home agent", top.near, [2]netip.Addr{nearAddr, agentAddr}, [2]netip.Addr{contactAddr, clientAddr}, 0, clientPlace, false},
		{"replica with another inner source", top.replica, toAgent, [2]netip.Addr{contact2Addr, clientAddr}, 0, clientPlace, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, good := fmt.Sprintf("case %d", i), fmt.Sprintf("good %d", i)
			inner := datagram(t, c.inner[0], c.inner[1], text)
			through(c.from, c.outer, inner[:len(inner)-c.cut])
			// The same way, later: when it has arrived, so has the packet.
			ping(t, c.from, c.outer[1], 56)
			c.to.good(good)
			arrived := false
			for got := ""; got != good; {
				got = readPacket(t, c.to.socket)
				arrived = arrived || got == text
			}
			if arrived != c.passes {
				t.Errorf("arrived: %v, want %v", arrived, c.passes)
			}
		})
	}
}

// listenPacket opens a UDP socket for datagrams at an address of a host.
func listenPacket(t *testing.T, h *lab.Host, at netip.Addr) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	err := h.Do(func() (err error) {
		c, err = net.ListenPacket("udp6", netip.AddrPortFrom(at, discard).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// readPacket reads the text of the next datagram.
func readPacket(t *testing.T, c net.PacketConn) string {
	t.Helper()
	b := make([]byte, 100)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, _, err := c.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// What comes to a contact address without tunnel and routing header is dropped,
// and no answer gives it away.
func testNative(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))
	top.near.Route(netip.PrefixFrom(contactAddr, 128), replicaAddr)
	c := capture(t, top.near, "eth0", func() { noPing(t, top.near, contactAddr) })
	count(t, c, "icmpv6.type == 128", some)
	count(t, c, "icmpv6 && ipv6.src == 2001:db8:1::10 && !(icmpv6.type == 135 || icmpv6.type == 136)", none)
	counted(t, p.replica, dataplane.CounterDropNative, nil)
	// A routing header that is not quite one of ours does not help.
	for name, change := range map[string]func([]byte){
		"type":          func(b []byte) { b[42] = 0 },
		"segments left": func(b []byte) { b[43] = 2 },
		"length":        func(b []byte) { b[41] = 4 },
		"home address":  func(b []byte) { b[63] ^= 0xff },
	} {
		b := marshal(t, mipv6.Packet{Src: nearAddr, Dst: replicaAddr, RoutingHome: contactAddr, NextHeader: 17, Payload: datagram(t, nearAddr, contactAddr, "")[40:]})
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
func testSource(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))
	for _, to := range []netip.Addr{clientAddr, legacyAddr, agentAddr, nearAddr, contact2Addr} {
		if got := chosenSource(t, top.replica, to); got != replicaAddr {
			t.Errorf("towards %v the kernel chooses %v, want %v", to, got, replicaAddr)
		}
	}
	c := capture(t, top.replica, "eth0", func() {
		// Multicast, and what is left of a socket whose address has gone.
		sendRaw(t, top.replica, datagram(t, contactAddr, netip.MustParseAddr("ff0e::1"), ""))
		must(t, p.replica.RemoveContact(contactAddr))
		sendRaw(t, top.replica, datagram(t, contactAddr, clientAddr, ""))
		ping(t, top.replica, clientAddr, 56)
	})
	count(t, c, "ipv6.src == 2001:db8:9::1", none)
	counted(t, p.replica, dataplane.CounterDropContactGone, nil)
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
