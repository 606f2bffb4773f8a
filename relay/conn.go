package relay

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Conn names a connection by its ends.
type Conn struct{ Contact, Client netip.AddrPort }

// Check reports ends that no connection of a contact address has.
func (c Conn) Check() error {
	for _, e := range []struct {
		name string
		end  netip.AddrPort
	}{{"contact address", c.Contact}, {"client", c.Client}} {
		if !mipv6.IsUnicastRoutable(e.end.Addr()) || e.end.Port() == 0 {
			return fmt.Errorf("relay: %s %v is not a unicast IPv6 address with a port", e.name, e.end)
		}
	}
	if c.Contact.Addr() == c.Client.Addr() {
		return fmt.Errorf("relay: contact address and client are both %v", c.Client.Addr())
	}
	return nil
}

// Compare orders connections.
func (c Conn) Compare(o Conn) int {
	return cmp.Or(c.Contact.Compare(o.Contact), c.Client.Compare(o.Client))
}

// String is "contact address <-> client", with ports.
func (c Conn) String() string { return c.Contact.String() + " <-> " + c.Client.String() }

// Flow is the data plane's name for it.
func (c Conn) Flow() dataplane.Flow {
	return dataplane.Flow{
		Home: c.Contact.Addr(), HomePort: c.Contact.Port(),
		Client: c.Client.Addr(), ClientPort: c.Client.Port(),
	}
}
