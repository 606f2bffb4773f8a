package tcbpf_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

// newSpoken is keeping, with a socket at the home agent that hears what comes in
// tunnels.
func newSpoken(t *testing.T, limits tcbpf.KeepLimits) (k *keeping, heard net.PacketConn) {
	t.Helper()
	k = newKeeping(t, limits)
	err := k.agent.Do(func() (err error) {
		heard, err = net.ListenPacket("ip6:41", agent.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { heard.Close() })
	return k, heard
}

// speak sends datagrams of one byte as the neighbour, which serves the flow, would
// send them to a client.
func (k *keeping) speak(t *testing.T, client netip.AddrPort, texts string) {
	t.Helper()
	for _, c := range []byte(texts) {
		b := tunnelled(t, neighbor, netip.AddrPortFrom(home, 9), client, c)
		if err := k.agent.Do(func() error { return sendRaw(b) }); err != nil {
			t.Fatal(err)
		}
	}
}

// hears wants these datagrams to come out of the tunnel, in this order, one hop on.
func hears(t *testing.T, heard net.PacketConn, client netip.AddrPort, texts string) {
	t.Helper()
	if err := heard.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for b := make([]byte, 2000); len(got) < len(texts); {
		n, from, err := heard.ReadFrom(b)
		if err != nil {
			t.Fatalf("after %q: %v, want %q", got, err, texts)
		}
		p, err := mipv6.ParsePacket(b[:n])
		if err != nil || from.String() != careOf.String() || p.Src != home || p.Dst != client.Addr() || p.HopLimit != 63 || len(p.Payload) != 9 {
			t.Fatalf("from %v: %+v, %v", from, p, err)
		}
		got = append(got, p.Payload[8])
	}
	if string(got) != texts {
		t.Errorf("heard %q, want %q", got, texts)
	}
}

// What is more than the limits gives way to what was sent later; what comes, and
// is kept too, has its own place in its flow, but not in all.
func TestPauseLimits(t *testing.T) {
	k, heard := newSpoken(t, tcbpf.KeepLimits{FlowPackets: 3, Packets: 5})
	one, two := clientPort, netip.AddrPortFrom(netip.MustParseAddr("2001:db8:a::11"), 4000)
	held := netip.AddrPortFrom(netip.MustParseAddr("2001:db8:a::12"), 4000)
	flow := func(a netip.AddrPort) dataplane.Flow { return dataplane.Flow{Home: home, Client: a.Addr()} }
	paused := dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor, Pause: true}
	goesOn := dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor}
	err := errors.Join(k.plane.SetRoute(flow(one), paused), k.plane.SetRoute(flow(two), paused),
		k.plane.SetRoute(flow(held), dataplane.Route{Kind: dataplane.Held, Keep: true}))
	if err != nil {
		t.Fatal(err)
	}
	k.speak(t, one, "abcde")
	k.kept(t, 5)
	k.send(t, held, "x")
	k.kept(t, 6)
	k.speak(t, two, "yz") // one too many of all: the oldest goes
	k.kept(t, 8)
	if err := k.plane.SetRoute(flow(two), goesOn); err != nil {
		t.Fatal(err)
	}
	hears(t, heard, two, "yz")
	if err := k.plane.SetRoute(flow(one), goesOn); err != nil {
		t.Fatal(err)
	}
	k.speak(t, one, "f")
	hears(t, heard, one, "def")
	if err := k.plane.SetRoute(flow(held), dataplane.Route{}); err != nil {
		t.Fatal(err)
	}
	k.receive(t, "x")
	c := k.plane.Counters()
	if c[dataplane.CounterKeptDropped] != 3 || c[dataplane.CounterKeptReleased] != 5 {
		t.Errorf("%d dropped, %d released; want 3 and 5", c[dataplane.CounterKeptDropped], c[dataplane.CounterKeptReleased])
	}
}

// A connection that pauses goes on though its client's flow, which has a route of
// its own, still pauses; what is kept of the client stays.
func TestPauseConnection(t *testing.T) {
	k, heard := newSpoken(t, tcbpf.KeepLimits{})
	client := dataplane.Flow{Home: home, Client: clientPort.Addr()}
	connection := client
	connection.HomePort, connection.ClientPort = 9, clientPort.Port()
	paused := dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor, Pause: true}
	goesOn := dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor}
	if err := errors.Join(k.plane.SetRoute(client, paused), k.plane.SetRoute(connection, paused)); err != nil {
		t.Fatal(err)
	}
	other := netip.AddrPortFrom(clientPort.Addr(), clientPort.Port()+1)
	k.speak(t, other, "xy")
	k.speak(t, clientPort, "ab")
	k.kept(t, 4)
	if err := k.plane.SetRoute(connection, goesOn); err != nil {
		t.Fatal(err)
	}
	k.speak(t, clientPort, "c")
	hears(t, heard, clientPort, "abc")
	if n := k.plane.Counters()[dataplane.CounterKeptReleased]; n != 2 {
		t.Errorf("%d packets were released, want 2", n)
	}
	if err := k.plane.SetRoute(client, goesOn); err != nil {
		t.Fatal(err)
	}
	hears(t, heard, other, "xy")
}

// On a link without link header what is paused comes and goes as well.
func TestPauseTUN(t *testing.T) {
	host := lab.New(t).Host("replica")
	tun := openTUN(t, host, "tun0")
	host.Addr("tun0", netip.PrefixFrom(careOf, 64))
	host.IP("-6", "route", "add", "default", "dev", "tun0")
	p := newPlane(t, host, "tun0")
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	flow := dataplane.Flow{Home: home, Client: clientPort.Addr()}
	if err := p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}); err != nil {
		t.Fatal(err)
	}
	for n, via := range []dataplane.RouteKind{dataplane.Optimised, dataplane.Tunnelled, dataplane.Direct} {
		route := dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor, Via: via, Pause: true}
		if err := p.SetRoute(flow, route); err != nil {
			t.Fatal(err)
		}
		if _, err := tun.Write(tunnelled(t, neighbor, netip.AddrPortFrom(home, 9), clientPort, 'a')); err != nil {
			t.Fatal(err)
		}
		(&keeping{plane: p.(*tcbpf.Plane)}).kept(t, uint64(n+1))
		route.Pause = false
		if err := p.SetRoute(flow, route); err != nil {
			t.Fatal(err)
		}
		if err := tun.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var got *mipv6.Packet
		for b := make([]byte, 2000); got == nil || got.NextHeader != 17 && got.NextHeader != 41; { // the host speaks there, too
			size, err := tun.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = mipv6.ParsePacket(b[:size]); err != nil {
				got = nil
			}
		}
		want := map[dataplane.RouteKind]mipv6.Packet{
			dataplane.Optimised: {Src: careOf, Dst: flow.Client, HomeAddress: home, NextHeader: 17},
			dataplane.Tunnelled: {Src: careOf, Dst: agent, NextHeader: 41},
			dataplane.Direct:    {Src: home, Dst: flow.Client, NextHeader: 17},
		}[via]
		if got.Src != want.Src || got.Dst != want.Dst || got.HomeAddress != want.HomeAddress || got.NextHeader != want.NextHeader ||
			got.Payload[len(got.Payload)-1] != 'a' {
			t.Errorf("via %v: %+v", via, got)
		}
	}
}
