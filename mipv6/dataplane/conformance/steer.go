package conformance

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// nextConnection waits for the event of a steered SYN.
func nextConnection(t *testing.T, p dataplane.Plane) dataplane.Event {
	t.Helper()
	select {
	case e := <-p.Events():
		if e.Kind != dataplane.NewConnection || !e.Flow.IsConnection() || e.Flow.Home != contactAddr {
			t.Fatalf("event %+v", e)
		}
		return e
	case <-deadline(t).Done():
		t.Fatal("no event")
		return dataplane.Event{}
	}
}

// begin connects in the background.
func begin(t *testing.T, h *lab.Host, from, to netip.AddrPort) <-chan net.Conn {
	t.Helper()
	result := make(chan net.Conn, 1)
	go func() {
		defer close(result)
		err := h.Do(func() error {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: patience}
			c, err := d.Dial("tcp6", to.String())
			if err == nil {
				result <- c
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}()
	return result
}

// listenAt is listen with a port.
func listenAt(t *testing.T, h *lab.Host, at netip.AddrPort) *net.TCPListener {
	t.Helper()
	var l *net.TCPListener
	err := h.Do(func() (err error) {
		l, err = net.ListenTCP("tcp6", net.TCPAddrFromAddrPort(at))
		return err
	})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// A connection to a steered port is decided at its SYN: for this replica or for
// another, which never saw the flow declared before; and not a segment is lost.
func testSteer(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, func(f dataplane.Features) bool { return f.Steer && f.Relay && f.Connections })
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	at := netip.AddrPortFrom(contactAddr, 4000)
	ports, _ := dataplane.PortsOf(80, 4000)
	relays, _ := dataplane.PeersOf(replicaAddr)
	steering, accepting := contact, there
	steering.Steer = ports
	accepting.Steer, accepting.Relays = ports, relays
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(steering), near.SetContact(accepting))
	here, elsewhere := listenAt(t, top.replica, at), listenAt(t, top.near, at)
	from := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(legacyAddr, port) }

	c := capture(t, top.edge, "legacy", func() {
		for i, decide := range []func(dataplane.Flow) *net.TCPListener{
			func(f dataplane.Flow) *net.TCPListener { // ours, with a route
				must(t, p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.Tunnelled}))
				return here
			},
			func(f dataplane.Flow) *net.TCPListener { // ours, without
				must(t, p.replica.RemoveRoute(f))
				return here
			},
			func(f dataplane.Flow) *net.TCPListener { // the other's, declared there first
				must(t, near.SetRoute(f, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}),
					p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}))
				return elsewhere
			},
			func(f dataplane.Flow) *net.TCPListener { // the other's, which learns of it by the SYN
				must(t, p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}))
				e := nextConnection(t, near)
				if e.Flow != f || e.Source != replicaAddr {
					t.Errorf("event at the other replica %+v", e)
				}
				must(t, near.SetRoute(f, dataplane.Route{Kind: dataplane.Relayed, Peer: e.Source}))
				return elsewhere
			},
		} {
			client := from(uint16(40001 + i))
			result := begin(t, top.legacy, client, at)
			e := nextConnection(t, p.replica)
			want := dataplane.Flow{Home: contactAddr, Client: legacyAddr, HomePort: 4000, ClientPort: client.Port()}
			if e.Flow != want || e.Source != agentAddr || e.Dest != replicaAddr || e.Home != contactAddr {
				t.Errorf("event %+v", e)
			}
			select {
			case <-result:
				t.Error("connected before it was decided who serves it")
			case <-time.After(50 * time.Millisecond):
			}
			far := accept(t, decide(e.Flow))
			conn := pair{(<-result).(*net.TCPConn), far}
			conn.exchange(t, 50_000)
			conn.lostNothing(t)
			conn.end(t)
		}
	})
	count(t, c, "tcp.flags.syn == 1 && tcp.flags.ack == 0", func(n int) bool { return n == 4 })

	// Other ports and other ways are not steered.
	conn := connect(t, top.legacy, legacyAddr, top.replica, contactAddr)
	conn.exchange(t, 1000)
	conn.end(t)
	if n := p.replica.Counters()[dataplane.CounterSteered]; n != 4 {
		t.Errorf("%d SYNs were steered, want 4", n)
	}
}

// A flood of SYNs finds a bound; what is beyond is delivered here, and nobody has
// to decide.
func testSteerFlood(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, func(f dataplane.Features) bool { return f.Steer })
	at := netip.AddrPortFrom(contactAddr, 4000)
	steering := contact
	steering.Steer, _ = dataplane.PortsOf(4000)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(steering))
	here := listenAt(t, top.replica, at)
	const flood, client = 5000, 40404
	floodSYN(t, top.agent, func(i int) []byte { return inside(t, agentAddr, replicaAddr, syn(t, legacyAddr, uint16(1+i), at)) }, flood)
	must(t, lab.WaitFor(deadline(t), func() error {
		if p.replica.Counters()[dataplane.CounterSteerOverflow] == 0 {
			return errors.New("no SYN was delivered for want of room")
		}
		return nil
	}))
	// A client that comes now is served: for want of room, or by decision.
	stop := make(chan struct{})
	decided := make(chan error, 1)
	go func() {
		for {
			select {
			case e := <-p.replica.Events():
				if e.Flow.ClientPort == client {
					decided <- p.replica.RemoveRoute(e.Flow)
					return
				}
			case <-stop:
				decided <- nil
				return
			}
		}
	}()
	result := begin(t, top.legacy, netip.AddrPortFrom(legacyAddr, client), at)
	far := accept(t, here)
	close(stop)
	must(t, <-decided)
	conn := pair{(<-result).(*net.TCPConn), far}
	conn.exchange(t, 1000)
	counters := p.replica.Counters()
	if s, o := counters[dataplane.CounterSteered], counters[dataplane.CounterSteerOverflow]; s > flood/2 || o == 0 {
		t.Errorf("of %d SYNs %d were steered, %d overflowed", flood, s, o)
	}
}

// syn is the first segment of a connection; its checksum is of no consequence.
func syn(t *testing.T, from netip.Addr, port uint16, to netip.AddrPort) []byte {
	t.Helper()
	segment := make([]byte, 20)
	binary.BigEndian.PutUint16(segment, port)
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	segment[12], segment[13] = 5<<4, 2
	return marshal(t, mipv6.Packet{Src: from, Dst: to.Addr(), NextHeader: 6, Payload: segment})
}

// floodSYN sends n packets from a host as fast as it can.
func floodSYN(t *testing.T, h *lab.Host, packet func(int) []byte, n int) {
	t.Helper()
	must(t, h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for i := range n {
			b := packet(i)
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet6{Addr: [16]byte(b[24:40])}); err != nil {
				return err
			}
		}
		return nil
	}))
}
