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
	return firstError(CheckAddress("contact address", c.Home), CheckAddress("care-of address", c.CareOf),
		CheckAddress("home agent", c.HomeAgent), differ("contact address and care-of address", c.Home, c.CareOf),
		differ("contact address and home agent", c.Home, c.HomeAgent))
}

// Check reports what is wrong with a flow.
func (f Flow) Check() error {
	return firstError(CheckAddress("contact address", f.Home), CheckAddress("client", f.Client),
		differ("contact address and client", f.Home, f.Client))
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
	default:
		return fmt.Sprintf("RouteKind(%d)", uint8(k))
	}
}

// String is "contact address <-> client".
func (f Flow) String() string { return f.Home.String() + " <-> " + f.Client.String() }
