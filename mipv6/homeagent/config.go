package homeagent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Config configures the role.
type Config struct {
	// Address is the home agent's address, in the home prefix.
	Address netip.Addr
	// Prefix is the home prefix: home addresses are its addresses.
	Prefix netip.Prefix
	// Interface is the home link's.
	Interface string
	// MaxLifetime caps what is granted; default DefaultMaxLifetime.
	MaxLifetime time.Duration
	// MaxBindings bounds the registrations; default DefaultMaxBindings.
	MaxBindings int
	// Allow says who may register.
	Allow Allow
}

// Allow says who may register; what is excluded is refused with status 129. An
// empty list excludes nobody.
type Allow struct {
	Homes  []netip.Addr   // home addresses
	CareOf []netip.Prefix // where care-of addresses come from
}

// Our own limits; those of the protocols are in protocol.go and package mipv6.
const (
	DefaultMaxLifetime = time.Hour
	DefaultMaxBindings = 1024
	// maxPending bounds how many home addresses are in duplicate address
	// detection at once.
	maxPending = 64
)

func (c Config) withDefaults() Config {
	if c.MaxLifetime <= 0 {
		c.MaxLifetime = DefaultMaxLifetime
	}
	c.MaxLifetime = min(c.MaxLifetime, mipv6.MaxLifetime)
	if c.MaxBindings <= 0 {
		c.MaxBindings = DefaultMaxBindings
	}
	return c
}

// check reports contradictions.
func (c Config) check() error {
	switch {
	case !mipv6.IsUnicastRoutable(c.Address):
		return fmt.Errorf("address %v is not a unicast routable IPv6 address", c.Address)
	case !c.Prefix.IsValid() || !c.Prefix.Addr().Is6():
		return fmt.Errorf("prefix %v is not an IPv6 prefix", c.Prefix)
	case !c.Prefix.Contains(c.Address):
		return fmt.Errorf("address %v is not in the home prefix %v", c.Address, c.Prefix)
	case c.Interface == "":
		return errors.New("no interface")
	}
	return nil
}

func (a Allow) permits(home, careOf netip.Addr) bool {
	return (len(a.Homes) == 0 || slices.Contains(a.Homes, home)) &&
		(len(a.CareOf) == 0 || slices.ContainsFunc(a.CareOf, func(p netip.Prefix) bool { return p.Contains(careOf) }))
}
