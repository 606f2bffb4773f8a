package tcpcp

import (
	"bytes"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
)

// What client and server did not agree on is not used after a move, and what
// they did agree on is. The transfers before and after are long enough to need
// windows beyond 64 KB, where they are allowed.
func TestMoveNegotiated(t *testing.T) {
	for _, test := range []struct {
		name, off             string
		scaling, sack, stamps bool
	}{
		{"all", "", true, true, true},
		{"no window scaling", "net.ipv4.tcp_window_scaling", false, true, true},
		{"no SACK", "net.ipv4.tcp_sack", true, false, true},
		{"no timestamps", "net.ipv4.tcp_timestamps", true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if test.off != "" {
				l.client.Sysctl(test.off, "0")
			}
			c := l.connect(t)
			watchHost(t, c.a)
			watchHost(t, c.b)
			for i := range 3 {
				c.bulk(t, 2<<20)
				_, e := c.move(t, c.turn(i))
				if e.WindowScaling != test.scaling || e.SACK != test.sack || e.Timestamps != test.stamps {
					t.Errorf("window scaling %v, SACK %v, timestamps %v", e.WindowScaling, e.SACK, e.Timestamps)
				}
				if e.MSS != 1440 {
					t.Errorf("MSS %d, want the client's 1440", e.MSS)
				}
				after, err := getInfo(c.fd)
				if err != nil {
					t.Fatal(err)
				}
				var got Endpoint
				got.negotiated(after)
				if got.WindowScaling != test.scaling || got.SACK != test.sack || got.Timestamps != test.stamps ||
					got.SendScale != e.SendScale || got.ReceiveScale != e.ReceiveScale {
					t.Errorf("the acceptor's kernel has %+v of %+v", got, e)
				}
				c.forgetFrozen(t)
			}
			c.bulk(t, 2<<20)
		})
	}
}

// bulk sends n bytes each way, at once.
func (c *connection) bulk(t testing.TB, n int) {
	t.Helper()
	data := randomBytes(n)
	s := c.server(t)
	defer s.Close()
	sent := make(chan error, 2)
	go func() { _, err := s.Write(data); sent <- err }()
	go func() { _, err := c.client.Write(data); sent <- err }()
	got := make(chan []byte)
	go func() {
		b := make([]byte, n)
		for at := 0; at < n; {
			k, err := s.Read(b[at:])
			if err != nil {
				break
			}
			at += k
		}
		got <- b
	}()
	if !bytes.Equal(readFull(t, "at the client", c.client, n), data) {
		t.Error("the client got other bytes")
	}
	if !bytes.Equal(<-got, data) {
		t.Error("the server got other bytes")
	}
	for range 2 {
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// A donor whose timestamps count microseconds: the acceptor goes on in that unit,
// though its own routes do not ask for it, and the client sees no step back.
func TestMoveMicrosecondTimestamps(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	do(t, l.a, func() { microsecondRoute(t) })
	c := l.connect(t)
	for i := range 3 {
		c.talk(t)
		_, e := c.move(t, c.turn(i))
		if !e.TimestampMicro {
			t.Fatal("the donor's timestamps are not in microseconds: this needs Linux 6.7")
		}
		if got, err := getInfo(c.fd); err != nil || got.options&infoMicro == 0 {
			t.Errorf("the acceptor's options are %#x, %v", got.options, err)
		}
		c.forgetFrozen(t)
	}
	c.bulk(t, 1<<20)
}

// microsecondRoute asks for microseconds on this host's route to the client
// (RTAX_FEATURE_TCP_USEC_TS; ip(8) learnt its name later).
func microsecondRoute(t *testing.T) {
	const tcpMicroseconds = 1 << 4
	dst := &net.IPNet{IP: clientAddr.AsSlice(), Mask: net.CIDRMask(128, 128)}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: dst}, netlink.RT_FILTER_DST)
	if err != nil || len(routes) != 1 {
		t.Errorf("routes to the client: %v, %v", routes, err)
		return
	}
	routes[0].Features = tcpMicroseconds
	if err := netlink.RouteReplace(&routes[0]); err != nil {
		t.Error(err)
	}
}
