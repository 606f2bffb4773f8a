package dataplane

import (
	"fmt"
	"net/netip"
)

// CheckAddress reports an address that no contact, care-of, home agent or
// client can have: RFC 6275 wants unicast routable ones throughout (§9.3.1).
func CheckAddress(role string, a netip.Addr) error {
	if !a.Is6() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return fmt.Errorf("%s %v: %w", role, a, ErrInvalid)
	}
	return nil
}

// Check reports what is wrong with a declaration of a contact address.
func (c Contact) Check() error {
	err := firstError(CheckAddress("contact address", c.Home), CheckAddress("care-of address", c.CareOf),
		CheckAddress("home agent", c.HomeAgent), differ("contact address and care-of address", c.Home, c.CareOf),
		differ("contact address and home agent", c.Home, c.HomeAgent))
	for _, peer := range c.Relays {
		if err == nil && peer.IsValid() {
			err = firstError(CheckAddress("relay", peer), differ("relay and care-of address", peer, c.CareOf),
				differ("relay and contact address", peer, c.Home))
		}
	}
	return err
}

// Check reports what is wrong with a flow.
func (f Flow) Check() error {
	err := firstError(CheckAddress("contact address", f.Home), CheckAddress("client", f.Client),
		differ("contact address and client", f.Home, f.Client))
	if err == nil && (f.HomePort == 0) != (f.ClientPort == 0) {
		err = fmt.Errorf("ports %d and %d: %w", f.HomePort, f.ClientPort, ErrPorts)
	}
	return err
}

// Check reports what is wrong with a route, as far as it can be told without
// its flow.
func (r Route) Check() error {
	if r.Kind > Direct {
		return fmt.Errorf("%v: %w", r.Kind, ErrRoute)
	}
	relays := r.Kind == Relayed || r.Kind == RelayTo
	switch {
	case relays && !r.Peer.IsValid():
		return fmt.Errorf("%v without peer: %w", r.Kind, ErrRoute)
	case r.Via != Tunnelled && (r.Kind != RelayTo || r.Via == Held || r.Via > Relayed && r.Via != Direct),
		r.Via == Relayed && (!r.From.IsValid() || r.From == r.Peer):
		return fmt.Errorf("%v via %v: %w", r.Kind, r.Via, ErrRoute)
	case r.Keep && r.Kind != Held && (r.Kind != RelayTo || r.From != r.Peer):
		return fmt.Errorf("%v with keep: %w", r.Kind, ErrRoute)
	case r.Pause && (r.Keep || !relays):
		return fmt.Errorf("%v with pause: %w", r.Kind, ErrRoute)
	}
	optional := func(role string, a netip.Addr) error {
		if !a.IsValid() {
			return nil
		}
		return CheckAddress(role, a)
	}
	return firstError(optional("peer", r.Peer), optional("former peer", r.From))
}

// Check reports what is wrong with a binding.
func (b Binding) Check() error {
	return firstError(CheckAddress("local address", b.Local), CheckAddress("home address", b.Home),
		CheckAddress("care-of address", b.CareOf), differ("home address and care-of address", b.Home, b.CareOf),
		differ("home address and local address", b.Home, b.Local))
}

// Check reports what is wrong with a tunnel.
func (t Tunnel) Check() error {
	return firstError(CheckAddress("home address", t.Home), CheckAddress("care-of address", t.CareOf),
		CheckAddress("home agent", t.HomeAgent), differ("home address and care-of address", t.Home, t.CareOf),
		differ("care-of address and home agent", t.CareOf, t.HomeAgent))
}

func differ(what string, a, b netip.Addr) error {
	if a == b {
		return fmt.Errorf("%s are both %v: %w", what, a, ErrInvalid)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Compare orders contacts by their address, bindings by home and local
// address, tunnels by home address: the order of State's lists.
func (c Contact) Compare(o Contact) int { return c.Home.Compare(o.Home) }

// Compare orders bindings by home address, then local address.
func (b Binding) Compare(o Binding) int {
	if d := b.Home.Compare(o.Home); d != 0 {
		return d
	}
	return b.Local.Compare(o.Local)
}

// Compare orders tunnels by home address.
func (t Tunnel) Compare(o Tunnel) int { return t.Home.Compare(o.Home) }

// String names the kind as logs and vanyctl show it.
func (k RouteKind) String() string {
	switch k {
	case Tunnelled:
		return "tunnelled"
	case Optimised:
		return "optimised"
	case Held:
		return "held"
	case Relayed:
		return "relayed"
	case RelayTo:
		return "relay to"
	case Direct:
		return "direct"
	default:
		return fmt.Sprintf("RouteKind(%d)", uint8(k))
	}
}

// String is "contact address <-> client", with the ports of a connection.
func (f Flow) String() string {
	if f.IsConnection() {
		return netip.AddrPortFrom(f.Home, f.HomePort).String() + " <-> " + netip.AddrPortFrom(f.Client, f.ClientPort).String()
	}
	return f.Home.String() + " <-> " + f.Client.String()
}

// String is the kind and what else is declared, as logs and vanyctl show it:
// "relay to 2001:db8::1 via optimised, accepts from 2001:db8::2".
func (r Route) String() string {
	s := r.Kind.String()
	switch {
	case r.Kind == Relayed && r.Peer.IsValid():
		s += " by " + r.Peer.String()
	case r.Kind == RelayTo:
		s += " " + r.Peer.String() + " via " + r.Via.String()
	case r.Peer.IsValid():
		s += " and relayed by " + r.Peer.String()
	}
	if r.Keep {
		s += ", kept"
	}
	if r.Pause {
		s += ", paused"
	}
	if r.From.IsValid() {
		s += ", accepts from " + r.From.String()
	}
	return s
}
