package tcbpf_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

// keeping is a replica with small limits, a socket at its contact address, and a
// home agent that tunnels to it.
type keeping struct {
	plane  *tcbpf.Plane
	agent  *lab.Host
	socket net.PacketConn
}

func newKeeping(t *testing.T, limits tcbpf.KeepLimits) *keeping {
	t.Helper()
	replica, other := newPair(t)
	k := &keeping{agent: other}
	err := replica.Do(func() (err error) {
		k.plane, err = tcbpf.New(tcbpf.Config{Interface: "eth0", Keep: limits})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.plane.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := k.plane.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}); err != nil {
		t.Fatal(err)
	}
	err = replica.Do(func() (err error) {
		k.socket, err = net.ListenPacket("udp6", netip.AddrPortFrom(home, 9).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.socket.Close() })
	return k
}

// send sends datagrams of one byte from a client's port, through the tunnel.
func (k *keeping) send(t *testing.T, client netip.AddrPort, texts string) {
	t.Helper()
	for _, c := range []byte(texts) {
		b := tunnelled(t, agent, client, netip.AddrPortFrom(home, 9), c)
		if err := k.agent.Do(func() error { return sendRaw(b) }); err != nil {
			t.Fatal(err)
		}
	}
}

// tunnelled is a datagram of one byte in a tunnel to the replica.
func tunnelled(t *testing.T, by netip.Addr, from, to netip.AddrPort, c byte) []byte {
	t.Helper()
	datagram := []byte{byte(from.Port() >> 8), byte(from.Port()), byte(to.Port() >> 8), byte(to.Port()), 0, 9, 0, 0, c}
	sum := mipv6.Checksum(datagram, 17, from.Addr(), to.Addr())
	datagram[6], datagram[7] = byte(sum>>8), byte(sum)
	inner := mipv6.Packet{Src: from.Addr(), Dst: to.Addr(), HopLimit: 64, NextHeader: 17, Payload: datagram}
	b, err := inner.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	outer := mipv6.Packet{Src: by, Dst: careOf, HopLimit: 64, NextHeader: 41, Payload: b}
	if b, err = outer.MarshalBinary(); err != nil {
		t.Fatal(err)
	}
	return b
}

// kept waits until so many packets were kept or given up.
func (k *keeping) kept(t *testing.T, n uint64) {
	t.Helper()
	err := lab.WaitFor(within(t), func() error {
		if got := k.plane.Counters()[dataplane.CounterKept]; got != n {
			return fmt.Errorf("%d packets kept, want %d", got, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// receive reads datagrams until all of these have come, in this order.
func (k *keeping) receive(t *testing.T, texts string) {
	t.Helper()
	if err := k.socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for b := make([]byte, 16); len(got) < len(texts); {
		n, _, err := k.socket.ReadFrom(b)
		if err != nil {
			t.Fatalf("after %q: %v, want %q", got, err, texts)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != texts {
		t.Errorf("received %q, want %q", got, texts)
	}
}

var clientPort = netip.MustParseAddrPort("[2001:db8:a::10]:4000")

// What is more than the limits gives way to what came later.
func TestKeepLimits(t *testing.T) {
	k := newKeeping(t, tcbpf.KeepLimits{FlowPackets: 3, Packets: 4})
	one, two := clientPort, netip.AddrPortFrom(netip.MustParseAddr("2001:db8:a::11"), 4000)
	flow := func(a netip.AddrPort) dataplane.Flow { return dataplane.Flow{Home: home, Client: a.Addr()} }
	held := dataplane.Route{Kind: dataplane.Held, Keep: true}
	if err := errors.Join(k.plane.SetRoute(flow(one), held), k.plane.SetRoute(flow(two), held)); err != nil {
		t.Fatal(err)
	}
	k.send(t, one, "abcde")
	k.kept(t, 5)
	k.send(t, two, "xy") // one too many of all: the oldest goes
	k.kept(t, 7)
	if err := k.plane.SetRoute(flow(two), dataplane.Route{}); err != nil {
		t.Fatal(err)
	}
	k.receive(t, "xy")
	if err := k.plane.SetRoute(flow(one), dataplane.Route{}); err != nil {
		t.Fatal(err)
	}
	k.receive(t, "de")
	c := k.plane.Counters()
	if c[dataplane.CounterKeptDropped] != 3 || c[dataplane.CounterKeptReleased] != 4 {
		t.Errorf("%d dropped, %d released; want 3 and 4", c[dataplane.CounterKeptDropped], c[dataplane.CounterKeptReleased])
	}
}

// A connection that loses its route follows its client's, and so does what is
// kept of it: also where that keeps.
func TestKeepConnection(t *testing.T) {
	k := newKeeping(t, tcbpf.KeepLimits{})
	client := dataplane.Flow{Home: home, Client: clientPort.Addr()}
	connection := client
	connection.HomePort, connection.ClientPort = 9, clientPort.Port()
	held := dataplane.Route{Kind: dataplane.Held, Keep: true}
	if err := errors.Join(k.plane.SetRoute(client, held), k.plane.SetRoute(connection, held)); err != nil {
		t.Fatal(err)
	}
	k.send(t, clientPort, "ab")
	k.kept(t, 2)
	if err := k.plane.RemoveRoute(connection); err != nil {
		t.Fatal(err)
	}
	k.send(t, clientPort, "cd")
	k.kept(t, 4)
	if n := k.plane.Counters()[dataplane.CounterKeptReleased]; n != 0 {
		t.Errorf("%d packets were released though their client's flow is held", n)
	}
	if err := k.plane.SetRoute(client, dataplane.Route{Kind: dataplane.Tunnelled}); err != nil {
		t.Fatal(err)
	}
	k.receive(t, "abcd")
}

// What a contact address leaves behind is given up.
func TestKeepGone(t *testing.T) {
	k := newKeeping(t, tcbpf.KeepLimits{})
	if err := k.plane.SetRoute(dataplane.Flow{Home: home, Client: clientPort.Addr()}, dataplane.Route{Kind: dataplane.Held, Keep: true}); err != nil {
		t.Fatal(err)
	}
	k.send(t, clientPort, "ab")
	k.kept(t, 2)
	if err := k.plane.RemoveContact(home); err != nil {
		t.Fatal(err)
	}
	err := lab.WaitFor(within(t), func() error {
		if n := k.plane.Counters()[dataplane.CounterKeptDropped]; n != 2 {
			return fmt.Errorf("%d kept packets were dropped, want 2", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
