package framework

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/handoff"
)

// A binding moves all that a client has with the contact address: services that
// share it know of each other's connections.
func TestServicesOfOneAddress(t *testing.T) {
	live := NewLive()
	leave := func(_ context.Context, c *handoff.Client, _ netip.Addr) error {
		unix.Close(c.FD)
		c.FD = -1
		return nil
	}
	echo := startService(t, &fake{live: live, handoff: leave}, nil, nil)
	web := startService(t, &fake{live: live}, func(c *Config) { c.Service = "web" }, nil)
	atEcho, atWeb := listenService(t, echo), listenService(t, web)
	dialService(t, echo)
	client := acceptService(t, atEcho)
	dialService(t, web)
	other := acceptService(t, atWeb)

	back, err := handOff(atEcho, client.Key, hosts["reich"])
	if !errors.Is(err, ErrShared) || back == nil {
		t.Fatalf("handed off although the other service has a connection of the client: %v, %v", back, err)
	}
	back.Close()
	if err := atWeb.CloseClient(other.Key, false, nil); err != nil {
		t.Fatal(err)
	}
	if back, err = handOff(atEcho, client.Key, hosts["reich"]); err != nil {
		t.Errorf("not handed off though it is the client's only connection: %v, %v", back, err)
	}
	if n := live.of(client.Remote.Addr()); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestOnThisHost(t *testing.T) {
	for _, tc := range []struct {
		addr string
		want bool
	}{
		{"::1", true}, {"2001:db8:ffff::1", false}, {"fe80::1%lo", false},
	} {
		if got := OnThisHost(netip.MustParseAddr(tc.addr)); got != tc.want {
			t.Errorf("%s: %v", tc.addr, got)
		}
	}
}

// The same connection may be counted twice for a moment, and is no other then.
func TestLive(t *testing.T) {
	l := NewLive()
	local := netip.MustParseAddrPort("[2001:db8:9::1]:4000")
	a := ends{local, netip.MustParseAddrPort("[2001:db8:c::7]:1")}
	b := ends{local, netip.MustParseAddrPort("[2001:db8:c::7]:2")}
	for _, step := range []struct {
		do             func(ends)
		e              ends
		of             int
		othersA, other bool
	}{
		{l.add, a, 1, false, true},
		{l.add, a, 2, false, true},
		{l.add, b, 3, true, true},
		{l.remove, a, 2, true, true},
		{l.remove, b, 1, false, true},
		{l.remove, a, 0, false, false},
	} {
		step.do(step.e)
		if got := l.of(a.remote.Addr()); got != step.of {
			t.Errorf("%d connections, want %d", got, step.of)
		}
		if l.Others(a.local, a.remote) != step.othersA || l.Others(b.local, b.remote) != step.other {
			t.Errorf("others of a: %v, want %v; of b: %v, want %v", l.Others(a.local, a.remote), step.othersA, l.Others(b.local, b.remote), step.other)
		}
	}
	if len(l.byClient)+len(l.byEnds) != 0 {
		t.Errorf("not forgotten: %v, %v", l.byClient, l.byEnds)
	}
}
