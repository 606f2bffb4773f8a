package anycast

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/relay"
)

// Config configures a Node.
type Config struct {
	// CareOf is this replica's care-of address: where clients handed to it send.
	CareOf netip.Addr
	// RegisterTimeout bounds Active and HandoffTimeout the operations about one
	// client, if the context does not end before; defaults
	// DefaultRegisterTimeout, DefaultHandoffTimeout.
	RegisterTimeout, HandoffTimeout time.Duration
	// MaxClients bounds the clients that are known; default DefaultMaxClients.
	MaxClients int
	// InUse tells whether a client still has connections here: then its binding is
	// refreshed before it expires. A binding whose packets pass is refreshed in
	// any case. It must end by itself. Default: never.
	InUse func(contact, client netip.Addr) bool
	// Connected tells whether a connection is alive at this replica: then a relay
	// of it is kept up. Connections are those of a contact address: when the
	// contact node moves they are relayed by the new one. Both must end by
	// themselves. Defaults: always; none.
	Connected   func(relay.Conn) bool
	Connections func(contact netip.Addr) []relay.Conn
	// Pending are the connections of a client that are about to be among those: their
	// handshake is under way, or they wait to be accepted. It is asked when the client's
	// binding has moved, and must end by itself. Default: none.
	Pending func(contact, client netip.Addr) []relay.Conn
	// Shared tells whether another connection of the same client with the same
	// contact address is alive at this replica: then the one is moved by itself, and
	// the client's binding stays. It must end by itself. Default: never.
	Shared func(relay.Conn) bool
	// Choose decides at the contact node who serves a new connection, if its port is
	// steered; default: this replica, as without steering.
	Choose Choose
	// Logger gets what an operator should know; default none.
	Logger *slog.Logger
}

// Deps are what a Node works with.
type Deps struct {
	// Plane moves the packets.
	Plane dataplane.Plane
	// MH sends Mobility Headers. What it receives is given to HandleMH and
	// HandleICMP by the daemon, for all roles share one socket.
	MH mhsock.Conn
	// Relay asks the contact node for home tests. Nil: there is only this replica.
	Relay Relay
	// Peers is the replicas' channel, for clients without Mobile IPv6. Nil: they
	// are served at the contact node only.
	Peers Caller
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Contact is a contact address and those who share it.
type Contact struct {
	Address   netip.Addr // the contact address
	HomeAgent netip.Addr
	// ContactNodes are the care-of addresses of the replicas that may be contact
	// node, best first. This replica may be among them.
	ContactNodes []netip.Addr
	// Replicas are the care-of addresses of all replicas, to find a client's
	// owner among. This replica may be among them.
	Replicas []netip.Addr
	// HomeLifetime is asked for at the home agent; default DefaultHomeLifetime.
	HomeLifetime time.Duration
	// BindingLifetime is asked for at clients; default DefaultBindingLifetime,
	// which is also the most.
	BindingLifetime time.Duration
	// Direct: what is sent to clients without Mobile IPv6 goes straight to them,
	// with the contact address as source, where another replica gets their packets.
	// The network must allow it.
	Direct bool
	// Steer are the ports whose new connections the contact node relays to the
	// replica that Config.Choose says, where all data planes can do that. All
	// replicas must have the same.
	Steer []uint16
	// FlowBindings: connections of clients without Mobile IPv6 come from the home
	// agent straight to the replica that serves them, where it is able to (package
	// flows).
	FlowBindings bool
}

func (cfg *Config) check(deps *Deps) error {
	if !mipv6.IsUnicastRoutable(cfg.CareOf) {
		return fmt.Errorf("anycast: care-of address %v is not a unicast IPv6 address", cfg.CareOf)
	}
	if deps.Plane == nil || deps.MH == nil {
		return errors.New("anycast: a data plane and a Mobility Header socket are needed")
	}
	setDefault(&cfg.RegisterTimeout, DefaultRegisterTimeout)
	setDefault(&cfg.HandoffTimeout, DefaultHandoffTimeout)
	if cfg.MaxClients <= 0 {
		cfg.MaxClients = DefaultMaxClients
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return nil
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// check completes the contact address of a replica with this care-of address,
// or says what is wrong with it.
func (ct *Contact) check(careOf netip.Addr) error {
	setDefault(&ct.HomeLifetime, DefaultHomeLifetime)
	setDefault(&ct.BindingLifetime, DefaultBindingLifetime)
	for _, d := range []struct {
		name  string
		value time.Duration
		most  time.Duration
	}{
		{"home lifetime", ct.HomeLifetime, mipv6.MaxLifetime},
		{"binding lifetime", ct.BindingLifetime, mipv6.MaxRRBindingLifetime},
	} {
		if d.value < mipv6.TimeUnit || d.value > d.most {
			return fmt.Errorf("anycast: %s %v is not within %v and %v", d.name, d.value, mipv6.TimeUnit, d.most)
		}
	}
	for _, a := range []struct {
		name string
		addr netip.Addr
	}{{"contact address", ct.Address}, {"home agent", ct.HomeAgent}} {
		if !mipv6.IsUnicastRoutable(a.addr) {
			return fmt.Errorf("anycast: %s %v is not a unicast IPv6 address", a.name, a.addr)
		}
	}
	if ct.Address == careOf || ct.Address == ct.HomeAgent {
		return fmt.Errorf("anycast: contact address %v is also the care-of address or the home agent", ct.Address)
	}
	return nil
}
