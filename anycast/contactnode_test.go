package anycast

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
)

// Who knows the number succeeds; who was succeeded learns it from the home agent, and
// who comes too late is told by whom the number was used.
func TestSucceedAndConfirm(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		first, second := l.replicas[glass].addr, l.replicas[reich].addr
		l.mustActive(l.replicas[glass])
		s := first.Standing()
		if !s.Self || !s.Known || s.Node != glass {
			t.Fatalf("%+v", s)
		}
		must(t, first.Confirm(l.ctx))
		if now := first.Standing(); now.Epoch != s.Epoch+1 {
			t.Errorf("after one registration more the number is %d, it was %d", now.Epoch, s.Epoch)
		}
		// It has registered since.
		var overtaken *SequenceError
		if err := second.Succeed(l.ctx, s.Epoch); !errors.As(err, &overtaken) || overtaken.Last != s.Epoch+1 || l.registered() != glass {
			t.Fatalf("%v, registered is %v", err, l.registered())
		}
		must(t, second.Succeed(l.ctx, overtaken.Last))
		if l.registered() != reich || !second.IsContactNode() {
			t.Errorf("registered is %v", l.registered())
		}
		if err := first.Confirm(l.ctx); !errors.As(err, &overtaken) || first.IsContactNode() || first.ContactNode() != (netip.Addr{}) {
			t.Errorf("%v, %+v", err, first.Standing())
		}
		first.Follow(reich, second.Standing().Epoch)
		if now := first.Standing(); now.Node != reich || now.Self || now.Epoch != second.Standing().Epoch {
			t.Errorf("%+v", now)
		}
		if err := first.Confirm(l.ctx); !errors.Is(err, ErrNotContactNode) {
			t.Errorf("a replica like others: %v", err)
		}
		// Nobody but the contact node says who it is of its own knowledge.
		second.Follow(glass, 1)
		if now := second.Standing(); !now.Self || now.Node != reich {
			t.Errorf("%+v", now)
		}
	})
}

// A replica that starts, and may get what belongs to others, has their routes declared
// before its host has the contact address.
func TestRoutesBeforeAddress(t *testing.T) {
	inLabOf(t, func(relay.Conn, netip.Addr) netip.Addr { return adams }, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		l.replicas[glass].addr.Immobile(modern)
		l.syn(glass, homeAgent, 1)
		l.syn(adams, glass, 1)
		l.replicas[adams].conns = []relay.Conn{{Contact: netip.AddrPortFrom(contactAddr, 4000), Client: netip.AddrPortFrom(modern, 1)}}
		time.Sleep(time.Minute)
		r := l.replicas[reich]
		must(t, r.addr.Close(l.ctx))
		before := len(r.plane.Calls())
		var err error
		r.addr, err = r.Passive(l.ctx, Contact{
			Address: contactAddr, HomeAgent: homeAgent,
			ContactNodes: []netip.Addr{glass, reich}, Replicas: []netip.Addr{glass, reich, adams},
		})
		must(t, err)
		var got []string
		for _, c := range r.plane.Calls()[before:] {
			if ct, ok := c.Object.(dataplane.Contact); ok && ct.Absent {
				c.Method += ", absent"
			}
			got = append(got, c.Method)
		}
		if want := []string{"SetContact, absent", "SetRoute", "SetContact"}; !slices.Equal(got, want) {
			t.Errorf("declared %v, want %v", got, want)
		}
	})
}
