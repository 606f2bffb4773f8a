package anycast

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// action is something that the core wants done. String is for the scenario
// files.
type action interface{ String() string }

// sendAction: send a Mobility Header.
type sendAction struct {
	src, dst netip.Addr
	home     netip.Addr // in a Home Address option, if valid
	message  message
	key      *rr.Key    // authenticate with it, if not nil
	covered  netip.Addr // the address in the authenticator
	op       opID       // whose message it is, if it is an operation's update
}

func (a sendAction) String() string {
	s := fmt.Sprintf("send %v -> %v", a.src, a.dst)
	if a.home.IsValid() {
		s += fmt.Sprintf(" home %v", a.home)
	}
	switch m := a.message.(type) {
	case *mipv6.BindingUpdate:
		s += fmt.Sprintf(" BU seq=%d lifetime=%v", m.Sequence, m.Lifetime)
		if m.HomeRegistration {
			s += " H"
		}
		if alt, ok := mipv6.FindOption[*mipv6.AlternateCareOf](m); ok {
			s += fmt.Sprintf(" care-of=%v", alt.Addr)
		}
		if ni, ok := mipv6.FindOption[*mipv6.NonceIndices](m); ok {
			s += fmt.Sprintf(" nonces=%d,%d", ni.Home, ni.CareOf)
		}
	default:
		s += fmt.Sprintf(" %v", m.Type())
	}
	if a.key != nil {
		s += fmt.Sprintf(" authenticated over %v", a.covered)
	}
	return s
}

// packetAction: send a packet that is complete.
type packetAction struct{ packet *mipv6.Packet }

func (a packetAction) String() string {
	return fmt.Sprintf("send %v -> %v protocol %d, %d octets", a.packet.Src, a.packet.Dst, a.packet.NextHeader, len(a.packet.Payload))
}

// routeKind is what the core wants of the data plane for one client.
type routeKind uint8

const (
	routeNone routeKind = iota
	routeOptimised
	routeHeld
	routeGuarded // bound, but only the connections that are known have a way
	routeSilent  // not bound, and the same
	routeUnknown // setting it has failed
)

func (k routeKind) String() string {
	return [...]string{"none", "optimised", "held", "guarded", "silent", "unknown"}[k]
}

// routeAction: set the route; if that fails, op (if any) fails.
type routeAction struct {
	pair pair
	kind routeKind
	op   opID
}

func (a routeAction) String() string { return fmt.Sprintf("route %v: %v", a.pair, a.kind) }

// askAction: ask these replicas, in order, for a home test; the answer comes by
// core.homeToken.
type askAction struct {
	pair  pair
	nodes []netip.Addr
}

func (a askAction) String() string { return fmt.Sprintf("ask %v for home test of %v", a.nodes, a.pair) }

// useAction: find out whether the client is used, and tell core.inUse.
type useAction struct{ pair pair }

func (a useAction) String() string { return fmt.Sprintf("is %v in use?", a.pair) }

// passAction: tell the replica that may own the client, or else all, that it
// asks for a refresh.
type passAction struct {
	pair  pair
	nodes []netip.Addr
}

func (a passAction) String() string {
	return fmt.Sprintf("pass refresh request of %v to %v", a.pair, a.nodes)
}

// doneAction: operation id is over.
type doneAction struct {
	id    opID
	token rr.HomeToken // of a home test
	err   error
}

func (a doneAction) String() string {
	if a.err != nil {
		return fmt.Sprintf("done %d: %v", a.id, a.err)
	}
	if !a.token.Received.IsZero() {
		return fmt.Sprintf("done %d: %v", a.id, a.token)
	}
	return fmt.Sprintf("done %d", a.id)
}

// logAction: worth an operator's attention.
type logAction struct {
	level slog.Level
	msg   string
	args  []any
}

func (a logAction) String() string {
	s := fmt.Sprintf("log %v: %s", a.level, a.msg)
	for i := 0; i+1 < len(a.args); i += 2 {
		s += fmt.Sprintf(" %v=%v", a.args[i], a.args[i+1])
	}
	return s
}
