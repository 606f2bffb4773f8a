package tcpcp

import (
	"net/netip"
	"testing"
	"time"

	vlab "github.com/vanycast/vanycast/tests/lab"
)

// The laboratory: a client and two hosts, a and b, that both have the server's
// address. The client's route says which of them hears it: switching it is what
// the Mobile IPv6 data plane does elsewhere.
//
//	client --+-- a   (server address)
//	         +-- b   (server address)
var (
	clientAddr = netip.MustParseAddr("2001:db8:c::1")
	serverAddr = netip.MustParseAddr("2001:db8:9::1")
)

const serverPort = 4000

type testLab struct {
	net          *vlab.Net
	client, a, b *vlab.Host
}

func newLab(t testing.TB, opts ...vlab.LinkOption) *testLab {
	t.Helper()
	n := vlab.New(t)
	l := &testLab{net: n, client: n.Host("client"), a: n.Host("a"), b: n.Host("b")}
	n.Link(l.client, l.a, append(opts, vlab.Names("to-a", "eth0"))...)
	n.Link(l.client, l.b, append(opts, vlab.Names("to-b", "eth0"))...)
	l.client.Addr("lo", netip.PrefixFrom(clientAddr, 128))
	for i, h := range []*vlab.Host{l.a, l.b} {
		ours := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: byte(i + 1), 15: 1})
		l.client.Addr("to-"+h.Name(), netip.PrefixFrom(ours, 64))
		h.Addr("eth0", netip.PrefixFrom(ours.Next(), 64))
		h.Addr("lo", netip.PrefixFrom(serverAddr, 128))
		h.Route(netip.PrefixFrom(clientAddr, 128), ours)
	}
	l.route(l.a)
	return l
}

// route makes the client reach the server's address at h.
func (l *testLab) route(h *vlab.Host) {
	via := "2001:db8:1::2"
	if h == l.b {
		via = "2001:db8:2::2"
	}
	l.client.IP("-6", "route", "replace", serverAddr.String(), "via", via, "src", clientAddr.String())
}

// do runs f on a host.
func do(t testing.TB, h *vlab.Host, f func()) {
	t.Helper()
	if err := h.Do(func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// until polls for a condition.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}
