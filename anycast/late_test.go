package anycast

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Connections begin at the old anchor after it has made the list: before the client is
// told, while it is, and when it has been. None of them meets a replica that speaks
// without knowing it, and then the new anchor relays them.
func TestLateConnections(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		r, a := l.replicas[reich], l.replicas[adams]
		l.move(reich, adams, modernConn(1))
		l.move(reich, adams, modernConn(2))
		flow := testPair
		seen := map[mipv6.Type]string{}
		l.net.Filter(func(p *mipv6.Packet) bool {
			typ, _ := mipv6.PeekType(p.Payload)
			port := map[mipv6.Type]uint16{mipv6.TypeCareOfTestInit: 11, mipv6.TypeBindingUpdate: 12, mipv6.TypeBindingAcknowledgement: 13}[typ]
			if (p.Src == adams || p.Dst == adams) && port != 0 && seen[typ] == "" {
				r.join(modernConn(port))
				seen[typ] = "none"
				for f, route := range a.plane.State().Routes {
					if f.Client == flow.Client && f.ClientPort == 0 {
						seen[typ] = route.String()
					}
				}
			}
			return true
		})
		if err := r.addr.Cede(l.ctx, modern, adams); err != nil {
			t.Fatal(err)
		}
		l.net.Filter(nil)
		if got := seen[mipv6.TypeCareOfTestInit]; got != "none" {
			t.Errorf("before the client is told its packets are %v", got)
		}
		for _, typ := range []mipv6.Type{mipv6.TypeBindingUpdate, mipv6.TypeBindingAcknowledgement} {
			if got := seen[typ]; got != "held" {
				t.Errorf("at the %v what adams does not know is %v", typ, got)
			}
		}
		synctest.Wait()
		if l.boundTo() != adams {
			t.Fatalf("the client sends to %v", l.boundTo())
		}
		l.shows(adams, modernConn(1).Flow().ClientFlow(), "optimised")
		for port := uint16(11); port <= 13; port++ {
			l.shows(adams, modernConn(port).Flow(), "relay to 2001:db8:2::10 via optimised")
			l.shows(reich, modernConn(port).Flow(), "relayed by 2001:db8:3::10")
		}
		l.carry(reich, adams, modernConn(12)) // as any other
		l.shows(adams, modernConn(12).Flow().ClientFlow(), "optimised")
	})
}

// The old anchor is cut off as soon as the binding is taken: what it knows and we do not
// meets silence for a while, and then the client may connect again. Nothing else waits.
func TestLateAnchorDies(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		r := l.replicas[reich]
		l.move(reich, adams, modernConn(1))
		l.move(reich, adams, modernConn(2))
		l.net.Filter(func(p *mipv6.Packet) bool {
			if typ, _ := mipv6.PeekType(p.Payload); typ == mipv6.TypeBindingUpdate && p.Src == adams {
				r.down.Store(true)
			}
			return true
		})
		must(t, r.addr.Cede(l.ctx, modern, adams))
		l.net.Filter(nil)
		client := modernConn(1).Flow().ClientFlow()
		l.shows(adams, client, "held")
		l.shows(adams, modernConn(1).Flow(), "optimised, accepts from 2001:db8:2::10")
		time.Sleep(3 * time.Second)
		l.shows(adams, client, "held")
		l.move(adams, glass, modernConn(1)) // handoffs go on meanwhile, to and fro
		l.move(glass, adams, modernConn(1))
		l.shows(adams, modernConn(1).Flow(), "optimised") // not by the client's route
		time.Sleep(guardTaken)
		l.shows(adams, client, "optimised")
		r.down.Store(false)
	})
}

// It is not known whether the binding was taken: until the old anchor has the client
// again what is not known of it meets silence, and this replica does not relay for it.
func TestTouchedIsSilent(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		l.move(reich, adams, modernConn(1))
		l.net.Filter(func(p *mipv6.Packet) bool {
			typ, ok := mipv6.PeekType(p.Payload)
			return !ok || p.Dst != adams || typ != mipv6.TypeBindingAcknowledgement
		})
		if err := l.replicas[reich].addr.Cede(l.ctx, modern, adams); err == nil {
			t.Error("ceded")
		}
		l.net.Filter(nil)
		client := modernConn(1).Flow().ClientFlow()
		l.shows(adams, client, "held")
		l.shows(adams, modernConn(1).Flow(), "relayed by 2001:db8:2::10")
		time.Sleep(guardTouched + time.Second)
		l.shows(adams, client, "none")
	})
}

// A guarded client is taken off the short cut, its binding removed, or handed on: the
// guard is in nobody's way, and a longer one outlasts a shorter.
func TestGuardEnds(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		r := l.replicas[reich]
		client := modernConn(1).Flow().ClientFlow()
		long, err := r.guard(testPair, time.Minute)
		must(t, err)
		short, err := r.guard(testPair, time.Second)
		must(t, err)
		l.shows(reich, client, "held")
		r.endGuard(testPair, short, 0)
		time.Sleep(2 * time.Second)
		l.shows(reich, client, "held")
		r.endGuard(testPair, long, time.Second)
		l.shows(reich, client, "held")
		time.Sleep(2 * time.Second)
		l.shows(reich, client, "optimised")

		_, err = r.guard(testPair, time.Minute)
		must(t, err)
		must(t, r.addr.Clear(l.ctx, modern))
		l.shows(reich, client, "none")
		if at := l.boundTo(); at != (netip.Addr{}) {
			t.Errorf("the client sends to %v", at)
		}
		must(t, r.addr.Bind(l.ctx, modern))
		_, err = r.guard(testPair, time.Minute)
		must(t, err)
		must(t, r.addr.FallBack(l.ctx, modern))
		l.shows(reich, client, "none")
		_, err = r.guard(testPair, time.Minute)
		must(t, err)
		r.addr.Finish(modern)
		l.shows(reich, client, "none")
		time.Sleep(2 * time.Minute)
	})
}
