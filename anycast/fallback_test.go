package anycast

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
)

func here(relay.Conn, netip.Addr) netip.Addr { return netip.Addr{} }

// fellBack fails the test unless modern is served by adams through the contact node
// glass.
func (l *lab) fellBack(t *testing.T, c relay.Conn) {
	t.Helper()
	routes := l.replicas[adams].plane.State().Routes
	if r, ok := routes[c.Flow().ClientFlow()]; ok {
		t.Errorf("the client's route at adams: %v", r)
	}
	if r := routes[c.Flow()]; r.Kind != dataplane.Relayed || r.Peer != glass {
		t.Errorf("the connection's route at adams: %v", r)
	}
	if r := l.replicas[glass].plane.State().Routes[c.Flow()]; r.Kind != dataplane.RelayTo || r.Peer != adams {
		t.Errorf("the connection's route at glass: %v", r)
	}
	if !l.replicas[adams].addr.Connection(c.Contact, c.Client).IsRelayed() {
		t.Error("would not be handed off by relaying")
	}
}

// A client whose path drops extension headers loses its binding, is served through
// the contact node, and is remembered for a while.
func TestFallBack(t *testing.T) {
	inLabOf(t, here, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		r := l.replicas[adams]
		c := relay.Conn{Contact: netip.AddrPortFrom(contactAddr, 4000), Client: netip.AddrPortFrom(modern, 1)}
		r.conns = []relay.Conn{c}
		must(t, r.addr.Bind(l.ctx, modern))
		must(t, r.addr.FallBack(l.ctx, modern))
		if to := l.boundTo(); to.IsValid() {
			t.Errorf("the client is bound to %v", to)
		}
		l.fellBack(t, c)
		if err := r.addr.Bind(l.ctx, modern); !errors.Is(err, ErrNoMobileIPv6) || !errors.Is(err, ErrBlocked) || !errors.Is(err, ErrUntouched) {
			t.Errorf("bound again: %v", err)
		}
		if n := r.Counters()[CounterFellBack]; n != 1 {
			t.Errorf("counted %d times", n)
		}
		time.Sleep(blockedMemory)
		must(t, r.addr.Bind(l.ctx, modern))
		if l.boundTo() != adams || l.route(r) != dataplane.Optimised {
			t.Errorf("later it is bound to %v", l.boundTo())
		}
	})
}

// Where the removal of the binding is lost as well, the packets of ours go the new
// way at once, and what is known of the binding ends.
func TestFallBackUnacknowledged(t *testing.T) {
	inLabOf(t, here, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		r := l.replicas[adams]
		c := relay.Conn{Contact: netip.AddrPortFrom(contactAddr, 4000), Client: netip.AddrPortFrom(modern, 1)}
		r.conns = []relay.Conn{c}
		must(t, r.addr.Bind(l.ctx, modern))
		l.net.Filter(func(p *mipv6.Packet) bool {
			typ, ok := mipv6.PeekType(p.Payload)
			return !ok || typ != mipv6.TypeBindingUpdate || p.Src != adams
		})
		defer l.net.Filter(nil)
		failed := make(chan error, 1)
		go func() { failed <- r.addr.FallBack(l.ctx, modern) }()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		l.fellBack(t, c)
		if err := <-failed; !errors.Is(err, ErrTimeout) {
			t.Errorf("fallback: %v", err)
		}
		l.fellBack(t, c)
		if b := r.addr.Bindings(); len(b) != 1 || b[0].State != "idle" {
			t.Errorf("bindings %+v", b)
		}
		time.Sleep(30 * time.Second)
		l.fellBack(t, c)
	})
}

// The contact node itself needs nobody; a replica that cannot be relayed to stays as
// it is, since without the short cut it would get nothing.
func TestFallBackWhere(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) { // which cannot relay
		l.mustActive(l.replicas[glass])
		for a, want := range map[netip.Addr]error{glass: nil, adams: ErrCannotFallBack} {
			r := l.replicas[a]
			must(t, r.addr.Bind(l.ctx, modern))
			if err := r.addr.FallBack(l.ctx, modern); !errors.Is(err, want) {
				t.Errorf("%v: %v", a, err)
			}
			if bound := l.boundTo() == a; bound != (want != nil) || bound != (l.route(r) == dataplane.Optimised) {
				t.Errorf("%v: bound to %v, %v", a, l.boundTo(), l.route(r))
			}
		}
	})
}
